"""A host announces an address only while it can answer for it."""

from onehop.control.announce import answerable
from onehop.control.served import Served
from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import HostId, ListenerId, ObjectRef, PoolId, RouterId
from onehop.model.listener import ForwardHttp, ForwardTcp, Listener, Vip
from onehop.model.model import Change, Row
from onehop.model.route import Forward, PathKind, PathMatch, PoolShare, Route, VirtualHost

SHARED, OWN = IpAddr("203.0.113.1"), IpAddr("203.0.113.2")
QUEUE = ObjectRef("Service", "shop", "queue")
WEB_POOL, QUEUE_POOL = PoolId("shop/web:80"), PoolId("shop/queue:5672")


def members(pool: PoolId, *addresses: str) -> PoolEndpoints:
    return PoolEndpoints(pool, tuple(Endpoint(address=IpAddr(a), port=80) for a in addresses))


def served(*rows: Row) -> Served:
    route = Route(
        id="r",
        owner=None,
        match=PathMatch(PathKind.PREFIX, "/"),
        action=Forward(pools=(PoolShare(WEB_POOL),)),
    )
    router = RouterId("shared-http")
    world = Served()
    world.take(
        Change(
            (
                Vip(address=SHARED),
                Vip(address=OWN, owners=(QUEUE,)),
                Listener(
                    id=ListenerId("http"),
                    owner=None,
                    address=SHARED,
                    port=80,
                    handler=ForwardHttp(router=router),
                ),
                Listener(
                    id=ListenerId("queue"),
                    owner=QUEUE,
                    address=OWN,
                    port=5672,
                    handler=ForwardTcp(pool=QUEUE_POOL),
                ),
                VirtualHost(id=HostId("h"), router=router, hostname="a.test", routes=(route,)),
                *rows,
            )
        )
    )
    return world


def test_an_address_with_an_endpoint_behind_it_is_announced() -> None:
    """By its own listener, or by any host of the shared address."""
    both = served(members(WEB_POOL, "10.0.0.1"), members(QUEUE_POOL, "10.0.0.2"))

    assert answerable(both, lambda _address: True) == {SHARED, OWN}


def test_an_address_without_endpoints_is_withdrawn() -> None:
    """Empty pools and missing ones are the same."""
    only_web = served(members(WEB_POOL, "10.0.0.1"), members(QUEUE_POOL))
    nothing = served(members(WEB_POOL))

    assert answerable(only_web, lambda _address: True) == {SHARED}
    assert answerable(nothing, lambda _address: True) == frozenset()


def test_a_gateways_address_answers_for_its_own_hosts_alone() -> None:
    """Hosts of Ingresses are no reason to announce a Gateway's address, nor the other way round."""
    gateway, router = ObjectRef("Gateway", "shop", "public"), RouterId("gateway/shop/public:80")
    address, pool = IpAddr("203.0.113.3"), PoolId("shop/api:80")
    route = Route(
        id="r",
        owner=None,
        match=PathMatch(PathKind.PREFIX, "/"),
        action=Forward(pools=(PoolShare(pool),)),
    )
    rows: tuple[Row, ...] = (
        Vip(address=address, owners=(gateway,)),
        Listener(
            id=ListenerId("gateway"),
            owner=gateway,
            address=address,
            port=80,
            handler=ForwardHttp(router=router),
        ),
        VirtualHost(id=HostId("g"), router=router, hostname="a.test", routes=(route,)),
    )

    only_web = served(*rows, members(WEB_POOL, "10.0.0.1"), members(pool))
    only_api = served(*rows, members(WEB_POOL), members(pool, "10.0.0.2"))

    assert answerable(only_web, lambda _address: True) == {SHARED}
    assert answerable(only_api, lambda _address: True) == {address}


def test_an_address_that_is_not_bound_is_not_announced() -> None:
    """Clients would meet a host that drops their packets."""
    both = served(members(WEB_POOL, "10.0.0.1"), members(QUEUE_POOL, "10.0.0.2"))

    assert answerable(both, lambda address: address == OWN) == {OWN}
