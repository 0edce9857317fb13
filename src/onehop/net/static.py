"""Kernel routes to the Pods of nodes that are on a link of ours: no BGP, no tunnel.

That is what a node of flannel's host-gw backend, of kube-router or of kindnet does for every other
node: `ip route add <podCIDR> via <node>`. We are one more machine on their link.
"""

import asyncio
import errno
import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec
import structlog

from onehop.base.errors import TransientError
from onehop.base.latest import Latest
from onehop.base.nlmsg import Message
from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.network import Block
from onehop.net.own_routes import OwnRoutes, RouteChanges, diff_routes
from onehop.net.rtnetlink.kernel import LINKS, ROUTES, Events, ask_all, transact
from onehop.net.rtnetlink.link import is_gone
from onehop.net.rtnetlink.route import (
    LOCAL,
    UNICAST,
    Answer,
    KernelRoute,
    ask_route,
    is_link_route,
    read_answer,
    read_route,
    route_kind,
    route_protocol,
)
from onehop.net.table import BIRD, PROTOCOL, STATIC_METRIC, TABLE

_RETRY_S: Final = 10.0
_PAUSE_S: Final = 0.05
"""Between two restorations, so that a war with another program stays a small one."""

_log = structlog.get_logger(__name__)


class RouteFaultReason(StrEnum):
    """Why a block has no route of ours."""

    NO_ADDRESS = "no-address"
    """The node is unknown, or has no address of the block's family."""
    NOT_ON_LINK = "not-on-link"
    """The node is behind a router: the kernel would refuse the route, and it would not help."""
    OURSELVES = "ourselves"
    """The node's address is this host's own."""
    CLAIMED_TWICE = "claimed-twice"
    """Another node has the same block; the one named first in the alphabet has the route."""
    TAKEN = "taken"
    """Somebody else's route stands in our table, at our prefix and metric."""
    FOREIGN = "foreign"
    """Somebody else's route stands in our table; it is left alone."""
    REFUSED = "refused"
    """The kernel said no."""


class RouteFault(msgspec.Struct, frozen=True, order=True, gc=False):
    """A block that is not reached as it should be, and why.

    Attributes:
        node: empty for a foreign route.
    """

    prefix: Cidr
    node: str
    reason: RouteFaultReason
    detail: str


class Resolved(msgspec.Struct, frozen=True):
    """What the blocks come to on this host, as its links are now."""

    routes: dict[Cidr, KernelRoute]
    nodes: dict[Cidr, str]
    faults: tuple[RouteFault, ...]


class StaticRoutes:
    """Keeps a kernel route for every block whose node is on a link of ours.

    Nothing is touched before the first `want`, so that a restart finds its routes and leaves
    them. Stopping leaves them too; `RoutingTable.withdraw` removes them.

    Attributes:
        faults: sorted; put whenever they change.
    """

    def __init__(self) -> None:
        self.faults: Latest[tuple[RouteFault, ...]] = Latest()
        self._blocks: tuple[Block, ...] | None = None
        self._answers: dict[IpAddr, Answer | None] = {}
        self._resolved: Resolved | None = None
        self._mirror = OwnRoutes(STATIC_METRIC)
        self._is_read = False
        self._is_refused = False
        self._wake = asyncio.Event()

    def want(self, blocks: Iterable[Block]) -> None:
        """Say which blocks shall be reached; the latest word counts, and may come at any rate."""
        self._blocks = tuple(blocks)
        self._resolved = None
        self._wake.set()

    async def run(self) -> None:
        """Keep the routes as wanted, and put back what somebody changes, until cancelled.

        Raises:
            ConfigError: this process may not change routes.
        """
        with Events(LINKS | ROUTES, hear=self._hear, lose=self._lose) as events:
            self._lose()
            while True:
                await self._something_happened()
                is_news = self._resolved is None
                try:
                    changes = await self._settle(events)
                except TransientError as err:
                    self._is_read, self._is_refused = False, True
                    _log.warning("static_routes_failed", error=str(err), retry_in_s=_RETRY_S)
                    continue
                if changes.put or changes.remove:
                    self._log(changes, is_news=is_news)
                    if not is_news:
                        await asyncio.sleep(_PAUSE_S)

    async def _something_happened(self) -> None:
        try:
            async with asyncio.timeout(_RETRY_S if self._is_refused else None):
                await self._wake.wait()
        except TimeoutError:
            self._forget_links()
        self._wake.clear()

    async def _settle(self, events: Events) -> RouteChanges:
        """Bring the kernel to what is wanted; return what had to change."""
        if not self._is_read:
            self._is_read = True
            await self._mirror.read()
        if self._blocks is None:
            return RouteChanges()
        resolved = await self._resolve(self._blocks)
        events.drain()
        taken = self._mirror.taken
        changes = diff_routes(self._mirror.present, resolved.routes, taken=taken)
        refused = await transact(changes.requests())
        events.drain()
        self._report(resolved, taken, refusals(changes, refused))
        return changes

    async def _resolve(self, blocks: tuple[Block, ...]) -> Resolved:
        """Return what the newest blocks come to on links that did not change meanwhile."""
        while self._resolved is None:
            answers = self._answers
            await _ask(blocks, answers)
            if answers is self._answers and blocks is self._blocks:
                self._resolved = resolve(blocks, answers)
            blocks = self._blocks or ()
        return self._resolved

    def _hear(self, message: Message) -> None:
        if self._mirror.hear(message):
            if route_protocol(message) not in {PROTOCOL, BIRD}:
                self._forget_links()  # it may lead to nodes: our table is looked up first
            self._wake.set()
        elif is_gone(message, {answer.device for answer in self._answers.values() if answer}):
            self._lose()  # the kernel drops the routes of a link without telling
        elif self._is_about_links(message):
            self._forget_links()
            self._wake.set()

    def _is_about_links(self, message: Message) -> bool:
        """Tell whether a route of others may change what is on our links."""
        if not is_link_route(message):
            return False
        if route_kind(message) == LOCAL:
            return read_route(message.payload).prefix.partition("/")[0] in self._answers
        return route_kind(message) == UNICAST

    def _lose(self) -> None:
        self._is_read = False
        self._forget_links()
        self._wake.set()

    def _forget_links(self) -> None:
        self._answers = {}
        self._resolved = None

    def _report(
        self, resolved: Resolved, taken: frozenset[Cidr], refused: Mapping[Cidr, str]
    ) -> None:
        self._is_refused = bool(refused)
        nodes = resolved.nodes
        faults = [
            *resolved.faults,
            *(
                RouteFault(prefix, nodes[prefix], RouteFaultReason.REFUSED, why)
                for prefix, why in refused.items()
            ),
            *(
                RouteFault(
                    prefix,
                    nodes.get(prefix, ""),
                    RouteFaultReason.TAKEN
                    if prefix in nodes and prefix in taken
                    else RouteFaultReason.FOREIGN,
                    f"a route of protocol {route.protocol} stands in table {TABLE}",
                )
                for (prefix, _), route in self._mirror.foreign.items()
            ),
        ]
        found = tuple(sorted(faults))
        if found != self.faults.peek():
            self.faults.put(found)

    def _log(self, changes: RouteChanges, *, is_news: bool) -> None:
        _log.info(
            "static_routes_put" if is_news else "static_routes_restored",
            put=len(changes.put),
            removed=len(changes.remove),
            first=(changes.put or changes.remove)[0].prefix,
            routes=len(self._mirror.present),
            table=TABLE,
        )


def resolve(blocks: Iterable[Block], answers: Mapping[IpAddr, Answer | None]) -> Resolved:
    """Return the routes that the blocks come to, and the blocks that come to none.

    Args:
        blocks: sorted by prefix, then node.
        answers: what the kernel would do with a packet to each hop; None if it knows no way.
    """
    routes: dict[Cidr, KernelRoute] = {}
    nodes: dict[Cidr, str] = {}
    faults: list[RouteFault] = []
    for block in blocks:
        found = _route(block, answers)
        if block.prefix in nodes:
            other = nodes[block.prefix]
            detail = f"node {other!r} has the block as well"
            reason = RouteFaultReason.CLAIMED_TWICE
            faults.append(RouteFault(block.prefix, block.node, reason, detail))
        elif isinstance(found, RouteFault):
            faults.append(found)
        else:
            routes[block.prefix], nodes[block.prefix] = found, block.node
    return Resolved(routes=routes, nodes=nodes, faults=tuple(faults))


def refusals(changes: RouteChanges, refused: Mapping[int, int]) -> dict[Cidr, str]:
    """Return the prefixes that the kernel did not take, and what it said.

    A removal that found nothing to remove (ESRCH) has what it wanted.
    """
    routes = (*changes.put, *changes.remove)
    return {
        routes[index].prefix: os.strerror(code)
        for index, code in refused.items()
        if index < len(changes.put) or code != errno.ESRCH
    }


async def _ask(blocks: Iterable[Block], answers: dict[IpAddr, Answer | None]) -> None:
    """Ask the kernel about the hops that there is no answer for yet."""
    hops = dict.fromkeys(hop for block in blocks for hop in block.hops)
    unknown = [hop for hop in hops if hop not in answers]
    payloads = await ask_all([ask_route(hop) for hop in unknown])
    for hop, payload in zip(unknown, payloads, strict=True):
        answers[hop] = None if payload is None else read_answer(payload)


def _route(block: Block, answers: Mapping[IpAddr, Answer | None]) -> KernelRoute | RouteFault:
    family = is_ipv6(block.prefix)
    reason, detail = RouteFaultReason.NO_ADDRESS, "the node has no address of this family"
    for hop in block.hops:
        if is_ipv6(hop) != family:
            continue
        answer = answers.get(hop)
        if answer is not None and answer.kind == LOCAL:
            reason, detail = RouteFaultReason.OURSELVES, f"{hop} is an address of this host"
        elif answer is None or answer.kind != UNICAST:
            reason, detail = RouteFaultReason.NOT_ON_LINK, f"the kernel knows no way to {hop}"
        elif answer.via is not None:
            reason, detail = RouteFaultReason.NOT_ON_LINK, f"{hop} is behind {answer.via}"
        else:
            return KernelRoute(
                prefix=block.prefix,
                table=TABLE,
                protocol=PROTOCOL,
                metric=STATIC_METRIC,
                via=hop,
                device=answer.device,
            )
    return RouteFault(block.prefix, block.node, reason, detail)
