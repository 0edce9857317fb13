"""What every driver promises, held against each of them."""

import asyncio
import itertools

import msgspec
import pytest

from onehop.driver import Capability, Driver, Receipt
from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import HostId, ListenerId, ObjectRef, PoolId, RouterId
from onehop.model.listener import ForwardHttp, ForwardTcp, Listener, Passthrough, TlsChallenge
from onehop.model.model import Model, Row, RowKey, Table, change_between, key_of, model_of
from onehop.model.pool import BackendProtocol, Pool
from onehop.model.route import (
    Forward,
    HeaderEdit,
    PathKind,
    PathMatch,
    PoolShare,
    Respond,
    Route,
    VirtualHost,
)
from onehop.plan import Plan, make_plan
from tests.contract.drivers import DRIVERS, RunningDriver
from tests.driver_envoy.world import challenge

ROUTER = RouterId("shared-http")
SERVICE = ObjectRef("Service", "shop", "web")
_ports = itertools.count(20_000)


@pytest.fixture(params=DRIVERS, ids=lambda running: running.__name__)
def running(request: pytest.FixtureRequest) -> RunningDriver:
    chosen: RunningDriver = request.param
    return chosen


def pool(name: str) -> Pool:
    return Pool(id=PoolId(f"shop/{name}:80"), service=ObjectRef("Service", "shop", name), port=80)


def members(of: Pool, *ports: int) -> PoolEndpoints:
    address = IpAddr("192.0.2.1")
    return PoolEndpoints(of.id, tuple(Endpoint(address=address, port=port) for port in ports))


def host(name: str, to: Pool, request_headers: HeaderEdit | None = None) -> VirtualHost:
    action = Forward(pools=(PoolShare(to.id),))
    path = PathMatch(PathKind.PREFIX, "/")
    return VirtualHost(
        id=HostId(f"{ROUTER}/{name}"),
        router=ROUTER,
        hostname=name,
        routes=(
            Route(
                id=name,
                owner=None,
                match=path,
                action=action,
                request_headers=request_headers or HeaderEdit(),
            ),
        ),
    )


def listener() -> Listener:
    return Listener(
        id=ListenerId("http"),
        owner=None,
        address=IpAddr("127.0.0.1"),
        port=next(_ports),
        handler=ForwardHttp(router=ROUTER),
    )


async def bring_to(driver: Driver, *rows: Row) -> Receipt:
    return await driver.apply(make_plan(change_between(await driver.read_back(), model_of(rows))))


async def test_a_new_driver_serves_nothing(running: RunningDriver) -> None:
    """`read_back` of a driver that was told nothing is the empty Model."""
    async with running() as driver:
        assert await driver.read_back() == Model()


async def test_what_is_applied_is_read_back(running: RunningDriver) -> None:
    """After a plan from what is there to what is wanted, what is wanted is there."""
    web, api = pool("web"), pool("api")
    first = (web, members(web, 1, 2), listener(), host("a.example", web))
    second = (api, members(api, 3), first[2], host("a.example", api), host("b.example", api))
    async with running() as driver:
        for rows in (first, second, first, ()):
            receipt = await bring_to(driver, *rows)

            assert receipt.refused == ()
            assert await driver.read_back() == model_of(rows)


async def test_a_host_that_is_passed_through_moves_from_pool_to_pool(
    running: RunningDriver,
) -> None:
    """The pools of a listener's passthroughs are there before it, and go after it."""
    one, two = (
        Pool(id=PoolId(name), service=SERVICE, port=443, protocol=BackendProtocol.TCP)
        for name in ("shop/one:443", "shop/two:443")
    )
    http = listener()
    async with running() as driver:
        for to in (one, two, None, one):
            host = Passthrough(
                hostname="a.example", owner=SERVICE, pool=to.id if to is not None else None
            )
            handler = ForwardHttp(router=ROUTER, tls=True, passthroughs=(host,))
            rows: tuple[Row, ...] = (msgspec.structs.replace(http, handler=handler),)
            rows += (to, members(to, 1)) if to is not None else ()
            receipt = await bring_to(driver, *rows)

            if Capability.TLS_PASSTHROUGH not in driver.capabilities:
                assert [refusal.key for refusal in receipt.refused] == [key_of(rows[0])]
                continue
            assert receipt.refused == ()
            assert await driver.read_back() == model_of(rows)


async def test_applying_the_same_again_changes_nothing(running: RunningDriver) -> None:
    """The plan from a Model to itself is empty, and an empty plan is made without complaint."""
    web = pool("web")
    async with running() as driver:
        await bring_to(driver, web, members(web, 1))
        receipt = await driver.apply(Plan())

        assert receipt.refused == ()
        assert await driver.read_back() == model_of((web, members(web, 1)))


async def test_endpoints_are_replaced_at_once(running: RunningDriver) -> None:
    """`set_endpoints` needs no plan and no await, and is what `read_back` tells from then on."""
    web = pool("web")
    async with running() as driver:
        await bring_to(driver, web, members(web, 1))

        driver.set_endpoints(members(web, 7, 8))

        assert await driver.read_back() == model_of((web, members(web, 7, 8)))


async def test_members_are_counted_by_pool(running: RunningDriver) -> None:
    """Those of the pools that were named, from zero, and of no others."""
    web, api = pool("web"), pool("api")
    async with running() as driver:
        await bring_to(driver, web, members(web, 1, 2), api, members(api, 3))

        counts = await driver.count((web.id, PoolId("shop/nobody:80")))

        assert list(counts) == [web.id]
        assert {(count.port, count.requests) for count in counts[web.id]} == {(1, 0), (2, 0)}


async def test_endpoints_of_an_unknown_pool_are_passed_over(running: RunningDriver) -> None:
    """A pool that is not there does not come to be by its endpoints."""
    async with running() as driver:
        driver.set_endpoints(members(pool("web"), 1))

        assert await driver.read_back() == Model()


async def test_endpoints_set_during_an_apply_are_not_overwritten(running: RunningDriver) -> None:
    """The plan's endpoints are older than those that arrive while it is being made."""
    web = pool("web")
    async with running() as driver:
        plan = make_plan(change_between(Model(), model_of((web, members(web, 1), listener()))))
        async with asyncio.TaskGroup() as group:
            group.create_task(driver.apply(plan))
            await asyncio.sleep(0)  # it runs up to the first time it waits for the data plane
            driver.set_endpoints(members(web, 2))

        assert members(web, 2) in (await driver.read_back()).endpoints


async def test_a_transparent_pool_is_taken_by_who_can(running: RunningDriver) -> None:
    """Where TRANSPARENT is claimed, a listener may send to such a pool and to a plain one."""
    plain = msgspec.structs.replace(pool("web"), protocol=BackendProtocol.TCP)
    seen = msgspec.structs.replace(plain, id=PoolId(f"{plain.id}~1"), is_transparent=True)
    entrance = listener()
    async with running() as driver:
        if Capability.TRANSPARENT not in driver.capabilities:
            return
        for behind in (plain, seen, plain):
            handler = ForwardTcp(pool=behind.id)
            row = msgspec.structs.replace(entrance, handler=handler)
            receipt = await bring_to(driver, behind, members(behind, 80), row)

            assert receipt.refused == ()
            assert (await driver.read_back()).pools == (behind,)


async def test_a_challenge_comes_changes_and_goes(running: RunningDriver) -> None:
    """A certificate for a CA alone, by a listener that ends TLS; and a route for one name."""
    entrance, (first, second) = listener(), (challenge("www.a.example") for _ in range(2))
    secure = ForwardHttp(router=ROUTER, tls=True)
    shown = TlsChallenge(hostname="www.a.example", certificate=first.id)
    plain = msgspec.structs.replace(entrance, handler=secure)
    asked = msgspec.structs.replace(
        entrance, handler=msgspec.structs.replace(secure, challenges=(shown,))
    )
    answer = Route(
        id="challenge",
        owner=None,
        match=PathMatch(PathKind.EXACT, "/.well-known/acme-challenge/token"),
        hostname="www.a.example",
        action=Respond(status=200, body="token.thumbprint"),
    )
    wild = host("*.a.example", pool("web"))
    proven = msgspec.structs.replace(wild, routes=(answer, *wild.routes))
    async with running() as driver:
        for rows in (
            (plain, wild),
            (first, asked, proven),
            (second, asked, proven),
            (plain, wild),
        ):
            receipt = await bring_to(driver, *rows)

            if Capability.TLS_ALPN_CHALLENGE not in driver.capabilities:
                named = {refusal.key for refusal in receipt.refused}
                assert named >= {key_of(row) for row in rows if row in {first, second}}
                continue
            assert receipt.refused == ()
            assert await driver.read_back() == model_of(rows)


async def test_one_refused_row_harms_only_itself(running: RunningDriver) -> None:
    """A row that the data plane refuses is named with a reason; all others are served."""
    web = pool("web")
    bad = host("bad.example", web, request_headers=HeaderEdit(set=((":path", "/x"),)))
    good = host("good.example", web)
    rows = (web, members(web, 1), listener(), good)
    async with running() as driver:
        receipt = await bring_to(driver, *rows, bad)

        assert [refusal.key for refusal in receipt.refused] == [key_of(bad)]
        assert receipt.refused[0].reason
        assert await driver.read_back() == model_of(rows)


async def test_a_refused_row_keeps_what_was_served_before(running: RunningDriver) -> None:
    """The last good form stays, and the mended row is taken."""
    web, api = pool("web"), pool("api")
    bad = host("a.example", web, request_headers=HeaderEdit(set=((":path", "/x"),)))
    rows = (web, api, members(web, 1), members(api, 1), listener())
    async with running() as driver:
        await bring_to(driver, *rows, host("a.example", web))

        receipt = await bring_to(driver, *rows, bad)
        assert [refusal.key for refusal in receipt.refused] == [RowKey(Table.HOST, bad.id)]
        assert await driver.read_back() == model_of((*rows, host("a.example", web)))

        receipt = await bring_to(driver, *rows, host("a.example", api))
        assert receipt.refused == ()
        assert await driver.read_back() == model_of((*rows, host("a.example", api)))
