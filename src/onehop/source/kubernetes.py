"""A Kubernetes API as a source: one reflector for each kind, and one for each wanted object."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from random import Random
from typing import Final

from onehop.cluster import (
    KINDS,
    WANTED_KINDS,
    BackendTLSPolicy,
    BGPConfiguration,
    BlockAffinity,
    CiliumNode,
    CustomResourceDefinition,
    EndpointSlice,
    Gateway,
    GatewayClass,
    GRPCRoute,
    HTTPRoute,
    Ingress,
    IngressClass,
    IPPool,
    Kind,
    ListenerSet,
    Namespace,
    Node,
    ReferenceGrant,
    Service,
    TCPRoute,
    TLSRoute,
    UDPRoute,
)
from onehop.cluster.kind import ClusterObject
from onehop.kube import Client, Collection, Selection, collection_of
from onehop.model.ident import ObjectRef
from onehop.source.counts import ReflectorCounts
from onehop.source.discovered import COMPANIONS, DiscoveredKinds
from onehop.source.identity import ClusterIdentity
from onehop.source.ledger import Key
from onehop.source.patience import KubernetesOptions, ReflectorTimes
from onehop.source.reflector import Reflector, Scope
from onehop.source.slim import Slimmer
from onehop.source.source import Sink
from onehop.source.surroundings import Surroundings
from onehop.source.trouble import LIST, Troubles
from onehop.source.wanted import WantedObjects

PAGE_LIMITS: Final[Mapping[type[ClusterObject], int]] = {
    Service: 500,
    EndpointSlice: 100,
    Node: 100,
    Ingress: 250,
    IngressClass: 500,
    Namespace: 500,
    BlockAffinity: 500,
    IPPool: 500,
    BGPConfiguration: 500,
    CiliumNode: 100,
    GatewayClass: 500,
    Gateway: 100,
    ListenerSet: 100,
    HTTPRoute: 250,
    GRPCRoute: 250,
    TLSRoute: 500,
    TCPRoute: 500,
    UDPRoute: 500,
    ReferenceGrant: 500,
    BackendTLSPolicy: 500,
}
"""What is read in full, and how much of it at once. A slice of a hundred endpoints is 25 kB and a
node with its images 15 kB, so a page stays below 3 MB and 10 ms of decoding."""

LISTS_AT_ONCE: Final = 16

CORE_KINDS: Final = frozenset(
    kind for kind, resource in KINDS.items() if resource.struct in PAGE_LIMITS
) - {kind for kind, resource in KINDS.items() if resource.is_custom}
"""What every API server serves, and what is always read."""


class KubernetesSource:
    """Implements `Source` over a Kubernetes API.

    Attributes:
        counts: what the reflectors of each kind have been doing.
    """

    def __init__(
        self,
        client: Client,
        options: KubernetesOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        self._structs = tuple(
            struct
            for struct in PAGE_LIMITS
            if Kind(collection_of(struct).kind) in CORE_KINDS | options.custom.all
        )
        self.counts: Mapping[Kind, ReflectorCounts] = {
            Kind(collection_of(struct).kind): ReflectorCounts() for struct in self._structs
        } | {kind: ReflectorCounts() for kind in self._discoverable(options) | WANTED_KINDS}
        self._client = client
        self._options = options
        self._clock = clock
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311  nothing secret depends on it
        self._unlisted: set[type[ClusterObject]] = {
            *self._structs,
            *(KINDS[kind].struct for kind in self._discoverable(options)),
        }
        self._expected: frozenset[ObjectRef] = frozenset()
        self._discovered: DiscoveredKinds | None = None
        self._reflectors: list[Reflector] = []
        self._around: Surroundings | None = None
        self._wanted = WantedObjects(self._wanted_reflector, self._forget)

    async def run(self, sink: Sink) -> None:
        """Feed the sink until cancelled; what the world does wrong is retried, never raised."""
        self._around = Surroundings(
            client=self._client,
            sink=sink,
            identity=ClusterIdentity(self._client),
            troubles=Troubles(sink),
            slimmer=Slimmer(),
            clock=self._clock,
            sleep=self._sleep,
            random=self._random,
            lists=asyncio.Semaphore(LISTS_AT_ONCE),
            limits=self._options.limits,
        )
        async with asyncio.TaskGroup() as group:
            for struct in self._structs:
                reflector = self._kind_reflector(struct)
                self._reflectors.append(reflector)
                group.create_task(reflector.run(), name=f"reflect {struct.__name__}")
            self._discovered = DiscoveredKinds(
                self._options.custom.discovered,
                self._expected,
                reflect=self._discovered_reflector,
                settled=self._not_there,
                beside=self._definition_reflector,
            )
            group.create_task(
                self._discovered.run(group, self._around, self._options.times), name="discovery"
            )
            group.create_task(self._wanted.run(group), name="wanted objects")

    def expect(self, known: frozenset[ObjectRef]) -> None:
        """Doubt first lists, too, in which these are missing; to be said before `run`."""
        self._expected = known

    def known(self) -> frozenset[ObjectRef]:
        """Return everything but Secrets and ConfigMaps that is there."""
        discovered = self._discovered.reflectors if self._discovered is not None else ()
        return frozenset().union(
            *(reflector.known for reflector in (*self._reflectors, *discovered))
        )

    @property
    def versions(self) -> Mapping[Kind, str]:
        """The version in which each discovered kind is read; one that is not served is not here."""
        return dict(self._discovered.versions) if self._discovered is not None else {}

    def want(self, wanted: frozenset[ObjectRef]) -> None:
        """Read these Secrets and ConfigMaps, and no others, from now on."""
        self._wanted.want(wanted)

    @property
    def unsettled(self) -> frozenset[ObjectRef]:
        """Wanted objects about which the API has not answered yet."""
        return self._wanted.unsettled

    @property
    def unread(self) -> frozenset[ObjectRef]:
        """Wanted objects that have not been seen, nor seen to be absent."""
        return self._wanted.unread

    async def wants_settled(self) -> None:
        """Wait until the API has answered for each wanted object: there, absent or forbidden."""
        await self._wanted.settled()

    def _kind_reflector(self, struct: type[ClusterObject]) -> Reflector:
        collection: Collection[ClusterObject] = collection_of(struct)
        expected = frozenset(
            (ref.namespace, ref.name) for ref in self._expected if ref.kind == collection.kind
        )
        is_optional = Kind(collection.kind) in self._options.custom.welcome
        return self._whole_reflector(collection, expected, is_optional=is_optional)

    def _discovered_reflector(
        self, collection: Collection[ClusterObject], expected: frozenset[Key]
    ) -> Reflector:
        return self._whole_reflector(collection, expected, is_optional=True)

    def _definition_reflector(self, ref: ObjectRef) -> Reflector:
        collection: Collection[ClusterObject] = collection_of(CustomResourceDefinition)
        return self._reflector(
            Scope(
                collection=collection,
                selection=Selection(name=ref.name),
                subject=ref,
                absent=ref,
            ),
            self._options.wanted,
            partial(self._listed, CustomResourceDefinition),
        )

    def _whole_reflector(
        self,
        collection: Collection[ClusterObject],
        expected: frozenset[Key],
        *,
        is_optional: bool,
    ) -> Reflector:
        return self._reflector(
            Scope(
                collection=collection,
                selection=Selection(),
                subject=ObjectRef(LIST, "", collection.kind),
                page_limit=PAGE_LIMITS[collection.struct],
                expected=expected,
                is_optional=is_optional,
            ),
            self._options.times,
            partial(self._listed, collection.struct),
        )

    def _wanted_reflector(self, ref: ObjectRef, answered: Callable[[], None]) -> Reflector:
        collection: Collection[ClusterObject] = collection_of(KINDS[Kind(ref.kind)].struct)
        return self._reflector(
            Scope(
                collection=collection,
                selection=Selection(namespace=ref.namespace, name=ref.name),
                subject=ref,
                absent=ref,
                expected=frozenset({(ref.namespace, ref.name)} if ref in self._expected else ()),
            ),
            self._options.wanted,
            answered,
        )

    def _reflector(
        self, scope: Scope, times: ReflectorTimes, answered: Callable[[], None]
    ) -> Reflector:
        assert self._around is not None  # noqa: S101  reflectors are made by `run` only
        return Reflector(
            scope,
            self._around,
            times=times,
            counts=self.counts[Kind(scope.collection.kind)],
            answered=answered,
        )

    def _listed(self, struct: type[ClusterObject]) -> None:
        self.counts[Kind(collection_of(struct).kind)].is_listed = True
        self._settle(struct)

    @staticmethod
    def _discoverable(options: KubernetesOptions) -> frozenset[Kind]:
        """Return the kinds that are read where they are there, and those of their companions."""
        kinds = options.custom.discovered
        return kinds | {Kind(COMPANIONS[kind].kind) for kind in kinds & COMPANIONS.keys()}

    def _not_there(self, kind: Kind) -> None:
        self._settle(KINDS[kind].struct)
        if kind in COMPANIONS:
            self._settle(KINDS[Kind(COMPANIONS[kind].kind)].struct)

    def _settle(self, struct: type[ClusterObject]) -> None:
        """Wait no longer for a kind: it has been listed, or it is not there."""
        if struct not in self._unlisted:
            return
        self._unlisted.discard(struct)
        if not self._unlisted and self._around is not None:
            self._around.sink.complete()

    def _forget(self, ref: ObjectRef) -> None:
        if self._around is not None:
            self._around.troubles.put(ref, ())
