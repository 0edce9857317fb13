"""Strategies for Models whose references all lead somewhere, out of few names."""

from collections.abc import Iterator, Sequence

from hypothesis import strategies as st

from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, SecretText, ServerName
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import CertificateId, HostId, ListenerId, ObjectRef, PoolId, RouterId
from onehop.model.listener import (
    ForwardHttp,
    ForwardTcp,
    ForwardUdp,
    Handler,
    Listener,
    Passthrough,
    Transport,
    Vip,
)
from onehop.model.model import Model, Row, RowKey, Table, model_of
from onehop.model.pool import Pool
from onehop.model.route import (
    Action,
    Forward,
    PathKind,
    PathMatch,
    PoolShare,
    Redirect,
    Respond,
    Route,
    VirtualHost,
)

ROUTER = RouterId("shared-http")
_NAMES = ("a", "b", "c")


@st.composite
def models(draw: st.DrawFn) -> Model:
    """A Model as compile could have made it: nothing dangles, no socket is taken twice."""
    pools = draw(st.lists(st.sampled_from(_NAMES), unique=True))
    certificates = draw(st.lists(st.sampled_from(_NAMES), unique=True))
    rows: list[Row] = []
    for name in pools:
        pool = PoolId(name)
        port = draw(st.sampled_from((80, 81)))
        rows += [
            Pool(id=pool, service=ObjectRef("Service", "n", name), port=port),
            PoolEndpoints(pool, (Endpoint(address=IpAddr("10.0.0.1"), port=port),)),
        ]
    for name in certificates:
        rows.append(
            Certificate(
                id=CertificateId(name),
                chain_pem=draw(st.sampled_from(("one", "two"))),
                key_pem=SecretText("key"),
                fingerprint="00",
                not_after=0,
            )
        )
        rows += [
            ServerName(router=ROUTER, hostname=host, certificate=CertificateId(name))
            for host in draw(st.lists(st.sampled_from(("x", "y")), unique=True))
        ]
    rows += _listeners(draw, pools)
    rows += _hosts(draw, pools)
    return model_of(rows)


def _listeners(draw: st.DrawFn, pools: Sequence[str]) -> Iterator[Row]:
    for number in draw(st.lists(st.sampled_from((1, 2)), unique=True)):
        address = IpAddr(f"192.0.2.{number}")
        handler: Handler = ForwardHttp(router=ROUTER)
        if pools:
            pool = PoolId(draw(st.sampled_from(pools)))
            passed = ForwardHttp(router=ROUTER, tls=True, passthroughs=(_passthrough(pool),))
            handlers = (handler, passed, ForwardTcp(pool=pool), ForwardUdp(pool=pool))
            handler = draw(st.sampled_from(handlers))
        name = ListenerId(f"{draw(st.sampled_from(_NAMES))}@{address}")
        yield Vip(address=address)
        yield Listener(id=name, owner=None, address=address, port=80, handler=handler)


def _passthrough(pool: PoolId) -> Passthrough:
    return Passthrough(hostname="x", owner=ObjectRef("Ingress", "n", "x"), pool=pool)


def _hosts(draw: st.DrawFn, pools: Sequence[str]) -> Iterator[Row]:
    for hostname in draw(st.lists(st.sampled_from(("x", "y", "*")), unique=True)):
        forwards = [Forward(pools=(PoolShare(PoolId(name)),)) for name in pools]
        answers: tuple[Action, ...] = (Redirect(scheme="https"), Respond(status=503))
        actions = st.sampled_from((*forwards, *answers))
        routes = tuple(
            Route(id=kind, owner=None, match=PathMatch(kind, "/"), action=draw(actions))
            for kind in draw(st.lists(st.sampled_from(PathKind), unique=True))
        )
        yield VirtualHost(
            id=HostId(f"{ROUTER}/{hostname}"), router=ROUTER, hostname=hostname, routes=routes
        )


def socket(listener: Listener) -> tuple[IpAddr, int, Transport]:
    """Return what no two listeners may share."""
    return listener.address, listener.port, listener.transport


def dangling(model: Model) -> frozenset[tuple[str, RowKey]]:
    """Return who points at which row that is not there."""
    have = {RowKey(Table.POOL, pool.id) for pool in model.pools}
    have |= {RowKey(Table.CERTIFICATE, certificate.id) for certificate in model.certificates}
    return frozenset(pointer for pointer in _pointers(model) if pointer[1] not in have)


def _pointers(model: Model) -> Iterator[tuple[str, RowKey]]:
    for name in model.server_names:
        yield name.id, RowKey(Table.CERTIFICATE, name.certificate)
    for listener in model.listeners:
        for pool in listener.handler.pools:
            yield listener.id, RowKey(Table.POOL, pool)
        if isinstance(listener.handler, ForwardHttp):
            for challenge in listener.handler.challenges:
                yield listener.id, RowKey(Table.CERTIFICATE, challenge.certificate)
    for host in model.hosts:
        for route in host.routes:
            if isinstance(route.action, Forward):
                for pool in route.action.targets:
                    yield host.id, RowKey(Table.POOL, pool)
