"""The delta xDS protocol without a network: nonces, NACKs, resubscription, order."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from google.protobuf.json_format import MessageToDict

from onehop.driver.envoy.cache import ResourceCache
from onehop.driver.envoy.proto import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from onehop.driver.envoy.resource import ResourceKey, ResourceType
from onehop.driver.envoy.session import Session

CLUSTER = ResourceType.CLUSTER
ENDPOINTS = ResourceType.ENDPOINTS
HOST = ResourceType.HOST
ROUTES = ResourceType.ROUTES
LISTENER = ResourceType.LISTENER


class Said(NamedTuple):
    """A response, taken apart."""

    type: ResourceType
    nonce: str
    names: list[str]
    removed: list[str]


class Peer:
    """A cache, a session, and the Envoy that talks to it."""

    def __init__(self) -> None:
        self.cache = ResourceCache()
        self.session = Session(self.cache)

    def put(self, type_: ResourceType, *names: str, body: bytes = b"1") -> None:
        for name in names:
            key = ResourceKey(type_, name)
            if self.cache.put(key, body):
                self.session.touch(key)

    def remove(self, type_: ResourceType, name: str) -> None:
        key = ResourceKey(type_, name)
        if self.cache.remove(key):
            self.session.touch(key)

    def ask(self, type_: ResourceType, *names: str, **fields: Any) -> None:
        self.session.receive(
            DeltaDiscoveryRequest(type_url=type_.value, resource_names_subscribe=names, **fields)
        )

    def hear(self) -> Said | None:
        encoded = self.session.next_response()
        if encoded is None:
            return None
        response = DeltaDiscoveryResponse.FromString(encoded)
        return Said(
            ResourceType(response.type_url),
            response.nonce,
            [each.name for each in response.resources],
            list(response.removed_resources),
        )

    def take(self, said: Said | None) -> Said:
        assert said is not None
        self.ask(said.type, response_nonce=said.nonce)
        return said

    def refuse(self, said: Said | None, message: str = "no") -> Said:
        assert said is not None
        self.ask(said.type, response_nonce=said.nonce, error_detail={"message": message})
        return said

    def is_settled(self, type_: ResourceType, *names: str) -> bool:
        return all(self.session.settled(ResourceKey(type_, name), None) for name in names)

    def take_all(self) -> list[Said]:
        heard: list[Said] = []
        while (said := self.hear()) is not None:
            heard.append(self.take(said))
        return heard


def test_a_wildcard_subscription_gets_everything_once() -> None:
    """And then only what changed; removals are named."""
    peer = Peer()
    peer.put(CLUSTER, "a", "b")
    peer.ask(CLUSTER)

    first = peer.take(peer.hear())
    assert sorted(first.names) == ["a", "b"]
    assert peer.hear() is None

    peer.put(CLUSTER, "b", body=b"2")
    peer.remove(CLUSTER, "a")
    second = peer.take(peer.hear())
    assert (second.names, second.removed) == (["b"], ["a"])
    assert peer.is_settled(CLUSTER, "a", "b")


def test_an_empty_table_is_answered_too() -> None:
    """Envoy waits for a first answer of each type, even if there is nothing to tell."""
    peer = Peer()
    peer.ask(CLUSTER)

    assert peer.take(peer.hear()).names == []
    assert peer.hear() is None


def test_an_unchanged_resource_is_not_sent_again() -> None:
    """Putting equal bytes is no change."""
    peer = Peer()
    peer.put(CLUSTER, "a")
    peer.ask(CLUSTER)
    peer.take(peer.hear())

    peer.put(CLUSTER, "a")

    assert peer.hear() is None


def test_only_subscribed_names_are_sent_and_missing_ones_are_said_to_be_missing() -> None:
    """So that a cluster or handshake does not wait for what does not exist."""
    peer = Peer()
    peer.put(ENDPOINTS, "a", "b")
    peer.ask(ENDPOINTS, "a", "nobody")

    said = peer.take(peer.hear())
    assert (said.names, said.removed) == (["a"], ["nobody"])

    peer.put(ENDPOINTS, "b", body=b"2")
    assert peer.hear() is None
    peer.ask(ENDPOINTS, "b", resource_names_unsubscribe=["a"])
    assert peer.take(peer.hear()).names == ["b"]
    peer.put(ENDPOINTS, "a", body=b"2")
    assert peer.hear() is None


def test_endpoints_overtake_everything_else() -> None:
    """Whatever was queued before them."""
    peer = Peer()
    peer.ask(CLUSTER)
    peer.ask(LISTENER)
    peer.ask(ENDPOINTS, "a")
    peer.take_all()
    peer.put(LISTENER, "l")
    peer.put(CLUSTER, "a")
    peer.put(ENDPOINTS, "a")

    assert [said.type for said in peer.take_all()] == [ENDPOINTS, CLUSTER, LISTENER]


def test_changes_while_a_response_is_under_way_are_merged() -> None:
    """Ten changes of one pool are one response, with the last of them."""
    peer = Peer()
    peer.put(ENDPOINTS, "a")
    peer.ask(ENDPOINTS, "a")
    peer.take(peer.hear())
    for number in range(10):
        peer.put(ENDPOINTS, "a", body=str(number).encode())

    assert len(peer.take_all()) == 1
    assert peer.is_settled(ENDPOINTS, "a")


def test_a_version_is_settled_only_when_it_was_acknowledged() -> None:
    """An answer to an older response does not count."""
    peer = Peer()
    peer.put(CLUSTER, "a")
    peer.ask(CLUSTER)
    old = peer.hear()
    peer.put(CLUSTER, "a", body=b"2")
    peer.take(old)
    assert not peer.is_settled(CLUSTER, "a")
    peer.take(peer.hear())
    assert peer.is_settled(CLUSTER, "a")


def test_a_stream_that_comes_back_gets_only_the_difference() -> None:
    """What Envoy kept is told by version; what went meanwhile is removed."""
    peer = Peer()
    peer.put(CLUSTER, "same", "changed", "gone")
    peer.ask(CLUSTER)
    peer.take(peer.hear())
    versions = {
        name: str(entry.version)
        for name in ("same", "changed", "gone")
        if (entry := peer.cache.offered(ResourceKey(CLUSTER, name)))
    }
    peer.put(CLUSTER, "changed", body=b"2")
    peer.remove(CLUSTER, "gone")
    peer.put(CLUSTER, "new")

    peer.session = Session(peer.cache)
    peer.ask(CLUSTER, initial_resource_versions=versions)

    said = peer.take(peer.hear())
    assert (sorted(said.names), said.removed) == (["changed", "new"], ["gone"])
    assert peer.is_settled(CLUSTER, "same", "changed", "gone", "new")


def test_the_culprit_that_envoy_names_is_left_out() -> None:
    """The others are sent again; a new culprit is withdrawn, an old one keeps its last form."""
    peer = Peer()
    peer.put(CLUSTER, "a", "ab", "c")
    peer.ask(CLUSTER)
    peer.take(peer.hear())
    good = peer.cache.offered(ResourceKey(CLUSTER, "ab"))

    peer.put(CLUSTER, "a", "ab", "new", body=b"2")
    peer.refuse(peer.hear(), "Error adding/updating cluster(s) ab: bad, new: worse")

    assert peer.cache.offered(ResourceKey(CLUSTER, "ab")) == good
    assert peer.cache.offered(ResourceKey(CLUSTER, "new")) is None
    assert [said.names for said in peer.take_all()] == [["a"]]
    assert peer.is_settled(CLUSTER, "a", "ab", "new")
    assert {key.name for key in peer.cache.quarantined} == {"ab", "new"}


def test_an_unnamed_culprit_is_found_by_halving() -> None:
    """Every innocent one arrives, and the number of tries grows with the logarithm."""
    peer = Peer()
    names = [f"r/{number}" for number in range(64)]
    peer.put(ROUTES, "r")
    peer.ask(ROUTES, "r")
    peer.ask(HOST)
    peer.take_all()
    peer.put(HOST, *names)

    tries = 0
    while (said := peer.hear()) is not None:
        tries += 1
        if "r/37" in said.names:
            peer.refuse(said)
        else:
            peer.take(said)

    assert {key.name for key in peer.cache.quarantined} == {"r/37"}
    assert peer.is_settled(HOST, *names)
    assert tries <= 2 * 6 + 1


def test_quarantine_ends_when_the_bytes_change() -> None:
    """The same bytes are not tried again, other ones are."""
    peer = Peer()
    peer.put(CLUSTER, "a")
    peer.ask(CLUSTER)
    peer.refuse(peer.hear())

    peer.put(CLUSTER, "a")
    assert peer.hear() is None
    peer.put(CLUSTER, "a", body=b"2")
    assert peer.take(peer.hear()).names == ["a"]
    assert peer.cache.quarantined == {}


def test_a_refusal_of_what_was_replaced_meanwhile_accuses_nobody() -> None:
    """The newer version stands trial by itself."""
    peer = Peer()
    peer.put(CLUSTER, "a")
    peer.ask(CLUSTER)
    old = peer.hear()
    peer.put(CLUSTER, "a", body=b"2")
    peer.refuse(old)

    assert peer.cache.quarantined == {}
    assert peer.take(peer.hear()).names == ["a"]


def test_hosts_follow_their_router() -> None:
    """Envoy drops hosts of a router that it does not hold, so they wait for it; and again."""
    peer = Peer()
    peer.put(HOST, "r/a", "r/b", "other/a")
    peer.put(ROUTES, "r")
    peer.ask(HOST)
    assert peer.take(peer.hear()).names == []

    peer.ask(ROUTES, "r")
    peer.take(peer.hear())
    assert sorted(peer.take(peer.hear()).names) == ["r/a", "r/b"]

    peer.ask(ROUTES, resource_names_unsubscribe=["r"])
    peer.put(HOST, "r/c")
    assert peer.hear() is None
    peer.ask(ROUTES, "r")
    peer.take(peer.hear())
    assert sorted(peer.take(peer.hear()).names) == ["r/a", "r/b", "r/c"]


def test_a_router_without_hosts_is_told_to_have_none() -> None:
    """Envoy waits for word of each router's hosts; only something about one of them is heard."""
    peer = Peer()
    peer.put(ROUTES, "r", "empty")
    peer.put(HOST, "r/a")
    peer.ask(HOST)
    peer.take(peer.hear())
    peer.ask(ROUTES, "r", "empty")
    peer.take(peer.hear())

    said = peer.take(peer.hear())

    assert said.names == ["r/a"]
    assert sorted(said.removed) == ["empty/-", "r/-"]


def test_a_late_acknowledgement_does_not_open_a_router_that_was_left() -> None:
    """Envoy may leave a router before it answers for it, and come back later."""
    peer = Peer()
    peer.put(HOST, "r/a")
    peer.put(ROUTES, "r")
    peer.ask(HOST)
    peer.take(peer.hear())
    peer.ask(ROUTES, "r")
    late = peer.hear()
    peer.ask(ROUTES, resource_names_unsubscribe=["r"])
    peer.take(late)
    assert peer.hear() is None

    peer.ask(ROUTES, "r")
    peer.take(peer.hear())
    assert peer.take(peer.hear()).names == ["r/a"]


def test_hosts_of_a_router_that_envoy_kept_go_on() -> None:
    """A broken stream: the router is not sent again, and its hosts are, where they differ."""
    peer = Peer()
    peer.put(HOST, "r/same", "r/changed", "r/gone", "other/a")
    peer.put(ROUTES, "r", "changed")
    peer.ask(HOST)
    peer.ask(ROUTES, "r")
    peer.take_all()
    versions = {
        type_: {
            name: str(entry.version)
            for name in names
            if (entry := peer.cache.offered(ResourceKey(type_, name)))
        }
        for type_, names in ((ROUTES, ["r"]), (HOST, ["r/same", "r/changed", "r/gone"]))
    }

    for types in ((ROUTES, HOST), (HOST, ROUTES)):
        peer.put(HOST, "r/changed", body=str(types).encode())
        peer.put(HOST, f"r/new-{types[0].name}")
        peer.remove(HOST, "r/gone")
        peer.session = Session(peer.cache)
        for type_ in types:
            names = ["r"] if type_ is ROUTES else []
            peer.ask(type_, *names, initial_resource_versions=versions[type_])
        said = [each for each in peer.take_all() if each.type is HOST and each.names]

        assert [set(each.names) >= {"r/changed", f"r/new-{types[0].name}"} for each in said] == [
            True
        ]
        assert said[0].removed == ["r/gone"]
        assert "r/same" not in said[0].names
        assert not any(name.startswith("other/") for name in said[0].names)
        peer.put(HOST, "r/later", body=str(types).encode())
        assert peer.take(peer.hear()).names == ["r/later"]


def test_a_changed_cluster_gets_its_endpoints_again() -> None:
    """It warms until it has them, acknowledges nothing meanwhile, and does not ask for them."""
    peer = Peer()
    peer.put(CLUSTER, "a", "b")
    peer.put(ENDPOINTS, "a", "b")
    peer.ask(CLUSTER)
    peer.ask(ENDPOINTS, "a", "b")
    peer.take_all()

    peer.put(CLUSTER, "a", body=b"2")

    heard = [peer.hear(), peer.hear()]  # nothing is acknowledged in between
    assert [(said.type, said.names) for said in heard if said] == [
        (CLUSTER, ["a"]),
        (ENDPOINTS, ["a"]),
    ]


def test_a_strange_request_is_passed_over() -> None:
    """A type we do not serve, or a nonce we never sent, changes nothing."""
    peer = Peer()
    peer.session.receive(DeltaDiscoveryRequest(type_url="type.googleapis.com/some.Thing"))
    peer.ask(CLUSTER, response_nonce="77", error_detail={"message": "no"})
    peer.take(peer.hear())

    assert peer.hear() is None


def test_a_response_is_a_message_though_it_was_joined_from_bytes() -> None:
    """Name, version and type of each resource arrive as the protocol wants them."""
    peer = Peer()
    peer.put(CLUSTER, "a", body=b"\x0a\x01a")
    peer.ask(CLUSTER)

    encoded = peer.session.next_response()

    assert encoded is not None
    message = MessageToDict(
        DeltaDiscoveryResponse.FromString(encoded), preserving_proto_field_name=True
    )
    assert message == {
        "type_url": CLUSTER.value,
        "nonce": "1",
        "resources": [
            {
                "name": "a",
                "version": "1",
                "resource": {"@type": CLUSTER.value, "name": "a"},
            }
        ],
    }


def _names(keys: Iterable[ResourceKey]) -> list[str]:
    return sorted(key.name for key in keys)


def test_a_removed_resource_leaves_quarantine() -> None:
    """Nobody wants it any more: there is nothing to report."""
    peer = Peer()
    peer.put(CLUSTER, "a", "b")
    peer.ask(CLUSTER)
    peer.refuse(peer.hear(), "a: bad")
    assert _names(peer.cache.quarantined) == ["a"]

    peer.remove(CLUSTER, "a")

    assert _names(peer.cache.quarantined) == []
