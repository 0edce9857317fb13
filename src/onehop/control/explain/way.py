"""What proves the way to a Pod, or what is missing."""

from typing import Final

import msgspec

from onehop.compile.backend import options_of
from onehop.compile.block import NODE_HOPS, node_ref
from onehop.compile.sheet import Reader
from onehop.compile.way import WAYS, Standing, Way, way_to
from onehop.control.explain.explanation import WayStep
from onehop.control.explain.facts import Facts
from onehop.model.address import is_ipv6
from onehop.model.endpoint import Endpoint
from onehop.model.reach import Hop

ASSUMED: Final = "assumed"
_NOT_ASKED: Final = WayStep(
    standing=ASSUMED,
    is_open=True,
    says="assumed: nobody asks the routing table",
)


class Judged(msgspec.Struct, frozen=True):
    """What is known of the way to a Pod, and what is missing for it to be open, or None."""

    way: WayStep
    need: str | None


def judge(facts: Facts, reader: Reader, pod: Endpoint) -> Judged:
    """Return what is known of the way to a Pod."""
    if not options_of(reader).proves_reach:
        return Judged(_NOT_ASKED, None)
    way = way_to(reader, pod.address, pod.node)
    return Judged(_shown(facts, way, pod), None if way.is_open else _need(facts, reader, way, pod))


def _shown(facts: Facts, way: Way, pod: Endpoint) -> WayStep:
    route = way.route
    hops = route.hops if route is not None else ()
    return WayStep(
        standing=way.standing.value,
        is_open=way.is_open,
        says=way.why,
        area=way.area,
        route=route.prefix if route is not None else None,
        hops=tuple(map(_hop_text, hops)),
        table=route.table if route is not None else None,
        origin=route.origin if route is not None else None,
        age_s=_age(facts.age_of(way.area, pod.address)),
    )


def _hop_text(hop: Hop) -> str:
    return f"via {hop.address} dev {hop.device}" if hop.address else f"dev {hop.device}"


def _age(seconds: float | None) -> float | None:
    return round(seconds, 1) if seconds is not None else None


def _need(facts: Facts, reader: Reader, way: Way, pod: Endpoint) -> str:
    return _NEEDS[way.standing].format(
        area=way.area if _is_in_block(reader, pod) else pod.address,
        hop=_hop(reader, pod),
        stable=f"{facts.config.reach.stable_s:g} s",
    )


_NEEDS: Final = {
    Standing.NO_ROUTE: "a route to {area}{hop}",
    Standing.DEFAULT_ROUTE: "a route to {area}{hop}",
    Standing.WRONG_HOP: "a route to {area}{hop}",
    Standing.REFUSED: "a route to {area}{hop}, where it is dropped now",
    Standing.UNSTEADY: "the route to {area} to stand for {stable}",
    Standing.UNKNOWN: "a look at the routing table for {area}",
    Standing.UNPROBED: "an answer from {area}",
    Standing.SILENT: "an answer from {area}",
}


def _is_in_block(reader: Reader, pod: Endpoint) -> bool:
    """Tell whether a route must lead to a block of the node, and not only to the address."""
    ways = reader.get(WAYS, pod.node) if pod.node is not None else None
    return ways is not None and ways.to(pod.address) is not None


def _hop(reader: Reader, pod: Endpoint) -> str:
    hops = reader.get(NODE_HOPS, node_ref(pod.node)) if pod.node is not None else None
    fitting = (hop for hop in hops or () if is_ipv6(hop) is is_ipv6(pod.address))
    hop = next(fitting, None)
    return f" by {hop}" if hop is not None else ""
