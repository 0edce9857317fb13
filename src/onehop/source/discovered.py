"""Kinds that are read as soon as the API serves them, in the newest version that it serves.

A cluster may have Gateway API or not, an old release of it or a new one, and may get either while
we run. Asking for objects of a kind that is not there would do (`CustomKinds.welcome`), but costs
whoever has neither the kinds nor the rights to them a complaint: authorization comes before the
404. Discovery is allowed to everybody, and names the versions.

What discovery no longer shows is not given up: that a whole kind is gone is for its reflector to
doubt, like any other list that came out empty.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from onehop.base.errors import RejectedError, TransientError
from onehop.cluster import KINDS, Kind
from onehop.cluster.definition import GATEWAY_CLASS_DEFINITION
from onehop.cluster.kind import ClusterObject, Resource
from onehop.kube import Collection
from onehop.model.ident import ObjectRef
from onehop.source import trouble
from onehop.source.backoff import Backoff
from onehop.source.ledger import Key
from onehop.source.patience import ReflectorTimes
from onehop.source.reflector import Reflector
from onehop.source.surroundings import Surroundings

LOOK_EVERY_S: Final = 30.0
COMPANIONS: Final = {Kind.GATEWAY_CLASS: GATEWAY_CLASS_DEFINITION}
"""What is read with a kind, once that is there: the definition says of which release it is."""

log = structlog.get_logger(__name__)


class DiscoveredKinds:
    """Runs a reflector for each kind that is served.

    Args:
        kinds: which to look for.
        expected: what an earlier process has seen; a kind of which it has is read at once.
        reflect: makes the reflector of a collection, with what is expected of it.
        settled: told when nothing needs to be waited for of a kind that is not served.
        beside: makes the reflector of one object, one of `COMPANIONS`.
    """

    def __init__(
        self,
        kinds: frozenset[Kind],
        expected: frozenset[ObjectRef],
        *,
        reflect: Callable[[Collection[ClusterObject], frozenset[Key]], Reflector],
        settled: Callable[[Kind], None],
        beside: Callable[[ObjectRef], Reflector],
    ) -> None:
        self._kinds = tuple(sorted(kinds))
        self._expected = expected
        self._reflect = reflect
        self._settled = settled
        self._beside = beside
        self._reflectors: dict[Kind, Reflector] = {}
        self._tasks: dict[Kind, asyncio.Task[None]] = {}
        self._lacking: frozenset[Kind] = frozenset()
        self.versions: dict[Kind, str] = {}
        """The version in which each kind is read, as in `apiVersion`."""

    @property
    def reflectors(self) -> tuple[Reflector, ...]:
        """Those that run."""
        return tuple(self._reflectors.values())

    async def run(
        self, group: asyncio.TaskGroup, around: Surroundings, times: ReflectorTimes
    ) -> None:
        """Look what is served, again and again, until cancelled."""
        for kind in self._kinds:
            if keys := _keys(self._expected, kind):
                self._start(group, kind, KINDS[kind].api_version, keys)
        retry = Backoff(times.retry, around.random.random)
        while self._kinds:
            await around.sleep(await self._look(group, around, retry))

    async def _look(self, group: asyncio.TaskGroup, around: Surroundings, retry: Backoff) -> float:
        """Compare what is read with what is served; return how long to wait until the next time."""
        subject = ObjectRef(trouble.LIST, "", "discovery")
        try:
            served = await self._served(around)
        except TransientError as error:
            return retry.next_s(error.retry_after_s)
        except RejectedError as error:
            around.troubles.put(subject, (trouble.failed(subject, error),))
            served = {}
        else:
            around.troubles.put(subject, ())
        retry.reset()
        self._tell(frozenset(self._kinds) - served.keys())
        for kind in self._kinds:
            self._compare(group, kind, served.get(kind, ""))
        return LOOK_EVERY_S * (0.9 + 0.2 * around.random.random())

    async def _served(self, around: Surroundings) -> Mapping[Kind, str]:
        """Return the newest version of each kind that is served; older ones are asked for last."""
        resources: dict[str, frozenset[str]] = {}
        found: dict[Kind, str] = {}
        for kind in self._kinds:
            resource = KINDS[kind]
            for version in (resource.api_version, *resource.older):
                if version not in resources:
                    resources[version] = await around.client.resources(version)
                if resource.plural in resources[version]:
                    found[kind] = version
                    break
        return found

    def _tell(self, lacking: frozenset[Kind]) -> None:
        """Log which kinds are not there, each time that becomes another answer."""
        if lacking != self._lacking:
            log.info("kinds_not_served", kinds=", ".join(sorted(lacking)) or "none")
        self._lacking = lacking

    def _compare(self, group: asyncio.TaskGroup, kind: Kind, version: str) -> None:
        if not version:
            if kind not in self._reflectors:
                self._settled(kind)
        elif kind not in self._reflectors:
            self._start(group, kind, version, frozenset())
        elif self.versions[kind] != version:
            self._tasks[kind].cancel()
            known = self._reflectors[kind].known
            self._start(group, kind, version, _keys(known, kind))

    def _start(
        self, group: asyncio.TaskGroup, kind: Kind, version: str, expected: frozenset[Key]
    ) -> None:
        if kind not in self.versions and kind in COMPANIONS:
            one = COMPANIONS[kind]
            group.create_task(self._beside(one).run(), name=f"reflect {one}")
        self.versions[kind] = version
        self._reflectors[kind] = reflector = self._reflect(
            _collection(kind, KINDS[kind], version), expected
        )
        self._tasks[kind] = group.create_task(reflector.run(), name=f"reflect {kind}")
        log.info("kind_is_read", kind=str(kind), version=version)


def _keys(refs: frozenset[ObjectRef], kind: Kind) -> frozenset[Key]:
    return frozenset((ref.namespace, ref.name) for ref in refs if ref.kind == kind)


def _collection(kind: Kind, resource: Resource, version: str) -> Collection[ClusterObject]:
    return Collection(
        kind=kind,
        api_version=version,
        plural=resource.plural,
        struct=resource.struct,
        namespaced=resource.namespaced,
    )
