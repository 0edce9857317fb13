"""Two data planes that share the work: listeners of layer 4 in the kernel, all others in a proxy.

Each listener is given to the kernel if that can serve it, and to the proxy if not. One that moves
is served by both for a moment: the new one has taken it before the old one lets go. A packet that
both could have goes to the kernel, which looks at it before any socket does.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec
import structlog

from onehop.base.errors import TransientError
from onehop.driver.capability import OF_UDP, Capability
from onehop.driver.driver import (
    Connections,
    Drifts,
    Driver,
    EndpointCount,
    Receipt,
    Refusal,
    Reloads,
)
from onehop.driver.overtaken import Overtaken
from onehop.model.address import IpAddr
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import ListenerId, PoolId
from onehop.model.listener import ForwardHttp, Listener
from onehop.model.model import Change, Model, Row, RowKey, Table, key_of, model_of
from onehop.model.pool import BackendProtocol, Pool, PoolOf
from onehop.plan import Plan, make_plan

_HANDOVER_S: Final = 0.25
_LOOK_S: Final = 1.0
_LAYER4: Final = frozenset((BackendProtocol.TCP, BackendProtocol.UDP))
_SHARED: Final = frozenset((Table.LISTENER, Table.POOL, Table.ENDPOINTS))

log = structlog.get_logger(__name__)


class KernelPart(Driver, Drifts, Connections, Protocol):
    """A data plane that takes some listeners only."""

    def misfit(self, listener: Listener, pool_of: PoolOf) -> str | None:
        """Return why it cannot serve a listener, or None if it can."""
        ...

    @property
    def obstacles(self) -> Mapping[int, str]:
        """Why nothing of a version of IP fits just now; that may change at any time."""
        ...


def proxy_share(model: Model, misfit: Callable[[Listener, PoolOf], str | None]) -> Model:
    """Return what is left to the proxy of a Model, from nothing; pure."""
    pools = {pool.id: pool for pool in model.pools}
    listeners = [
        row
        for row in model.listeners
        if isinstance(row.handler, ForwardHttp) or misfit(row, pools.get) is not None
    ]
    used = {pool for row in listeners for pool in _pools_of(row)}
    unused = {pool.id for pool in model.pools if pool.protocol in _LAYER4} - used
    return msgspec.structs.replace(
        model,
        listeners=tuple(listeners),
        pools=tuple(row for row in model.pools if row.id not in unused),
        endpoints=tuple(row for row in model.endpoints if row.pool not in unused),
    )


def refused_by_both(refusal: Refusal, misfit: str | None) -> Refusal:
    """Return a proxy's refusal of a listener with what keeps that out of the kernel; pure."""
    if misfit is None or refusal.is_partial:
        return refusal
    reason = f"{refusal.reason}; nor can the kernel serve it: {misfit}"
    return msgspec.structs.replace(refusal, reason=reason)


class SplitDriver:
    """Both, as one.

    The proxy has the pools of layer 4 that its own listeners send to, and no others: each pool is
    health checked by who sends to it.

    Args:
        handover_s: how long the proxy keeps a listener that the kernel has taken: what it has not
            accepted by then is reset, so it is as long as a handshake under way may take.
        look_s: how often it is asked whether the kernel still serves what it did.
    """

    def __init__(
        self,
        kernel: KernelPart,
        proxy: Driver,
        *,
        handover_s: float = _HANDOVER_S,
        look_s: float = _LOOK_S,
    ) -> None:
        self._handover_s = handover_s
        self._look_s = look_s
        self._kernel = kernel
        self._proxy = proxy
        self._layer4: dict[RowKey, Row] = {}
        """Pools of layer 4 and their endpoints."""
        self._listeners: dict[RowKey, Listener] = {}
        """Those of layer 4, wherever they are."""
        self._overtaken = Overtaken()
        self._lock = asyncio.Lock()
        self._in_kernel: set[ListenerId] = set()
        self._at_proxy: set[RowKey] = set()
        """Its listeners, and its pools of layer 4 with their endpoints."""
        self._uses: dict[ListenerId, tuple[PoolId, ...]] = {}
        """The pools of layer 4 that the proxy's listeners send to."""
        self._users: dict[PoolId, set[ListenerId]] = {}
        self._released: set[PoolId] = set()
        """Pools that the proxy may no longer need."""

    @property
    def name(self) -> str:
        """Of both: another proxy may take the place of the one that there is."""
        return "+".join(filter(None, (self._proxy.name, self._kernel.name)))

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What either can do."""
        return self._proxy.capabilities | (self._kernel.capabilities & OF_UDP)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start both, the kernel first: connections go on there while the proxy starts."""
        async with self._kernel.running(), self._proxy.running(), asyncio.TaskGroup() as group:
            following = group.create_task(self._follow_obstacles(dict(self._kernel.obstacles)))
            try:
                yield
            finally:
                following.cancel()

    async def read_back(self) -> Model:
        """Return what the two serve together."""
        kernel, proxy = await self._kernel.read_back(), await self._proxy.read_back()
        return model_of((*kernel.rows(), *proxy.rows()))

    async def apply(self, plan: Plan) -> Receipt:
        """Make the plan: what the proxy is to have, then the kernel, then what the proxy has lost.

        A listener that the proxy refuses stays in the kernel if that had it.
        """
        self._overtaken.begin()
        async with self._lock:
            return await self._apply(self._overtaken.renewed(plan), self._handover_s)

    async def reconsider(self, handover_s: float) -> tuple[tuple[Row, ...], Receipt]:
        """Give each listener of layer 4 to whom it fits now; return all rows, and what came of it.

        Args:
            handover_s: as for the class; longer, because many listeners move.
        """
        async with self._lock:
            rows = (*self._layer4.values(), *self._listeners.values())
            return rows, await self._apply(make_plan(Change(rows)), handover_s)

    async def _follow_obstacles(self, seen: Mapping[int, str]) -> None:
        """Give listeners to the proxy that the kernel can no longer serve, and back again."""
        while True:
            await asyncio.sleep(self._look_s)
            now = dict(self._kernel.obstacles)
            if now == seen:
                continue
            try:
                _, receipt = await self.reconsider(self._handover_s)
            except TransientError as err:
                log.warning("layer4_not_given_anew", error=str(err))
                continue
            seen = now
            log.info("layer4_given_anew", obstacles=now, refused=len(receipt.refused))

    def forget_kernel(self) -> None:
        """Take in that the kernel serves nothing any more."""
        self._in_kernel.clear()

    async def _apply(self, plan: Plan, handover_s: float) -> Receipt:
        put = [row for stage in plan.stages for row in stage.put]
        gone = [key for stage in plan.stages for key in stage.remove]
        # Of what is neither a listener nor of layer 4 nothing is kept here: it is the proxy's.
        ours = {key for key in gone if key.table is Table.LISTENER or key in self._layer4}
        not_there = ours - self._at_proxy
        self._take(put, gone)
        first = self._for_proxy(put, [key for key in gone if key not in not_there])
        by_proxy = await self._proxy.apply(make_plan(first)) if first else Receipt()
        second = self._for_kernel(put, gone, {each.key for each in by_proxy.refused})
        by_kernel = await self._kernel.apply(make_plan(second)) if second else Receipt()
        last = self._left_over(second, {each.key for each in by_kernel.refused})
        if last:
            if any(key.table is Table.LISTENER for key in last.removals):
                await asyncio.sleep(handover_s)
            await self._proxy.apply(make_plan(last))
        refused = (*map(self._with_misfit, by_proxy.refused), *by_kernel.refused)
        return Receipt(
            refused=tuple(sorted(refused, key=_by_key)),
            duration_s=by_proxy.duration_s + by_kernel.duration_s,
        )

    async def send_away(self, *, is_leaving: bool) -> None:
        """Ask the proxy's clients; the kernel's carry no HTTP."""
        await self._proxy.send_away(is_leaving=is_leaving)

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        """Return what either has counted; of a pool that both send to, the sums."""
        asked = tuple(pools)
        counts = dict(await self._proxy.count(asked))
        for pool, counted in (await self._kernel.count(asked)).items():
            counts[pool] = _sums(counted, counts.get(pool, ()))
        return counts

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Send a pool's endpoints to whoever has the pool."""
        self._overtaken.note(members)
        if key_of(members) in self._layer4:
            self._layer4[key_of(members)] = members
        self._kernel.set_endpoints(members)
        self._proxy.set_endpoints(members)

    def describe(self) -> dict[str, str]:
        """Return what both say of themselves."""
        kernel = self._kernel.describe().items()
        return self._proxy.describe() | {f"kernel_{name}": value for name, value in kernel}

    @property
    def reload_reasons(self) -> Mapping[str, int]:
        """What the proxy says; the kernel is never loaded anew."""
        return self._proxy.reload_reasons if isinstance(self._proxy, Reloads) else {}

    @property
    def parts(self) -> tuple[Driver, ...]:
        """The proxy and the kernel's part."""
        return self._proxy, self._kernel

    @property
    def connections(self) -> Mapping[str, int]:
        """What the kernel's connections came to."""
        return self._kernel.connections

    def is_in_kernel(self, listener: ListenerId) -> bool:
        """Tell who serves a listener."""
        return listener in self._in_kernel

    def _take(self, put: Iterable[Row], gone: Iterable[RowKey]) -> None:
        """Note the pools of layer 4 before the first await; see `Driver.apply`."""
        for key in gone:
            self._layer4.pop(key, None)
            self._listeners.pop(key, None)
        for row in put:
            if isinstance(row, Listener):
                self._listeners.pop(key_of(row), None)
                if not isinstance(row.handler, ForwardHttp):
                    self._listeners[key_of(row)] = row
            if isinstance(row, Pool) and row.protocol in _LAYER4:
                self._layer4[key_of(row)] = row
        for row in put:
            if isinstance(row, PoolEndpoints) and RowKey(Table.POOL, row.pool) in self._layer4:
                self._layer4[key_of(row)] = row

    def _for_proxy(self, put: Iterable[Row], gone: Iterable[RowKey]) -> Change:
        """Return what the proxy has to be told at first: nothing yet of what it hands over."""
        upserts: dict[RowKey, Row] = {}
        for key in gone:
            self._at_proxy.discard(key)
            if key.table is Table.LISTENER:
                self._use(ListenerId(key.id), ())
        for row in put:
            if isinstance(row, Listener) and not self._fits_kernel(row):
                upserts[key_of(row)] = row
                self._use(row.id, _pools_of(row))
        for row in put:
            key = key_of(row)
            if not isinstance(row, Listener) and (key not in self._layer4 or self._is_used(key)):
                upserts[key] = row
        for row in tuple(upserts.values()):
            if isinstance(row, Listener):
                upserts |= self._missing(_pools_of(row)) | upserts
        is_shared = (key for key in upserts if key.table is Table.LISTENER or key in self._layer4)
        self._at_proxy.update(is_shared)
        return Change(tuple(upserts.values()), tuple(gone))

    def _for_kernel(
        self, put: Iterable[Row], gone: Iterable[RowKey], refused: Collection[RowKey]
    ) -> Change:
        """Return what the kernel has to be told: it keeps a listener that the proxy refuses."""
        upserts: list[Row] = []
        removals = [key for key in gone if key.table in _SHARED]
        for row in put:
            key = key_of(row)
            if key in self._layer4:
                upserts.append(self._layer4[key])  # newer, if `set_endpoints` has overtaken us
            elif isinstance(row, Listener) and self._fits_kernel(row):
                upserts.append(row)
                self._in_kernel.add(row.id)
            elif isinstance(row, Listener) and row.id in self._in_kernel and key not in refused:
                removals.append(key)
        self._in_kernel.difference_update(ListenerId(key.id) for key in removals)
        return Change(tuple(upserts), tuple(removals))

    def _left_over(self, taken: Change, refused: Collection[RowKey]) -> Change:
        """Return what the proxy can let go, now that the kernel has taken what it takes."""
        removals: set[RowKey] = set()
        for row in taken.upserts:
            key = key_of(row)
            if isinstance(row, Listener) and key in self._at_proxy and key not in refused:
                removals.add(key)
                self._use(row.id, ())
        unused, self._released = _pool_keys(self._released - self._users.keys()), set()
        removals |= unused & self._layer4.keys() & self._at_proxy
        self._at_proxy -= removals
        return Change((), tuple(sorted(removals)))

    def _fits_kernel(self, listener: Listener) -> bool:
        if isinstance(listener.handler, ForwardHttp):
            return False
        return self._kernel.misfit(listener, self._pool) is None

    def _with_misfit(self, refusal: Refusal) -> Refusal:
        listener = self._listeners.get(refusal.key)
        if listener is None or not self._kernel.name:  # there is no kernel's part just now
            return refusal
        return refused_by_both(refusal, self._kernel.misfit(listener, self._pool))

    def _pool(self, name: PoolId) -> Pool | None:
        row = self._layer4.get(RowKey(Table.POOL, name))
        return row if isinstance(row, Pool) else None

    def _use(self, listener: ListenerId, pools: tuple[PoolId, ...]) -> None:
        """Note which pools one of the proxy's listeners sends to; none if it is not there."""
        for pool in self._uses.pop(listener, ()):
            self._users[pool].discard(listener)
            if not self._users[pool]:
                del self._users[pool]
                self._released.add(pool)
        for pool in pools:
            self._users.setdefault(pool, set()).add(listener)
        if pools:
            self._uses[listener] = pools

    def _is_used(self, key: RowKey) -> bool:
        """Tell whether the proxy needs a pool of layer 4."""
        return PoolId(key.id) in self._users

    def _missing(self, pools: Iterable[PoolId]) -> dict[RowKey, Row]:
        """Return the rows of pools that the proxy begins to need."""
        keys = _pool_keys(pools) - self._at_proxy
        return {key: self._layer4[key] for key in keys if key in self._layer4}


def _pools_of(listener: Listener) -> tuple[PoolId, ...]:
    """Return the pools that a listener sends to without a router."""
    return listener.handler.pools


def _pool_keys(pools: Iterable[PoolId]) -> set[RowKey]:
    return {RowKey(table, pool) for pool in pools for table in (Table.POOL, Table.ENDPOINTS)}


def _by_key(refusal: Refusal) -> RowKey:
    return refusal.key


def _sums(
    one: Iterable[EndpointCount], other: Iterable[EndpointCount]
) -> tuple[EndpointCount, ...]:
    by_socket: dict[tuple[IpAddr, int], EndpointCount] = {
        (each.address, each.port): each for each in other
    }
    return tuple(
        msgspec.structs.replace(
            each,
            requests=each.requests + also.requests,
            failed=each.failed + also.failed,
            active=each.active + also.active,
        )
        if (also := by_socket.get((each.address, each.port))) is not None
        else each
        for each in one
    )
