"""The delta xDS protocol with one connected Envoy, without its sockets.

Requests go in, responses come out, and the state in between is plain data: everything about
nonces, NACKs and resubscription can be tested without a server or a clock. `server` moves bytes.

Four things are Envoy's own, not the protocol's (seen with 1.40):

* Virtual hosts: Envoy asks once, naming nothing, and takes whatever is pushed. A host whose
  router it does not hold *yet* is dropped though it is acknowledged. So a router's hosts are sent
  when its RouteConfiguration has been acknowledged.
* A listener waits until it has heard of its router's hosts, and an Envoy that starts waits for all
  its listeners, 15 s in all. An empty response is not heard, but the removal of a host is; so with
  each router goes a removal, lest one without hosts keep the others from being served.
* After a broken stream Envoy says which hosts it kept, and goes on with them.
* A changed cluster warms until it gets endpoints, for which Envoy does not ask again, and while one
  warms, 15 s at the longest, Envoy acknowledges none. So they are sent again behind it.
"""

from collections.abc import Callable
from itertools import count
from typing import Any, Final

from onehop.driver.envoy.cache import ResourceCache
from onehop.driver.envoy.nack import accused
from onehop.driver.envoy.proto import DeltaDiscoveryResponse, encode
from onehop.driver.envoy.resource import ResourceKey, ResourceType, frame
from onehop.driver.envoy.topic import Flight, Topic

NOBODY: Final = "-"
"""No hostname: Envoy is told with each router that this host is not there."""

_TYPES: Final = {type_.value: type_ for type_ in ResourceType}


class Session:
    """One stream's state.

    Args:
        cache: what Envoy shall hold; shared by successive sessions.
        demand: told each name that Envoy begins (True) or ceases (False) to ask for, before it
            is answered, for types that are resolved on demand.
    """

    def __init__(
        self, cache: ResourceCache, demand: Callable[[ResourceKey, bool], None] | None = None
    ) -> None:
        self._cache = cache
        self._demand = demand
        self._topics = {type_: Topic(type_, cache) for type_ in ResourceType}
        self._nonces = count(1)
        self._flights: dict[str, tuple[Topic, Flight]] = {}

    def receive(self, request: Any) -> None:
        """Take a DeltaDiscoveryRequest; a type that we do not serve is passed over."""
        type_ = _TYPES.get(request.type_url)
        if type_ is None:
            return
        topic = self._topics[type_]
        if request.response_nonce:
            self._answer(request)
        subscribe = list(request.resource_names_subscribe)
        unsubscribe = list(request.resource_names_unsubscribe)
        self._announce(topic, subscribe, wanted=True)
        if topic.is_open:
            topic.subscribe(subscribe)
        else:
            topic.open(subscribe, dict(request.initial_resource_versions))
            if topic.type in {ResourceType.ROUTES, ResourceType.HOST}:
                self._resume_routers()
        topic.unsubscribe(unsubscribe)
        self._announce(topic, unsubscribe, wanted=False)
        if topic.type is ResourceType.ROUTES:
            self._close_routers(unsubscribe)

    def touch(self, key: ResourceKey) -> None:
        """Queue a resource that changed in the cache."""
        self._topics[key.type].touch((key.name,))

    def wants(self, key: ResourceKey) -> bool:
        """Tell whether Envoy has asked for this resource."""
        return self._topics[key.type].wants(key.name)

    def settled(self, key: ResourceKey, version: int | None) -> bool:
        """Tell whether Envoy took this version, a newer one, or what replaces a refused one."""
        return self._topics[key.type].settled(key.name, version)

    def is_open(self, type_: ResourceType) -> bool:
        """Tell whether Envoy has asked for this type."""
        return self._topics[type_].is_open

    def next_response(self) -> bytes | None:
        """Return the most urgent DeltaDiscoveryResponse, or None when there is nothing to say."""
        for topic in self._topics.values():
            if topic.has_pending:
                return self._respond(topic)
        return None

    def _respond(self, topic: Topic) -> bytes:
        flight = topic.take()
        if topic.type is ResourceType.CLUSTER:
            self._topics[ResourceType.ENDPOINTS].touch(flight.known)
        nonce = str(next(self._nonces))
        self._flights[nonce] = (topic, flight)
        frames: list[bytes] = []
        removed: list[str] = []
        for name, version in flight.sent.items():
            key = ResourceKey(topic.type, name)
            entry = self._cache.offered(key)
            if entry is None or version is None:
                removed.append(name)
            else:
                frames.append(frame(key, entry.version, entry.body))
        head = DeltaDiscoveryResponse(
            type_url=topic.type.value, nonce=nonce, removed_resources=removed
        )
        return b"".join((encode(head), *frames))

    def _answer(self, request: Any) -> None:
        flown = self._flights.pop(request.response_nonce, None)
        if flown is None:
            return
        topic, flight = flown
        if request.HasField("error_detail"):
            self._refuse(topic, flight, request.error_detail.message)
            return
        topic.acknowledge(flight)
        if topic.type is ResourceType.ROUTES:
            self._open_routers(frozenset(name for name in flight.sent if topic.wants(name)))

    def _refuse(self, topic: Topic, flight: Flight, message: str) -> None:
        """Find the culprit of a NACK, or halve the batch; the innocent are sent again."""
        names = tuple(flight.sent)
        culprits = names if len(names) == 1 else accused(names, message)
        for name in culprits:
            version = flight.sent[name]
            if version is not None:
                self._cache.quarantine(ResourceKey(topic.type, name), version, message)
        rest = tuple(name for name in names if name not in culprits)
        if culprits:
            topic.touch_apart(rest)
        else:
            middle = len(rest) // 2
            topic.touch_apart(rest[:middle])
            topic.touch_apart(rest[middle:])

    def _open_routers(self, routers: frozenset[str]) -> None:
        """Send all hosts of these routers: Envoy holds them anew, whatever it held before."""
        hosts = self._topics[ResourceType.HOST]
        hosts.prefixes |= routers
        names = self._cache.names(ResourceType.HOST)
        hosts.touch(name for name in names if name.rpartition("/")[0] in routers)
        hosts.touch(f"{router}/{NOBODY}" for router in routers)

    def _resume_routers(self) -> None:
        """Go on with routers that Envoy kept over a broken stream, as they are: with their hosts.

        They are not sent again, so there is no acknowledgement that would open them. Envoy says
        which hosts it kept; what changed, came or went meanwhile is sent.
        """
        routes, hosts = self._topics[ResourceType.ROUTES], self._topics[ResourceType.HOST]
        kept = {name for name in routes.names & routes.acked.keys() if routes.settled(name, None)}
        hosts.prefixes |= kept
        names = {*self._cache.names(ResourceType.HOST), *hosts.acked}
        hosts.touch(name for name in names if not hosts.settled(name, None))

    def _close_routers(self, routers: list[str]) -> None:
        hosts = self._topics[ResourceType.HOST]
        gone = hosts.prefixes & set(routers)
        hosts.prefixes -= gone
        if gone:
            hosts.unsubscribe([n for n in hosts.acked if n.rpartition("/")[0] in gone])

    def _announce(self, topic: Topic, names: list[str], *, wanted: bool) -> None:
        if self._demand is not None:
            for name in names:
                self._demand(ResourceKey(topic.type, name), wanted)
