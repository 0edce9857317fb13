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
from onehop.driver.nftables.element import Elements, Entrance, version_of
from onehop.driver.nftables.fit import lacks, misfit
from onehop.driver.nftables.health import HealthChecks
from onehop.driver.nftables.netlink import Refused
from onehop.driver.nftables.nft import hindrance
from onehop.driver.nftables.rows import Rows
from onehop.driver.nftables.support import SHORTCOMINGS
from onehop.driver.nftables.table import KernelTable
from onehop.driver.nftables.wanted import Served, entrance_at, member_place, serve
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, ServerName
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.model.listener import Listener, Transport, Vip
from onehop.model.model import Model, key_of, model_of
from onehop.model.pool import BackendProtocol, HealthCheck, Pool
from onehop.model.route import VirtualHost
from onehop.plan import Plan, Stage, StageKind

LEFTOVER_GRACE_S: Final = 60.0
_AT_ONCE: Final = 50
"""Listeners in one transaction: some 30 ms, with ten endpoints each."""
_LOOK_S: Final = 1.0
"""How often we look whether somebody has taken our table away."""

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
        self._flows: dict[Entrance, frozenset[tuple[IpAddr, int]]] = {}
        """UDP entrances whose flows are to be looked at, and who may serve them."""
        self._woken = asyncio.Event()
        self._changing = asyncio.Lock()
        self._has_plan = asyncio.Event()
        self._hindrances: dict[int, str] = {}
        self._repairs = 0
        self._is_repairing = False
        self._table = KernelTable()
        self._health = HealthChecks(self._on_health)

    # The Driver protocol

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Put our rules in the kernel, or take over what is there; leaving leaves them.

        Raises:
            ConfigError: this host passes no packets on, or we may not change its rules.
            DriverUnavailable: the kernel refuses.
        """
        self._hindrances = {v: why for v in (4, 6) if (why := hindrance(v)) is not None}
        if len(self._hindrances) == 2:  # noqa: PLR2004  of IP
            raise ConfigError(
                f"layer 4 in the kernel: {self._hindrances[4]}; set it to 1 (sysctl -w)"
            )
        for version, why in self._hindrances.items():
            log.warning("no_layer4_in_kernel", ip_version=version, reason=why)
        async with self._table.opened(), asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work)
                for work in (
                    self._follow(),
                    self._guard(),
                    self._health.run(),
                    self._remove_leftovers(),
                )
            ]
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
            await self._settle()
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
                counts[pool] = await self._count(row)
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
        }
        return said | {f"not_ipv{v}": why for v, why in self._hindrances.items()}

    # What a composite and tests ask

    async def settled(self) -> None:
        """Wait until the kernel has all that was told; `set_endpoints` may leave a rest to do."""
        await self._settle()

    def misfit(self, listener: Listener, pool: Pool | None) -> str | None:
        """Return why a listener cannot be served here, or None if it can."""
        return misfit(listener, pool) or self._hindrances.get(version_of(listener.address))

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
                    why = self.misfit(row, self._rows.pool_of(row))
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
        pool = self._rows.pool_of(listener)
        words = lacks(listener, pool) if pool is not None else ""
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
            if all(self._table.has(each.draw) for each in wanted.values()):
                with contextlib.suppress(Refused):
                    self._put(wanted)
                    return
        self._woken.set()

    async def _settle(self) -> None:
        """Make what is stale anew; if the kernel has something else than we know, learn that."""
        async with self._changing:
            try:
                await self._put_all()
            except Refused as refused:
                log.warning("nftables_table_changed_by_others", error=str(refused))
                await self._repair()

    async def _put_all(self) -> None:
        while self._rows.stale:
            wanted = self._wanted(islice(self._rows.stale, _AT_ONCE))
            missing = {each.draw for each in wanted.values() if each.draw is not None}
            if all(self._table.has(draw) for draw in missing):
                self._put(wanted)
                await asyncio.sleep(0)  # so that `set_endpoints` can come between
            else:
                await self._table.make(missing)  # and look again: it has taken a while
        used = (each.draw for each in self._served.values() if each.draw is not None)
        await self._table.forget(used)

    async def _repair(self) -> None:
        self._repairs += 1
        self._is_repairing = True
        try:
            await self._table.renew()
        finally:
            self._is_repairing = False
        self._rows.stale.update(self._rows.entrances)
        try:
            await self._put_all()
        except Refused as refused:
            raise DriverUnavailable(f"nf_tables refused elements: {refused}") from refused

    def _wanted(self, entrances: Iterable[Entrance]) -> dict[Entrance, Served]:
        return {entrance: self._wanted_at(entrance) for entrance in entrances}

    def _wanted_at(self, entrance: Entrance) -> Served:
        listener = self._rows.listener_at(entrance)
        pool = None if listener is None else self._rows.pool_of(listener)
        if listener is None or pool is None:
            return Served({}, None, {})
        endpoints = self._rows.endpoints(pool.id)
        self._health.want(pool.id, _check(pool), endpoints)
        return serve(
            listener,
            pool,
            endpoints,
            failed=self._health.failed(pool.id),
            before=self._table.at(entrance),
        )

    def _put(self, wanted: Mapping[Entrance, Served]) -> None:
        elements: dict[Entrance, Elements] = {at: each.elements for at, each in wanted.items()}
        self._table.put(elements)
        for entrance, served in wanted.items():
            self._rows.stale.discard(entrance)
            if served.elements:
                self._served[entrance] = served
            else:
                self._served.pop(entrance, None)
        for pool in self._rows.pools_left():
            self._health.want(pool, None, ())
        for entrance in wanted:
            if entrance.transport is Transport.UDP:
                self._flows[entrance] = self._may_serve(entrance)
                self._woken.set()

    def _may_serve(self, entrance: Entrance) -> frozenset[tuple[IpAddr, int]]:
        listener = self._rows.listener_at(entrance)
        pool = None if listener is None else self._rows.pool_of(listener)
        endpoints = () if pool is None else self._rows.endpoints(pool.id)
        return frozenset((each.address, each.port) for each in endpoints)

    async def _count(self, members: PoolEndpoints) -> tuple[EndpointCount, ...]:
        entrances = [entrance_at(each) for each in self._rows.listeners_of(members.pool)]
        served = [(at, self._served[at].members) for at in entrances if at in self._served]
        places = {
            (at, socket): member_place(at, number)
            for at, numbers in served
            for socket, number in numbers.items()
        }
        counted = await self._table.count(places.values())
        failed = self._health.failed(members.pool)
        sums: dict[tuple[IpAddr, int], int] = {}
        for (_, socket), place in places.items():
            sums[socket] = sums.get(socket, 0) + counted.get(place, 0)
        return tuple(
            EndpointCount(
                address=each.address,
                port=each.port,
                requests=sums.get((each.address, each.port), 0),
                health="unhealthy" if (each.address, each.port) in failed else "healthy",
            )
            for each in members.endpoints
        )

    # Tasks

    async def _follow(self) -> None:
        """Do what could not be done at once."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._settle()
                await self._forget_flows()
            except TransientError as err:
                log.warning("nftables_behind", error=str(err), retry_in_s=_LOOK_S)
                await asyncio.sleep(_LOOK_S)
                self._woken.set()

    async def _forget_flows(self) -> None:
        flows, self._flows = self._flows, {}
        if not flows:
            return
        # For UDP only: it brings pyroute2, which takes a tenth of a second to import.
        from onehop.driver.nftables.conntrack import forget_flows  # noqa: PLC0415

        if count := await forget_flows(flows):
            log.info("udp_flows_forgotten", count=count)

    async def _guard(self) -> None:
        """Put everything back when somebody has taken our table away, as `nft flush` does."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                if not await self._table.is_there():
                    log.warning("nftables_table_gone", putting_back=len(self._served))
                    async with self._changing:
                        await self._repair()
            except TransientError as err:
                log.warning("nftables_not_guarded", error=str(err), retry_in_s=_LOOK_S)

    async def _remove_leftovers(self) -> None:
        """Stop serving what an earlier run did and this one, by its first plans, does not."""
        await self._has_plan.wait()
        await asyncio.sleep(self._leftover_grace_s)
        left = self._table.entrances - self._rows.entrances
        if left:
            log.info("nftables_leftovers_removed", entrances=len(left))
            self._rows.stale |= left
            self._woken.set()


def _check(pool: Pool) -> HealthCheck | None:
    """Return how a pool's endpoints are checked; nobody can tell whether a UDP port is served."""
    check = pool.health_check
    is_blind = pool.protocol is BackendProtocol.UDP and check is not None and check.port is None
    return None if is_blind else check
