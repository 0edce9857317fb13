"""Our table in the kernel, and what we know to be in it."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from onehop.base.errors import DriverUnavailable
from onehop.driver.nftables.element import Elements, Entrance, Lookup, Place, entrance_of
from onehop.driver.nftables.netlink import Change, Netlink, Refused
from onehop.driver.nftables.nft import run_nft
from onehop.driver.nftables.ruleset import (
    Draw,
    render_draws,
    render_forgetting,
    render_removal,
    render_table,
)

_USUAL: Final = tuple(Draw(version, slots) for version in (4, 6) for slots in range(1, 33))
"""There from the start, so that a change of endpoints does not wait for nft."""


class KernelTable:
    """The table, opened by `opened()`; leaving that leaves the table where it is."""

    def __init__(self) -> None:
        self._have: dict[Entrance, Elements] = {}
        self._draws: set[Draw] = set()
        self._handle: int | None = None
        self._netlink: Netlink | None = None
        self._questions: Netlink | None = None
        self._asking = asyncio.Lock()
        self.transactions = 0
        """How many changes were made."""

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Put the rules, and learn what an earlier run has left.

        Raises:
            ConfigError: this host or this process cannot do it.
            DriverUnavailable: the kernel refuses.
        """
        with Netlink() as netlink, Netlink() as questions:
            self._netlink, self._questions = netlink, questions
            try:
                await self.renew()
                yield
            finally:
                self._netlink = self._questions = None

    @property
    def entrances(self) -> frozenset[Entrance]:
        """What is served, by this run or by an earlier one."""
        return frozenset(self._have)

    @property
    def elements(self) -> int:
        """How many there are."""
        return sum(map(len, self._have.values()))

    def at(self, entrance: Entrance) -> Elements:
        """Return what serves an entrance now."""
        return self._have.get(entrance, {})

    def has(self, draw: Draw | None) -> bool:
        """Tell whether a chain is there, so that elements may lead to it."""
        return draw is None or draw in self._draws

    async def make(self, draws: Iterable[Draw]) -> None:
        """Make chains."""
        missing = frozenset(draws) - self._draws
        if missing:
            await run_nft(render_draws(missing))
            self._draws |= missing

    async def forget(self, used: Iterable[Draw]) -> None:
        """Take away chains of single listeners that are no longer used."""
        kept = frozenset(used)
        gone = {draw for draw in self._draws - kept if draw.clients}
        if gone:
            clients = {draw.clients for draw in gone} - {draw.clients for draw in kept}
            self._draws -= gone
            await run_nft(render_forgetting(gone, clients))

    def put(self, wanted: Mapping[Entrance, Elements]) -> None:
        """Make what serves some entrances as wanted, in one transaction.

        Raises:
            Refused: somebody else has changed our table.
        """
        netlink = self._netlink
        if netlink is None:
            raise DriverUnavailable("layer 4 in the kernel is not open")
        changes = [_change(self.at(entrance), wanted[entrance]) for entrance in wanted]
        change = Change(
            {place: value for each in changes for place, value in each.remove.items()},
            {place: value for each in changes for place, value in each.put.items()},
        )
        if change:
            netlink.change(change)
            self.transactions += 1
        self._have |= wanted
        for entrance in [each for each, elements in wanted.items() if not elements]:
            del self._have[entrance]

    async def is_there(self) -> bool:
        """Tell whether the table is still the one that we know."""
        async with self._asking:
            return self._handle == await self._asked().table_handle()

    async def count(self, places: Iterable[Place]) -> Mapping[Place, int]:
        """Return what some elements have counted."""
        async with self._asking:
            return await self._asked().counters(places)

    async def renew(self) -> None:
        """Put the rules again, and learn what elements there are.

        A table of another version of ours may not be what the rules need. Then it is replaced.
        """
        rules = render_table() + render_draws(_USUAL)
        try:
            await run_nft(rules)
        except DriverUnavailable:
            await run_nft(render_removal() + rules)
        self._draws = {*_USUAL}
        self._have = {}
        async with self._asking:
            self._handle = await self._asked().table_handle()
            for lookup in Lookup:
                for version in (4, 6):
                    await self._learn(lookup, version)

    async def _learn(self, lookup: Lookup, version: int) -> None:
        try:
            found = await self._asked().elements(lookup, version)
        except Refused as refused:
            raise DriverUnavailable(f"nf_tables does not list {lookup}: {refused}") from refused
        for place, value in found.items():
            self._have.setdefault(entrance_of(place), {})[place] = value

    def _asked(self) -> Netlink:
        if self._questions is None:
            raise DriverUnavailable("layer 4 in the kernel is not open")
        return self._questions


def _change(have: Elements, want: Elements) -> Change:
    """Return what turns one into the other: a value that changes goes and comes."""
    differs = {place: value for place, value in want.items() if have.get(place) != value}
    gone = {place: value for place, value in have.items() if want.get(place) != value}
    return Change(gone, differs)
