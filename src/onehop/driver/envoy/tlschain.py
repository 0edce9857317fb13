"""The ways through a listener that ends TLS.

Nearly all hosts share one chain, whose certificates are asked for on demand (see `tls`): a new host
or certificate does not touch the listener. A host that asks for clients' certificates has a chain
of its own, for Envoy holds the demand at the chain; so has one whose TLS is passed through, and one
that a wildcard passed through would take in. Envoy changes chains in place: what is added or
changed drains no connection of another chain (envoyproxy.io, "Listener discovery service").
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from onehop.driver.envoy.http import render_http
from onehop.driver.envoy.listener import Chain, passthrough_chains
from onehop.driver.envoy.secrets import StaticChain
from onehop.driver.envoy.tls import on_demand_socket, secret_socket
from onehop.model.listener import ClientCheck, ForwardHttp


def tls_chains(
    handler: ForwardHttp, static: Sequence[StaticChain], access_log: str | None
) -> Iterator[Chain]:
    """Yield the chains of a listener.

    Args:
        handler: what is served.
        static: the names that are listed, for a router that contradicts another one; else empty.
        access_log: see `EnvoyOptions.access_log`.
    """

    def http(check: ClientCheck | None = None) -> tuple[dict[str, Any]]:
        return (render_http(handler, access_log, check=check),)

    policy = handler.tls_policy
    yield from _streams(handler, static, access_log)
    if not static:
        on_demand = f"{handler.router}/*"
        for name, check in alone(handler):
            socket = on_demand_socket(on_demand, policy, check or handler.clients)
            yield Chain((name,), socket, http(check))
        yield Chain((), on_demand_socket(on_demand, policy, handler.clients), http())
        return
    for name, check in alone(handler):
        shown = chain_of(name, static)
        if shown is not None:
            socket = secret_socket(f"={shown.certificate}", policy, check or handler.clients)
            yield Chain((name,), socket, http(check))
    for each in others(static, handler):
        socket = secret_socket(f"={each.certificate}", policy, handler.clients)
        yield Chain(each.hostnames, socket, http())


def _streams(
    handler: ForwardHttp, static: Sequence[StaticChain], access_log: str | None
) -> Iterator[Chain]:
    """Yield the chains of hosts whose connections are passed on, their TLS as it is or ended."""
    for each in handler.passthroughs:
        if not each.ends_tls:
            yield from passthrough_chains(each, access_log)
        elif not static:
            socket = on_demand_socket(f"{handler.router}/*", handler.tls_policy, alpn=())
            yield from passthrough_chains(each, access_log, socket)
        elif (shown := chain_of(each.hostname, static)) is not None:
            socket = secret_socket(f"={shown.certificate}", handler.tls_policy, alpn=())
            yield from passthrough_chains(each, access_log, socket)


def alone(handler: ForwardHttp) -> Iterator[tuple[str, ClientCheck | None]]:
    """Yield the names that have a chain to themselves, and end here."""
    checks = {check.hostname: check for check in handler.client_checks}
    passed = {each.hostname for each in handler.passthroughs}
    exceptions = {name for each in handler.passthroughs for name in each.exceptions}
    for name in sorted({*checks, *exceptions} - passed):
        yield name, checks.get(name)


def chain_of(hostname: str, chains: Iterable[StaticChain]) -> StaticChain | None:
    """Return the chain whose certificate a host shows: by its name, a wildcard, or for all."""
    by_name = {name: each for each in chains for name in each.hostnames or ("*",)}
    tried = (hostname, f"*.{hostname.partition('.')[2]}", "*")
    return next((by_name[name] for name in tried if name in by_name), None)


def others(chains: Iterable[StaticChain], handler: ForwardHttp) -> Iterator[StaticChain]:
    """Yield the chains without the names that have a chain to themselves."""
    taken = {name for name, _ in alone(handler)} | {p.hostname for p in handler.passthroughs}
    for each in chains:
        names = tuple(name for name in each.hostnames if name not in taken)
        if names or not each.hostnames:
            yield each._replace(hostnames=names)
