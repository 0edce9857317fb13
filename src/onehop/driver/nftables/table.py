"""Our table in the kernel, and what we know to be in it."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import structlog

from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.driver.nftables.adopt import adopt_connections
from onehop.driver.nftables.channel import Refused
from onehop.driver.nftables.element import (
    Elements,
    Entrance,
    Lookup,
    Place,
    entrance_of,
    to_number,
)
from onehop.driver.nftables.hold import Hold
from onehop.driver.nftables.monitor import Monitor
from onehop.driver.nftables.netlink import Change, Netlink
from onehop.driver.nftables.nft import RulesRefused, run_nft
from onehop.driver.nftables.ruleset import (
    Chain,
    Draw,
    Sticky,
    draw_of,
    fixed_chains,
    fixed_maps,
    render_chains,
    render_forgetting,
    render_removal,
    render_table,
)

_USUAL: Final = tuple(Draw(version, slots) for version in (4, 6) for slots in range(1, 33))
"""There from the start, so that a change of endpoints does not wait for nft."""

log = structlog.get_logger(__name__)


class KernelTable:
    """The table, opened by `opened()`; leaving that leaves the table where it is."""

    def __init__(self) -> None:
        self.monitor = Monitor()
        self.transactions = 0
        """How many changes were made."""
        self._have: dict[Entrance, Elements] = {}
        self._chains: set[Chain] = set()
        self._stray_chains: set[str] = set()
        self._stray_maps: set[str] = set()
        """What is in the table and was not made by this run: by an earlier one, or by others."""
        self._netlink: Netlink | None = None
        self._questions: Netlink | None = None
        self._asking = asyncio.Lock()
        self._is_open = False

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Put the rules, and learn what an earlier run has left.

        Raises:
            ConfigError: this host or this process cannot do it.
            DriverUnavailable: the kernel refuses, or another process has the table.
        """
        with Netlink() as netlink, Netlink() as questions, Hold() as hold:
            self._netlink, self._questions = netlink, questions
            with self.monitor.listening(silent=netlink.port):
                if not await hold.take():
                    log.info("open_connections_do_not_outlive_a_flush", reason="before Linux 5.12")
                try:
                    await self.renew()
                    await _adopt()
                    self._is_open = True
                    yield
                finally:
                    self._netlink = self._questions = None
                    self._is_open = False

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

    def has(self, chains: Iterable[Chain]) -> bool:
        """Tell whether chains are there, so that elements may lead to them."""
        return self._chains.issuperset(chains)

    async def make(self, chains: Iterable[Chain]) -> None:
        """Make chains."""
        missing = frozenset(chains) - self._chains
        if missing:
            await self._run(render_chains(missing))
            self._chains |= missing
            self._stray_chains -= {each.chain for each in missing}
            self._stray_maps -= {each.clients for each in missing if isinstance(each, Sticky)}

    async def forget(self, chains: Iterable[Sticky], kept: Sticky | None) -> None:
        """Take away chains of one listener that nothing leads to any more.

        Args:
            chains: those that were used.
            kept: what is used now, and may remember clients in the same map.
        """
        gone = self._chains.intersection(chains) - {kept}
        if gone:
            clients = {each.clients for each in gone if isinstance(each, Sticky)}
            clients -= {"" if kept is None else kept.clients}
            self._chains -= gone
            await self._run(render_forgetting({each.chain for each in gone}, clients))

    async def tidy(self) -> None:
        """Take away chains and maps of earlier runs, and of others, that nothing leads to."""
        if not (self._stray_chains or self._stray_maps):
            return
        used = {
            value.decode()
            for elements in self._have.values()
            for place, value in elements.items()
            if place.lookup is Lookup.STICKY
        }
        chains = self._stray_chains - used
        needed = {name for chain in used for name in self._stray_maps if chain.endswith(name)}
        maps = self._stray_maps - needed
        self._stray_chains -= chains
        self._stray_maps -= maps
        try:
            await self._run(render_forgetting(chains, maps))
        except DriverUnavailable as err:
            log.warning("nftables_not_tidied", error=str(err))

    def put(self, wanted: Mapping[Entrance, Elements]) -> None:
        """Make what serves some entrances as wanted, in one transaction.

        Raises:
            Refused: by the kernel, and all is as it was.
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

    async def count(self, places: Iterable[Place]) -> Mapping[Place, int]:
        """Return what some elements have counted."""
        async with self._asking:
            return await self._asked().counters(places)

    async def totals(self) -> Mapping[str, int]:
        """Return what all connections together were, by what became of them."""
        async with self._asking:
            return await self._asked().totals()

    async def renew(self) -> None:
        """Put the rules again, and learn what elements there are.

        A table of another version of ours may not be what the rules need. Then it is replaced.
        """
        try:
            have = await self._learn()
            draws = _draws_of(have)
            await self._run(render_table() + render_chains(draws))
        except (RulesRefused, Refused) as err:
            if isinstance(err, Refused) and not err.is_disagreement:
                raise DriverUnavailable(f"nf_tables does not list: {err}") from err
            have, draws = {}, {*_USUAL}
            await self._run(render_removal() + render_table() + render_chains(draws))
        self._have, self._chains = have, {*draws}
        ours = fixed_chains() | {draw.chain for draw in draws}
        async with self._asking:
            self._stray_chains = {*(await self._asked().chains() - ours)}
            self._stray_maps = {*(await self._asked().sets() - fixed_maps())}

    async def _learn(self) -> dict[Entrance, Elements]:
        have: dict[Entrance, Elements] = {}
        async with self._asking:
            asked = self._asked()
            if not await asked.is_there():
                return have
            for lookup in Lookup:
                for version in (4, 6):
                    found = await asked.elements(lookup, version)
                    for place, value in found.items():
                        have.setdefault(entrance_of(place), {})[place] = value
        return have

    async def _run(self, script: str) -> None:
        try:
            await run_nft(script, born=self.monitor.started)
        except ConfigError as err:
            if self._is_open:  # nft was there, and may be again: it is being replaced by a new one
                raise DriverUnavailable(str(err)) from err
            raise
        finally:
            self.monitor.ended()

    def _asked(self) -> Netlink:
        if self._questions is None:
            raise DriverUnavailable("layer 4 in the kernel is not open")
        return self._questions


async def _adopt() -> None:
    try:
        count = await adopt_connections()
    except DriverUnavailable as err:
        log.warning("own_connections_not_tracked", error=str(err))
        return
    if count:
        log.info("own_connections_tracked", count=count)


def _draws_of(have: Mapping[Entrance, Elements]) -> set[Draw]:
    """Return the usual ones, and those that elements lead to."""
    return {*_USUAL} | {
        draw_of(entrance.version, to_number(value))
        for entrance, elements in have.items()
        for place, value in elements.items()
        if place.lookup is Lookup.SERVICE
    }


def _change(have: Elements, want: Elements) -> Change:
    """Return what turns one into the other: a value that changes goes and comes."""
    differs = {place: value for place, value in want.items() if have.get(place) != value}
    gone = {place: value for place, value in have.items() if want.get(place) != value}
    return Change(gone, differs)
