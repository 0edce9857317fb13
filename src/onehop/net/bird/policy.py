"""BIRD's filters: which routes a neighbour is believed, and which it is told."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from onehop.model.address import IpAddr, is_ipv6
from onehop.model.network import Neighbor, NeighborRole, Network
from onehop.net.bird.ownership import Holding, by_hops, holdings
from onehop.net.bird.token import address_text, family, prefix_set

_FAMILIES: Final = (False, True)


class Policy:
    """What is known of blocks, put in order once for all neighbours.

    A route is believed if its prefix is a block or part of one, lies in a range, and leads to the
    block's own node. A block within another one belongs to its own node alone.

    Calico's nodes may also announce a single Pod's address out of another node's block ("borrowed",
    with `strictAffinity: false`). Nothing that we can read proves who borrowed what, so such a
    route looks exactly like a stolen one, and is refused: the Pod is still reached, by way of the
    block's node, which knows better.
    """

    def __init__(self, network: Network) -> None:
        self._families = {is_ipv6(prefix) for prefix in network.ranges}
        self._held = {ipv6: holdings(network.blocks, ipv6=ipv6) for ipv6 in _FAMILIES}
        self._of_node: dict[tuple[str, bool], list[Holding]] = {}
        self._nodes_at: dict[IpAddr, set[str]] = {}
        for ipv6, held in self._held.items():
            for holding in held:
                node = holding.block.node
                self._of_node.setdefault((node, ipv6), []).append(holding)
                for hop in holding.block.hops:
                    self._nodes_at.setdefault(hop, set()).add(node)

    def import_filter(self, name: str, neighbor: Neighbor, *, ipv6: bool) -> Iterator[str]:
        """Yield the lines of the filter for what a neighbour tells us."""
        groups = by_hops(self._believed(neighbor, ipv6=ipv6))
        yield f"filter {name} {{"
        if groups and ipv6 in self._families:
            yield f"  if !(net ~ ONEHOP_RANGES{family(ipv6=ipv6)}) then reject;"
            yield "  case bgp_next_hop {"
            for hops, held in sorted(groups.items()):
                # The space keeps the colon from becoming part of an IPv6 address.
                yield f"    {', '.join(map(address_text, hops))} :"
                yield from (f"      {line}" for line in _accept(held))
            yield "  }"
        yield "  reject;"
        yield "}"

    def _believed(self, neighbor: Neighbor, *, ipv6: bool) -> Iterable[Holding]:
        match neighbor.role:
            case NeighborRole.UPSTREAM:
                return ()
            case NeighborRole.REFLECTOR:
                return self._held[ipv6]
            case NeighborRole.NODE:
                nodes = self._nodes_at.get(neighbor.address, set()) | {neighbor.name}
                return [
                    holding
                    for node in sorted(nodes)
                    for holding in self._of_node.get((node, ipv6), ())
                ]


def export_clause(neighbor: Neighbor, *, ipv6: bool) -> str:
    """Return the clause for what a neighbour is told: never a route that we learnt."""
    digit = family(ipv6=ipv6)
    hears = {
        "vips": neighbor.hears_vips or neighbor.role is NeighborRole.UPSTREAM,
        "returns": neighbor.hears_return,
    }
    told = [f'proto = "onehop_{what}{digit}"' for what, is_heard in hears.items() if is_heard]
    return f"export where {' || '.join(told)};" if told else "export none;"


def _accept(held: Sequence[Holding]) -> Iterator[str]:
    whole = [holding.block.prefix for holding in held if not holding.except_for]
    if whole:
        yield f"if net ~ {prefix_set(whole)} then accept;"
    for holding in held:
        if holding.except_for:
            mine, others = prefix_set((holding.block.prefix,)), prefix_set(holding.except_for)
            yield f"if net ~ {mine} && !(net ~ {others}) then accept;"
