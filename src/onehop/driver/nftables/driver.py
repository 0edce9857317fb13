"""Layer 4 in the kernel as a data plane: rows in, elements of nftables maps out."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final, assert_never

import structlog

from onehop.base.errors import ConfigError, DriverUnavailable, TransientError
from onehop.driver.capability import Capability, capabilities_of
from onehop.driver.driver import EndpointCount, Receipt, Refusal
from onehop.driver.nftables.channel import Refused
from onehop.driver.nftables.drift import Drift
from onehop.driver.nftables.element import Elements, Entrance, version_of
from onehop.driver.nftables.feature import Feature, features_of, missing_features
from onehop.driver.nftables.fit import lacks, misfit
from onehop.driver.nftables.flows import Flows
from onehop.driver.nftables.forwarding import conntrack_share, hindrances
from onehop.driver.nftables.health import HealthChecks, check_of
from onehop.driver.nftables.rows import Rows
from onehop.driver.nftables.ruleset import Sticky
from onehop.driver.nftables.support import SHORTCOMINGS
from onehop.driver.nftables.table import KernelTable
from onehop.driver.nftables.tally import count_members
from onehop.driver.nftables.wanted import Part, Served, entrance_at, may_serve, parts_of, serve
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, ServerName
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.model.listener import Listener, Transport, Vip
from onehop.model.model import Model, key_of, model_of
from onehop.model.pool import Pool, PoolOf
from onehop.model.route import VirtualHost
from onehop.plan import Plan, Stage, StageKind

LEFTOVER_GRACE_S: Final = 60.0
_AT_ONCE: Final = 50
"""Listeners in one transaction: some 30 ms, with ten endpoints each."""
_LOOK_S: Final = 1.0
"""How often we look whether this host still passes packets on, and what was counted."""
_RETRY_S: Final = 1.0

log = structlog.get_logger(__name__)


class NftablesDriver:
    """TCP and UDP listeners in the kernel; whatever else a Model has is refused.

    Args:
        leftover_grace_s: how long what an earlier run has left is served, after the first plan,
            if nobody asks for it.
    """

    name: str = "nftables"
    capabilities: frozenset[Capability] = capabilities_of(SHORTCOMINGS)

    def __init__(self, *, leftover_grace_s: float = LEFTOVER_GRACE_S) -> None:
        self._leftover_grace_s = leftover_grace_s
        self._rows = Rows()
        self._served: dict[Entrance, Served] = {}
        self._unused: dict[Entrance, set[Sticky]] = {}
        """Chains of single listeners that nothing leads to any more, or does again."""
        self._flows = Flows()
        self._woken = asyncio.Event()
        self._changing = asyncio.Lock()
        self._has_plan = asyncio.Event()
        self._is_settled_in = False
        """Whether the grace of what an earlier run has left is over."""
        self._hindrances: Mapping[int, str] = {}
        self._missing: Mapping[Feature, str] = {}
        self._totals: Mapping[str, int] = {}
        self._repairs = 0
        self._is_repairing = False
        self._drift = Drift(time.monotonic)
        self._table = KernelTable()
        self._health = HealthChecks(self._on_health)

    # The Driver protocol

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Put our rules in the kernel, or take over what is there; leaving leaves them.

        Raises:
            ConfigError: this host passes no packets on, or we may not change its rules.
            DriverUnavailable: the kernel refuses, or another process serves layer 4 here.
        """
        self._hindrances = found = hindrances()
        if len(found) == 2:  # noqa: PLR2004  of IP
            raise ConfigError(f"layer 4 in the kernel: {found[4]}; set it to 1 (sysctl -w)")
        for version, why in self._hindrances.items():
            log.warning("no_layer4_in_kernel", ip_version=version, reason=why)
        self._missing = await missing_features()
        for feature, why in self._missing.items():
            log.warning("no_layer4_in_kernel", feature=feature, reason=why)
        keeping = (self._follow, self._guard, self._look, self._remove_leftovers)
        async with self._table.opened(), asyncio.TaskGroup() as group:
            tasks = [group.create_task(each()) for each in (*keeping, self._health.run)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def read_back(self) -> Model:
        """Return what was applied, but for what was refused."""
        return model_of(self._rows)

    async def apply(self, plan: Plan) -> Receipt:
        """Make the plan; packets see a listener as it was or as it shall be."""
        started = time.monotonic()
        for stage in plan.stages:
            if stage.kind is StageKind.PREPARE:
                self._put_prepared(stage)
        refused: list[Refusal] = []
        for stage in plan.stages:
            refused += self._make(stage)
            try:
                await self._settle()
            except DriverUnavailable:
                self._woken.set()  # it is tried again, whether or not anybody asks
                raise
        self._has_plan.set()
        refused.sort(key=lambda refusal: refusal.key)
        return Receipt(refused=tuple(refused), duration_s=time.monotonic() - started)

    async def send_away(self, *, is_leaving: bool) -> None:
        """Ask nobody: connections here carry no HTTP that we could say it in."""

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        """Return how many connections each member was given; UDP's are flows."""
        counts: dict[PoolId, tuple[EndpointCount, ...]] = {}
        for pool in pools:
            if self._rows.pool(pool) is not None and (row := self._rows.members(pool)) is not None:
                entrances = [entrance_at(each) for each in self._rows.listeners_of(pool)]
                served = {at: self._served[at] for at in entrances if at in self._served}
                failed = self._health.failed(pool)
                counts[pool] = await count_members(self._table, row, served, failed)
        return counts

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Put a pool's endpoints into the maps, at once."""
        if self._rows.pool(members.pool) is not None:
            self._rows.put(members)
            self._hurry()

    def describe(self) -> dict[str, str]:
        """Return how much there is in the kernel, and what was mended."""
        failed = self._health.count_failed()
        said = {
            "entrances": str(len(self._served)),
            "elements": str(self._table.elements),
            "transactions": str(self._table.transactions),
            "failed_endpoints": str(failed),
            "repairs": str(self._repairs),
            "conntrack": f"{100 * conntrack_share():.0f} % full",
            **{f"connections_{how}": str(count) for how, count in self._totals.items()},
            **self._health.describe(),
            **self._drift.describe(),
        }
        return said | {f"not_ipv{v}": why for v, why in self._hindrances.items()}

    @property
    def drifts(self) -> Mapping[str, int]:
        """How often others have changed what is ours, by what they have changed."""
        return self._drift.counts

    @property
    def connections(self) -> Mapping[str, int]:
        """How many connections there were, by what became of them; as of a second ago."""
        return self._totals

    # What a composite and tests ask

    @property
    def obstacles(self) -> Mapping[int, str]:
        """Why nothing of a version of IP is served here, as of a second ago."""
        return self._hindrances

    async def settled(self) -> None:
        """Wait until the kernel has all that was told; `set_endpoints` may leave a rest to do."""
        await self._settle()

    def misfit(self, listener: Listener, pool_of: PoolOf) -> str | None:
        """Return why a listener cannot be served here, or None if it can."""
        why = misfit(listener, pool_of) or self._hindrances.get(version_of(listener.address))
        pools = filter(None, map(pool_of, listener.handler.pools))
        missing = (self._missing.get(need) for pool in pools for need in features_of(pool))
        return why or next(filter(None, missing), None)

    # Rows

    def _put_prepared(self, stage: Stage) -> None:
        for row in stage.put:
            if isinstance(row, Pool | PoolEndpoints | Vip):
                self._rows.put(row)

    def _make(self, stage: Stage) -> list[Refusal]:
        for key in stage.remove:
            self._rows.remove(key)
        refused: list[Refusal] = []
        for row in stage.put:
            match row:
                case Pool() | PoolEndpoints() | Vip():
                    pass  # they are in already
                case Listener():
                    why = self.misfit(row, self._rows.pool)
                    if why is None:
                        self._rows.put(row)
                        refused += self._in_part(row)
                    else:
                        refused.append(Refusal(key_of(row), why))
                case Certificate() | ServerName() | VirtualHost():
                    refused.append(Refusal(key_of(row), "the kernel serves layer 4 alone"))
                case _:
                    assert_never(row)
        return refused

    def _in_part(self, listener: Listener) -> Iterator[Refusal]:
        words = lacks(listener, self._rows.pool)
        if words:
            yield Refusal(key_of(listener), words, is_partial=True)

    def _on_health(self, pool: PoolId) -> None:
        self._rows.touch(pool)
        self._hurry()

    # The kernel

    def _hurry(self) -> None:
        """Make what is stale anew in this very moment, if nothing has to be waited for."""
        if not self._is_repairing and len(self._rows.stale) <= _AT_ONCE:
            wanted = self._wanted(self._rows.stale)
            if all(self._table.has(each.chains) for each in wanted.values()):
                with contextlib.suppress(Refused):
                    self._put(wanted)
                    return
        self._woken.set()

    async def _settle(self) -> None:
        """Make what is stale anew; if the kernel has something else than we know, learn that.

        Raises:
            DriverUnavailable: the kernel does not take it; what is stale stays so.
        """
        async with self._changing:
            try:
                await self._put_all()
            except Refused as refused:
                if not refused.is_disagreement:
                    raise DriverUnavailable(f"nf_tables took no change: {refused}") from refused
                log.warning("nftables_table_changed_by_others", error=str(refused))
                await self._repair()

    async def _put_all(self) -> None:
        while self._rows.stale:
            wanted = self._wanted(islice(self._rows.stale, _AT_ONCE))
            needed = frozenset(chain for each in wanted.values() for chain in each.chains)
            if self._table.has(needed):
                self._put(wanted)
                await asyncio.sleep(0)  # so that `set_endpoints` can come between
            else:
                await self._table.make(needed)  # and look again: it has taken a while
        while self._unused:
            entrance, unused = self._unused.popitem()
            served = self._served.get(entrance)
            await self._table.forget(unused, None if served is None else served.sticky)

    async def _repair(self) -> None:
        """Put back what others have changed, whatever it is; connections go on meanwhile."""
        self._drift.note(self._table.monitor.take())
        self._repairs += 1
        try:
            await self._renew()
            await self._put_all()
        except Refused as refused:
            self._table.monitor.heard.set()
            raise DriverUnavailable(f"nf_tables refused elements: {refused}") from refused
        except DriverUnavailable:
            self._table.monitor.heard.set()  # so that it is tried again, whoever has asked now
            raise
        await self._table.tidy()

    async def _renew(self) -> None:
        self._is_repairing = True
        try:
            await self._table.renew()
        finally:
            self._is_repairing = False
        self._rows.stale.update(self._rows.entrances)
        if self._is_settled_in:  # a copy of long ago may have been put in place of ours
            self._rows.stale |= self._table.entrances

    def _wanted(self, entrances: Iterable[Entrance]) -> dict[Entrance, Served]:
        return {entrance: self._wanted_at(entrance) for entrance in entrances}

    def _wanted_at(self, entrance: Entrance) -> Served:
        listener = self._rows.listener_at(entrance)
        pools = [] if listener is None else self._rows.pools_of(listener)
        if listener is None or not pools:
            return Served({}, None, {})
        for pool in pools:
            self._health.want(pool.id, check_of(pool), self._rows.endpoints(pool.id))
        return serve(listener, pools[0], self._parts(listener), before=self._table.at(entrance))

    def _parts(self, listener: Listener) -> tuple[Part, ...]:
        return parts_of(listener, self._rows.endpoints, self._health.failed)

    def _put(self, wanted: Mapping[Entrance, Served]) -> None:
        elements: dict[Entrance, Elements] = {at: each.elements for at, each in wanted.items()}
        self._table.put(elements)
        for entrance, served in wanted.items():
            self._rows.stale.discard(entrance)
            before = self._served.pop(entrance, None)
            if before is not None and before.sticky and before.sticky != served.sticky:
                self._unused.setdefault(entrance, set()).add(before.sticky)
            if served.elements:
                self._served[entrance] = served
            if entrance.transport is Transport.UDP:
                self._flows.note(entrance, self._may_serve(entrance))
        for pool in self._rows.pools_left():
            self._health.want(pool, None, ())
        if self._unused or any(each.transport is Transport.UDP for each in wanted):
            self._woken.set()

    def _may_serve(self, entrance: Entrance) -> frozenset[tuple[IpAddr, int]]:
        listener = self._rows.listener_at(entrance)
        return frozenset() if listener is None else may_serve(self._parts(listener))

    # Tasks

    async def _follow(self) -> None:
        """Do what could not be done at once."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._settle()
                await self._flows.forget()
            except TransientError as err:
                log.warning("nftables_behind", error=str(err), retry_in_s=_RETRY_S)
                await asyncio.sleep(_RETRY_S)
                self._woken.set()

    async def _guard(self) -> None:
        """Put everything back when somebody has changed our table, as `nft flush ruleset` does."""
        heard = self._table.monitor.heard
        while True:
            await heard.wait()
            await asyncio.sleep(self._drift.wait_s())
            try:
                async with self._changing:
                    if heard.is_set():  # nobody has repaired it in passing
                        await self._repair()
            except TransientError as err:
                log.warning("nftables_not_repaired", error=str(err))

    async def _look(self) -> None:
        """See whether this host still passes packets on, and what has been counted."""
        while True:
            with contextlib.suppress(DriverUnavailable):  # asked again in a moment
                self._totals = await self._table.totals()
            await asyncio.sleep(_LOOK_S)
            self._drift.note_conntrack(conntrack_share())
            found = hindrances()
            if found != self._hindrances:
                self._hindrances = found
                self._drift.note_forwarding(found)

    async def _remove_leftovers(self) -> None:
        """Stop serving what an earlier run did and this one, by its first plans, does not."""
        await self._has_plan.wait()
        await asyncio.sleep(self._leftover_grace_s)
        self._is_settled_in = True
        left = self._table.entrances - self._rows.entrances
        self._rows.stale |= left
        if left:
            log.info("nftables_leftovers_removed", entrances=len(left))
        try:
            await self._settle()
            async with self._changing:
                await self._table.tidy()
        except TransientError as err:
            log.warning("nftables_leftovers_stay", error=str(err))
