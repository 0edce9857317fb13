"""A routing table on paper: what a kernel would say of an area, worked out the slow way."""

import ipaddress
from typing import Any

import msgspec

from onehop.compile.compiler import Compiler, Outcome
from onehop.model.address import Cidr, IpAddr
from onehop.model.reach import Area, FibRoute, Hop, ProbeResult, RouteKind, Stretch


class PaperRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A route as a story tells it.

    Attributes:
        via: gateways; none is a route onto the link.
        steady: whether it has stood for long enough.
    """

    to: str
    via: tuple[str, ...] = ()
    dev: str = "eth0"
    kind: RouteKind = RouteKind.UNICAST
    origin: str = "bird"
    steady: bool = True

    @property
    def network(self) -> Any:
        """The prefix, parsed."""
        return ipaddress.ip_network(self.to)

    def as_fib(self) -> FibRoute:
        """Return what a look-up of the kernel's would say."""
        hops = tuple(Hop(self.dev, IpAddr(address)) for address in sorted(self.via))
        is_forwarded = self.kind is RouteKind.UNICAST
        return FibRoute(
            prefix=Cidr(self.to),
            kind=self.kind,
            hops=hops or ((Hop(self.dev),) if is_forwarded else ()),
            origin=self.origin,
        )


class PaperTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The routes, and what became of probes, by prefix."""

    routes: tuple[PaperRoute, ...] = ()
    probes: dict[str, ProbeResult] = {}

    def area(self, prefix: Cidr) -> Area:
        """Return what the table says of a prefix: longest match for every address, runs joined."""
        network = ipaddress.ip_network(prefix)
        first, last = int(network[0]), int(network[-1])
        near = [r for r in self.routes if r.network.version == network.version]
        edges = {first, *(int(r.network[0]) for r in near), *(int(r.network[-1]) + 1 for r in near)}
        starts = sorted(edge for edge in edges if first <= edge <= last)
        stretches: list[Stretch] = []
        for start, end in zip(starts, [*starts[1:], last + 1], strict=True):
            best = max(
                (r for r in near if int(r.network[0]) <= start <= int(r.network[-1])),
                key=lambda route: route.network.prefixlen,
                default=None,
            )
            route = best.as_fib() if best is not None else None
            steady = best.steady if best is not None else True
            before = stretches[-1] if stretches else None
            if before is not None and (before.route, before.is_steady) == (route, steady):
                start = stretches.pop().first  # noqa: PLW2901  the run goes on
            stretches.append(Stretch(first=start, last=end - 1, route=route, is_steady=steady))
        return Area(
            prefix=prefix,
            stretches=tuple(stretches),
            probe=self.probes.get(prefix, ProbeResult.NOT_ASKED),
        )


def answer(compiler: Compiler, table: PaperTable, had: set[Cidr]) -> None:
    """Put what the compiler asks for, and take away what it no longer asks for."""
    wanted = compiler.wanted_areas()
    for prefix in had - wanted:
        compiler.drop_area(prefix)
    for prefix in wanted:
        compiler.put_area(table.area(prefix))
    had.clear()
    had.update(wanted)


def settle(compiler: Compiler, table: PaperTable) -> Outcome:
    """Settle, answering until nothing more is asked."""
    had: set[Cidr] = set()
    outcome = latest = compiler.settle()
    while latest.wants_areas:
        answer(compiler, table, had)
        latest = compiler.settle()
        outcome = outcome.then(latest)
    return outcome
