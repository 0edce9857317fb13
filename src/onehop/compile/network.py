"""The network that this host needs, put together from cells.

The cells are small and move one at a time; the whole is made only when somebody asks, after being
told that one of them moved.
"""

from collections.abc import Container, Mapping
from itertools import chain
from operator import attrgetter
from typing import Any, Final

import msgspec

from onehop.cluster import IPPool
from onehop.compile.backend import options_of
from onehop.compile.block import ALLOCATION, BLOCKS
from onehop.compile.inputs import IP_POOLS, ONLY
from onehop.compile.options import AllocationSource, BgpOptions
from onehop.compile.session import CIRCLE, SESSIONS
from onehop.compile.sheet import Cell, Index, Reader, Settled, Sheet, Table, Whole
from onehop.compile.tunnel import TUNNELS
from onehop.model.address import Cidr, parse_cidr
from onehop.model.ident import ObjectRef
from onehop.model.network import Neighbor, Network

ALL_POOLS: Final = Index[ObjectRef, IPPool, tuple[()]](IP_POOLS, "all", lambda _, __: (ONLY,))


def _compute_ranges(reader: Reader) -> Mapping[tuple[()], Cell[tuple[Cidr, ...]]]:
    if reader.get(ALLOCATION, ONLY) is not AllocationSource.CALICO:
        return {}
    cidrs = {parse_cidr(pool.spec.cidr) for pool in reader.unordered(ALL_POOLS, ONLY)}
    ranges = sorted(cidr for cidr in cidrs if cidr is not None)
    return {ONLY: Cell(tuple(ranges))} if ranges else {}


RANGES: Final = Whole[tuple[()], tuple[Cidr, ...]]("ranges", _compute_ranges)
"""What Calico cuts blocks from; no row where nobody says so."""


def _compute_speaker(reader: Reader) -> Mapping[tuple[()], Cell[BgpOptions]]:
    bgp = options_of(reader).bgp
    return {} if bgp is None else {ONLY: Cell(bgp)}


SPEAKER: Final = Whole[tuple[()], BgpOptions]("bgp-speaker", _compute_speaker)

NETWORK_TABLES: Final[tuple[Table[Any, Any], ...]] = (
    RANGES,
    SPEAKER,
    CIRCLE,
    SESSIONS,
    TUNNELS,
)
"""In their order; they read the tables of `block`."""

_PARTS: Final = frozenset(t.name for t in (BLOCKS, RANGES, SPEAKER, SESSIONS, TUNNELS))


def is_other_network(settled: Settled) -> bool:
    """Tell whether `network_of` may return something else than before."""
    return not _PARTS.isdisjoint(settled.changed)


def network_of(sheet: Sheet) -> Network:
    """Return the whole; its cost grows with the number of nodes and blocks."""
    bgp = sheet.value(SPEAKER, ONLY)
    named = (*bgp.listed, *bgp.upstream) if bgp is not None else ()
    taken = {neighbor.name for neighbor in named}
    found = (_called(neighbor, taken) for neighbor in chain(*sheet.values(SESSIONS).values()))
    blocks = tuple(sorted(sheet.values(BLOCKS).values()))
    ranges = sheet.value(RANGES, ONLY)
    return Network(
        asn=bgp.asn if bgp is not None else None,
        neighbors=tuple(sorted((*named, *found), key=attrgetter("name"))),
        blocks=blocks,
        ranges=ranges if ranges is not None else tuple(block.prefix for block in blocks),
        tunnels=tuple(sorted(chain(*sheet.values(TUNNELS).values()))),
    )


def _called(neighbor: Neighbor, taken: Container[str]) -> Neighbor:
    """Give a node another name where the operator has called some other neighbour by it."""
    if neighbor.name not in taken:
        return neighbor
    return msgspec.structs.replace(neighbor, name=f"{neighbor.name}/node")
