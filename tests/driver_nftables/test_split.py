"""Who gets which row, and that nothing is let go before it is taken."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from onehop.driver import Receipt
from onehop.driver.driver import drifts_of
from onehop.driver.memory import MemoryDriver
from onehop.driver.nftables import misfit
from onehop.driver.split import SplitDriver, _pools_of, proxy_share
from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import ListenerId, ObjectRef, PoolId, RouterId
from onehop.model.listener import ForwardHttp, ForwardTcp, Listener, Passthrough, StreamShare
from onehop.model.model import Model, Row, RowKey, Table, change_between, key_of, model_of
from onehop.model.pool import BackendProtocol, Pool, PoolOf, SourceIpPersistence
from onehop.plan import Plan, make_plan

SERVICE = ObjectRef("Service", "shop", "web")


class Noted(MemoryDriver):
    """A data plane in memory that calls back after each plan."""

    def __init__(self) -> None:
        super().__init__()
        self.on_plan: Callable[[], Awaitable[None]] | None = None

    async def apply(self, plan: Plan) -> Receipt:
        receipt = await super().apply(plan)
        if self.on_plan is not None:
            await self.on_plan()
        return receipt


class Kernel(Noted):
    """A kernel in memory."""

    drifts: Mapping[str, int] = {"table": 1}
    connections: Mapping[str, int] = {"masqueraded": 2}
    obstacles: Mapping[int, str] = {}

    def misfit(self, listener: Listener, pool_of: PoolOf) -> str | None:
        return misfit(listener, pool_of) or self.obstacles.get(4)


class Pair:
    """Both parts, in memory."""

    def __init__(self) -> None:
        self.kernel, self.proxy = Kernel(), Noted()
        self.split = SplitDriver(self.kernel, self.proxy, handover_s=0.0, look_s=0.01)

    async def serve(self, rows: Sequence[Row]) -> Receipt:
        plan = make_plan(change_between(await self.split.read_back(), model_of(rows)))
        return await self.split.apply(plan)

    async def served_by(self, listener: Listener) -> tuple[str, ...]:
        parts = (self.kernel, self.proxy)
        having = [part for part in parts if listener in (await part.read_back()).listeners]
        return tuple(type(part).__name__ for part in having)


def pool(name: str = "web", protocol: BackendProtocol = BackendProtocol.TCP) -> Pool:
    return Pool(id=PoolId(f"shop/{name}:80"), service=SERVICE, port=80, protocol=protocol)


def members(of: Pool, *ports: int) -> PoolEndpoints:
    address = IpAddr("192.0.2.1")
    return PoolEndpoints(of.id, tuple(Endpoint(address=address, port=port) for port in ports))


def listener(of: Pool, number: int = 1, max_connections: int | None = None) -> Listener:
    return Listener(
        id=ListenerId(f"listener-{number}"),
        owner=None,
        address=IpAddr("203.0.113.1"),
        port=number,
        handler=ForwardTcp(pool=of.id),
        max_connections=max_connections,
    )


async def test_each_part_gets_what_it_can_serve() -> None:
    """And pools go with their listeners: nobody has, or checks, a pool that it sends nothing to."""
    pair, web, limited = Pair(), pool(), pool("limited")
    http = pool("http", BackendProtocol.HTTP1)
    rows: tuple[Row, ...] = (web, limited, http)
    rows += (listener(web), listener(limited, 2, max_connections=10))
    await pair.serve(rows)

    assert await pair.served_by(listener(web)) == ("Kernel",)
    assert await pair.served_by(listener(limited, 2, max_connections=10)) == ("Noted",)
    assert {each.id for each in (await pair.proxy.read_back()).pools} == {limited.id, http.id}
    assert await pair.split.read_back() == model_of(rows)


async def test_a_listener_that_moves_is_taken_before_it_is_let_go() -> None:
    """In both directions, and its pool with it."""
    pair, web = Pair(), pool()
    plain, limited = listener(web), listener(web, max_connections=10)
    moments: list[tuple[bool, bool]] = []

    async def note() -> None:
        kernel, proxy = await pair.kernel.read_back(), await pair.proxy.read_back()
        moments.append((bool(kernel.listeners), bool(proxy.listeners)))

    pair.kernel.on_plan = pair.proxy.on_plan = note
    for row in (plain, limited, plain):
        await pair.serve((web, members(web, 1), row))
        assert len(await pair.served_by(row)) == 1

    assert (False, False) not in moments
    assert moments[-1] == (True, False)
    assert (await pair.proxy.read_back()).pools == ()


async def test_a_listener_that_the_proxy_refuses_stays_in_the_kernel() -> None:
    """The last good form goes on to serve."""
    pair, web = Pair(), pool()
    pair.proxy._refuses = lambda row: "no" if isinstance(row, Listener) else None
    await pair.serve((web, listener(web)))
    receipt = await pair.serve((web, listener(web, max_connections=10)))

    assert [each.key for each in receipt.refused] == [RowKey(Table.LISTENER, "listener-1")]
    assert await pair.served_by(listener(web)) == ("Kernel",)


async def test_what_both_refuse_is_told_why_by_both() -> None:
    """Somebody may mend either; of what is served nothing is said."""
    pair, web = Pair(), pool()
    pair.proxy._refuses = lambda row: "no UDP" if isinstance(row, Listener) else None
    receipt = await pair.serve((web, listener(web, max_connections=10)))

    assert [each.reason for each in receipt.refused] == [
        "no UDP; nor can the kernel serve it: the kernel limits no connections of a listener"
    ]
    assert not (await pair.serve((web, listener(web)))).refused


async def test_a_listener_of_several_pools_is_served_where_it_fits_with_all_of_them() -> None:
    """In the kernel if they are alike; else by the proxy, and all its pools with it."""
    pair, web, new = Pair(), pool(), pool("new")
    sticky = msgspec.structs.replace(pool("sticky"), persistence=SourceIpPersistence())

    def divided(*pools: Pool) -> Listener:
        row = listener(web)
        shares = (*(StreamShare(each.id) for each in pools), StreamShare(None))
        return msgspec.structs.replace(row, handler=ForwardTcp(pool=web.id, shares=shares))

    await pair.serve((web, new, divided(web, new)))
    assert await pair.served_by(divided(web, new)) == ("Kernel",)
    assert (await pair.proxy.read_back()).pools == ()

    await pair.serve((web, sticky, divided(web, sticky)))
    assert await pair.served_by(divided(web, sticky)) == ("Noted",)
    assert {each.id for each in (await pair.proxy.read_back()).pools} == {web.id, sticky.id}


async def test_endpoints_reach_whoever_has_the_pool() -> None:
    """At once, without a plan; also while one is being made."""
    pair, web = Pair(), pool()
    await pair.serve((web, members(web, 1), listener(web)))
    pair.split.set_endpoints(members(web, 2))

    assert (await pair.kernel.read_back()).endpoints == (members(web, 2),)
    assert [each.port for each in (await pair.split.count([web.id]))[web.id]] == [2]


_pools = [pool("a"), pool("b"), pool("h", BackendProtocol.HTTP1)]


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Draw listeners of all kinds, with their pools."""
    rows: list[Row] = []
    for number in draw(st.sets(st.integers(1, 4))):
        to = draw(st.sampled_from(_pools))
        row = listener(to, number, draw(st.sampled_from([None, 10])))
        if to.protocol is BackendProtocol.TCP and draw(st.booleans()):
            shares = StreamShare(to.id), StreamShare(_pools[0].id), StreamShare(None)
            handler = msgspec.structs.replace(row.handler, shares=shares)
            row = msgspec.structs.replace(row, handler=handler)
            rows += [_pools[0], members(_pools[0], 1)]
        if to.protocol is BackendProtocol.HTTP1 or draw(st.booleans()):
            host = Passthrough(hostname="a.example", owner=SERVICE, pool=to.id)
            http = ForwardHttp(router=RouterId("shared"), tls=True, passthroughs=(host,))
            row = msgspec.structs.replace(row, handler=http)
        rows += [row, to, members(to, draw(st.integers(1, 3)))]
    return model_of(rows)


@given(st.lists(models(), min_size=1, max_size=5))
async def test_any_way_through_models_is_served(ways: list[Model]) -> None:
    """After each, every listener is with one part, and that part has the pools it sends to."""
    pair = Pair()
    for model in ways:
        await pair.serve(tuple(model.rows()))

        assert await pair.split.read_back() == model
        assert await pair.proxy.read_back() == proxy_share(model, misfit)
        proxy, kernel = await pair.proxy.read_back(), await pair.kernel.read_back()
        assert not {each.id for each in proxy.listeners} & {each.id for each in kernel.listeners}
        for part in (proxy, kernel):
            have = {key_of(row) for row in part.rows()}
            for row in part.listeners:
                for needed in _pools_of(row):
                    assert RowKey(Table.POOL, needed) in have
                    assert RowKey(Table.ENDPOINTS, needed) in have


async def test_what_the_kernel_counts_is_said_of_both() -> None:
    """Drift and connections; and who serves which listener."""
    pair, web = Pair(), pool()
    limited = listener(web, 2, max_connections=10)
    await pair.serve((web, listener(web), limited))
    assert drifts_of(pair.split) == {pair.kernel.name: {"table": 1}}
    assert pair.split.connections == {"masqueraded": 2}
    assert pair.split.is_in_kernel(listener(web).id)
    assert not pair.split.is_in_kernel(limited.id)


async def test_what_the_kernel_can_no_longer_serve_is_the_proxys_until_it_can() -> None:
    """As when forwarding is switched off: nobody has to edit a Service."""
    pair, web = Pair(), pool()
    row = listener(web)

    async def comes_to(name: str) -> None:
        async with asyncio.timeout(20):
            while await pair.served_by(row) != (name,):  # noqa: ASYNC110  nobody says when
                await asyncio.sleep(0.005)

    async with pair.split.running():
        await pair.serve((web, members(web, 1), row))
        await comes_to("Kernel")
        pair.kernel.obstacles = {4: "net.ipv4.ip_forward is 0"}
        await comes_to("Noted")
        assert not pair.split.is_in_kernel(row.id)
        pair.kernel.obstacles = {}
        await comes_to("Kernel")


async def test_what_the_proxy_refuses_stays_where_it_was() -> None:
    """There is no better place for it, and it is tried again when things change."""
    pair, web = Pair(), pool()
    row = listener(web)
    tried = asyncio.Event()

    def refuses(asked: Row) -> str | None:
        tried.set()
        return "no" if isinstance(asked, Listener) else None

    async with pair.split.running():
        await pair.serve((web, members(web, 1), row))
        pair.proxy._refuses = refuses
        pair.kernel.obstacles = {4: "net.ipv4.ip_forward is 0"}
        async with asyncio.timeout(20):
            await tried.wait()
        assert await pair.served_by(row) == ("Kernel",)
