"""Carrying tables out by nft(8), and reading their counters."""

from collections.abc import Mapping, Sequence

import msgspec

from onehop.lab.node.command import run
from onehop.lab.node.table import Table, render_transaction


class Count(msgspec.Struct, frozen=True, order=True):
    """What a counter has counted."""

    packets: int
    bytes: int


class _Counter(msgspec.Struct, frozen=True):
    name: str
    packets: int
    bytes: int


class _Entry(msgspec.Struct, frozen=True):
    counter: _Counter | None = None


class _Listing(msgspec.Struct, frozen=True):
    nftables: tuple[_Entry, ...]


class Tables:
    """The tables of this network namespace, as we made them."""

    def __init__(self) -> None:
        self._had: dict[str, Table] = {}

    async def apply(self, wanted: Table) -> bool:
        """Make a table as wanted, at once; return whether there was anything to do.

        Raises:
            CommandFailed: the kernel refused it, and all is as it was.
        """
        had = self._had.get(wanted.family)
        if had == wanted:
            return False
        await run("nft", "-f", "-", stdin=render_transaction(wanted, had))
        self._had[wanted.family] = wanted
        return True


async def read_counters(prefix: Sequence[str] = ()) -> Mapping[str, Count]:
    """Return the counters of both families, added up by name.

    Args:
        prefix: a command to run nft by, such as `("ip", "netns", "exec", "lab-node1")`.

    Raises:
        CommandFailed: there are none.
    """
    found: dict[str, Count] = {}
    listing = await run(*prefix, "nft", "-j", "list", "counters")
    for entry in msgspec.json.decode(listing, type=_Listing).nftables:
        if entry.counter is not None:
            before = found.get(entry.counter.name, Count(0, 0))
            found[entry.counter.name] = Count(
                before.packets + entry.counter.packets, before.bytes + entry.counter.bytes
            )
    return found
