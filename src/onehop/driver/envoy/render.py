"""A Model as one static configuration: to be read, compared, and checked by Envoy's own parser.

What runs gets the same messages piece by piece (`translator`). Here they are put into each other:
endpoints into clusters, hosts into routers, certificates into filter chains.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, assert_never

from onehop.base.child import bound_to_parent, finish
from onehop.base.errors import DriverUnavailable, RejectedError
from onehop.driver.envoy.binary import find_envoy
from onehop.driver.envoy.challenge import challenge_chains
from onehop.driver.envoy.cluster import render_cluster
from onehop.driver.envoy.endpoints import build_endpoints
from onehop.driver.envoy.http import render_http
from onehop.driver.envoy.links import retried_apart
from onehop.driver.envoy.listener import Chain, passthrough_chains, render_listener, tcp_chain
from onehop.driver.envoy.proto import Bootstrap, as_dict
from onehop.driver.envoy.quic import alt_svc, quic_chains, render_twin
from onehop.driver.envoy.route import Pools, render_host
from onehop.driver.envoy.router import render_static_router
from onehop.driver.envoy.secrets import StaticChain
from onehop.driver.envoy.tls import inline_socket, shown_inline
from onehop.driver.envoy.tlschain import alone, chain_of, others
from onehop.model.certificate import Certificate
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import CertificateId, PoolId, RouterId
from onehop.model.listener import ClientCheck, ForwardHttp, ForwardTcp, ForwardUdp, Listener
from onehop.model.model import Model
from onehop.model.pool import Persistence, Pool

_VALIDATION_TIMEOUT_S: Final = 60.0


def render_config(model: Model) -> dict[str, Any]:
    """Return the configuration as JSON-able data, in the order of the Model.

    Private keys are redacted, and chains shown by their fingerprint. A TLS listener of a router
    without any server name is left out: there is no certificate that it could show.
    """
    return as_dict(_bootstrap(model, redact=True))


async def validate_config(model: Model) -> None:
    """Let Envoy read the configuration and say what is wrong with it.

    Raises:
        RejectedError: Envoy refuses it; the message is Envoy's.
        DriverUnavailable: Envoy does not finish in time.
    """
    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:  # 0700: it will hold keys
        file = Path(folder) / "static.json"
        file.write_text(json.dumps(as_dict(_bootstrap(model, redact=False))))
        command = bound_to_parent(
            (str(find_envoy()), "--mode", "validate", "--disable-hot-restart", "-l", "error")
        )
        try:
            done = await finish(
                (*command, "--config-path", str(file)),
                timeout_s=_VALIDATION_TIMEOUT_S,
                in_one=True,
            )
        except TimeoutError as err:
            raise DriverUnavailable("Envoy did not finish validating a configuration") from err
    if done.code != 0:
        raise RejectedError(f"Envoy refuses the configuration: {done.out.decode(errors='replace')}")


def _bootstrap(model: Model, *, redact: bool) -> Any:
    members = {each.pool: each for each in model.endpoints}
    by_id = {each.id: each for each in model.certificates}
    apart = _retried_apart(model)
    clusters = [
        _cluster(
            pool,
            members.get(pool.id, PoolEndpoints(pool.id)),
            _client(pool, by_id, redact=redact),
            is_retried_apart=pool.id in apart,
        )
        for pool in model.pools
    ]
    transparent = {pool.id for pool in model.pools if pool.is_transparent}
    listeners: list[Any] = []
    for each in model.listeners:
        chains = list(_chains(model, each, redact=redact))
        if chains or isinstance(each.handler, ForwardUdp):
            is_transparent = _pool(each) in transparent
            listeners.append(render_listener(each, chains, is_transparent=is_transparent))
        twin = list(_twin_chains(model, each, redact=redact))
        if twin:
            listeners.append(render_twin(each, twin))
    return Bootstrap(static_resources={"clusters": clusters, "listeners": listeners})


def _pool(listener: Listener) -> PoolId | None:
    return None if isinstance(listener.handler, ForwardHttp) else listener.handler.pool


def _client(
    pool: Pool, certificates: Mapping[CertificateId, Certificate], *, redact: bool
) -> dict[str, Any]:
    """Return what endpoints are shown; nothing while it is not there, as nobody connects then."""
    shown = certificates.get(pool.tls.client) if pool.tls and pool.tls.client else None
    return shown_inline(shown, redact=redact) if shown is not None else {}


def _cluster(
    pool: Pool, members: PoolEndpoints, shown: dict[str, Any], *, is_retried_apart: bool
) -> Any:
    cluster = render_cluster(pool, shown, is_retried_apart=is_retried_apart)
    cluster.type = "STATIC"
    cluster.ClearField("eds_cluster_config")
    cluster.load_assignment.CopyFrom(build_endpoints(members, pool.health_check))
    return cluster


def _chains(model: Model, listener: Listener, *, redact: bool) -> Iterable[Chain]:
    match listener.handler:
        case ForwardTcp() as handler:
            yield tcp_chain(handler, None)
        case ForwardUdp():
            return
        case ForwardHttp() as handler:
            if handler.tls:
                chains = list(_tls_chains(model, listener, handler, redact=redact))
                yield from chains
                by_id = {each.id: each for each in model.certificates}
                yield from challenge_chains(handler.challenges, chains, by_id.get, redact=redact)
            else:
                yield Chain((), None, (_http(model, listener, handler),))
        case _:
            assert_never(listener.handler)


def _tls_chains(
    model: Model, listener: Listener, handler: ForwardHttp, *, redact: bool
) -> Iterable[Chain]:
    by_id = {each.id: each for each in model.certificates}
    static = list(_static_chains(model, handler.router))

    def chain(shown: StaticChain, check: ClientCheck | None = None) -> Chain:
        certificate = by_id[shown.certificate]
        demand = check or handler.clients
        socket = inline_socket(certificate, handler.tls_policy, demand, redact=redact)
        return Chain(shown.hostnames, socket, (_http(model, listener, handler, check),))

    for host in handler.passthroughs:
        shown = chain_of(host.hostname, static) if host.ends_tls else None
        if shown is not None:
            certificate, policy = by_id[shown.certificate], handler.tls_policy
            ended = inline_socket(certificate, policy, redact=redact, alpn=())
            yield from passthrough_chains(host, None, ended)
        elif not host.ends_tls:
            yield from passthrough_chains(host, None)
    for name, check in alone(handler):
        shown = chain_of(name, static)
        if shown is not None:
            yield chain(shown._replace(hostnames=(name,)), check)
    yield from map(chain, others(static, handler))


def _twin_chains(model: Model, listener: Listener, *, redact: bool) -> Iterable[Chain]:
    """Yield the chains of HTTP/3, if it is spoken."""
    handler = listener.handler
    if not isinstance(handler, ForwardHttp) or not handler.http3:
        return ()
    by_id = {each.id: each for each in model.certificates}
    names = [
        StaticChain((name.hostname,) if name.hostname != "*" else (), name.certificate)
        for name in model.server_names
        if name.router == handler.router and name.certificate in by_id
    ]
    routes = _router(model, handler.router, alt_svc(listener, handler.router))
    http = render_http(handler, None, routes=routes, is_quic=True)

    def shown(name: CertificateId) -> dict[str, Any]:
        return shown_inline(by_id[name], redact=redact)

    return quic_chains(handler, names, http, shown)


def _http(
    model: Model, listener: Listener, handler: ForwardHttp, check: ClientCheck | None = None
) -> dict[str, Any]:
    router = check.router if check else handler.router
    routes = _router(model, router, alt_svc(listener, router))
    return render_http(handler, None, check=check, routes=routes)


def _router(model: Model, router: RouterId, said: str | None) -> Any:
    pools = {pool.id: pool for pool in model.pools}

    def persistence_of(pool: PoolId) -> Persistence | None:
        return pools[pool].persistence if pool in pools else None

    known = Pools(persistence_of, _retried_apart(model).__contains__)
    hosts = [render_host(host, known) for host in model.hosts if host.router == router]
    return render_static_router(router, hosts, said)


def _retried_apart(model: Model) -> set[PoolId]:
    return {pool for host in model.hosts for pool in retried_apart(host)}


def _static_chains(model: Model, router: RouterId) -> Iterable[StaticChain]:
    """Yield each certificate of a router with the names it answers; none means all others."""
    known = {each.id for each in model.certificates}
    names: dict[CertificateId, list[str]] = {}
    for name in model.server_names:
        if name.router == router and name.certificate in known:
            names.setdefault(name.certificate, []).append(name.hostname)
    for certificate in sorted(names):
        listed = tuple(name for name in names[certificate] if name != "*")
        if listed:
            yield StaticChain(listed, certificate)
        if "*" in names[certificate]:
            yield StaticChain((), certificate)
