"""An nftables table as a value, and the text of the transaction that makes it so; pure.

A transaction keeps counters and the clients of a session affinity, replaces everything else at
once, and takes away what the last one had and this one has not. `nft -f` carries it out whole or
not at all (nft(8), "-f").
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

NAME: Final = "kube-proxy-lab"


class Chain(msgspec.Struct, frozen=True):
    """A chain.

    Attributes:
        hook: `type nat hook prerouting priority dstnat` for a base chain; "" for one to jump to.
    """

    name: str
    rules: tuple[str, ...]
    hook: str = ""


class Lookup(msgspec.Struct, frozen=True):
    """A set or a map that is filled by us.

    Attributes:
        type: `ipv4_addr`, or `inet_proto . inet_service : verdict` for a map.
    """

    name: str
    type: str
    elements: tuple[str, ...]

    @property
    def is_map(self) -> bool:
        """Whether its elements have values."""
        return " : " in self.type


class Memory(msgspec.Struct, frozen=True):
    """A set that rules fill: the clients that stay with an endpoint, for a time."""

    name: str
    type: str
    timeout_s: int


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The table of one family.

    Attributes:
        family: `ip` or `ip6`.
        counters: their names; rules refer to them.
    """

    family: str
    chains: tuple[Chain, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    memories: tuple[Memory, ...] = ()
    counters: tuple[str, ...] = ()


def render_transaction(wanted: Table, had: Table | None) -> str:
    """Return what `nft -f -` shall read.

    Args:
        wanted: the table as it shall be.
        had: the table as we last made it; None if it is not known, and then it begins anew.
    """
    return "\n".join(_statements(wanted, had)) + "\n"


def _statements(wanted: Table, had: Table | None) -> Iterator[str]:
    table = f"{wanted.family} {NAME}"
    yield f"add table {table}"
    if had is None:
        yield f"delete table {table}"
        yield f"add table {table}"
    yield from (f"add counter {table} {name}" for name in wanted.counters)
    for memory in wanted.memories:
        about = f"type {memory.type}; flags dynamic,timeout; timeout {memory.timeout_s}s;"
        yield f"add set {table} {memory.name} {{ {about} }}"
    for chain in wanted.chains:
        about = f" {{ {chain.hook}; policy accept; }}" if chain.hook else ""
        yield f"add chain {table} {chain.name}{about}"
    yield f"flush table {table}"
    for lookup in wanted.lookups:
        word = "map" if lookup.is_map else "set"
        yield f"add {word} {table} {lookup.name} {{ type {lookup.type}; }}"
        yield f"flush {word} {table} {lookup.name}"
        if lookup.elements:
            yield f"add element {table} {lookup.name} {{ {', '.join(lookup.elements)} }}"
    for chain in wanted.chains:
        yield from (f"add rule {table} {chain.name} {rule}" for rule in chain.rules)
    if had is not None:
        yield from _removals(table, wanted, had)


def _removals(table: str, wanted: Table, had: Table) -> Iterator[str]:
    for word, before, after in (
        ("chain", _names(had.chains), _names(wanted.chains)),
        ("set", _names(had.memories), _names(wanted.memories)),
        ("counter", had.counters, wanted.counters),
    ):
        kept = frozenset(after)
        yield from (f"delete {word} {table} {name}" for name in before if name not in kept)


def _names(parts: Iterable[Chain | Memory]) -> tuple[str, ...]:
    return tuple(part.name for part in parts)
