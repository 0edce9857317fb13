"""A Listener of ours as one of Envoy's (LDS)."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, assert_never

from onehop.driver.envoy.accesslog import render_access_log
from onehop.driver.envoy.cluster import BUFFER_LIMIT_BYTES
from onehop.driver.envoy.guard import cidr_range, clients_of, connection_rules
from onehop.driver.envoy.proto import (
    ConnectionLimit,
    IPMatcher,
    NetworkRbac,
    OriginalSrc,
    ProxyProtocol,
    SourceIPInput,
    TcpProxy,
    TlsInspector,
    UdpProxyConfig,
    duration,
    extension,
    wrapped,
)
from onehop.driver.envoy.proto import Listener as ListenerMessage
from onehop.driver.envoy.udpshare import NOBODY, udp_shares
from onehop.model.address import Cidr
from onehop.model.ident import PoolId
from onehop.model.listener import ForwardHttp, ForwardTcp, ForwardUdp, Listener, Passthrough

_SOURCE_HASH: Final[list[dict[str, Any]]] = [{"source_ip": {}}]

_CONNECT_ATTEMPTS: Final = 8
"""More than it takes to eject an endpoint that refuses (see `health`), with a pause for the
ejection to reach the worker: a balancer that draws the same one over and over ends up elsewhere."""


class Chain(NamedTuple):
    """One way through a listener: for which names, over which transport, through which filters.

    Attributes:
        server_names: by SNI, exact or `*.example.com`; empty takes all others.
        transport: the TLS transport socket, or None for plain TCP.
        filters: without any, Envoy closes the connection.
        protocols: that a client offers by ALPN; empty takes all others.
        sources: networks of clients; empty takes all others, of those that the listener takes.
    """

    server_names: tuple[str, ...]
    transport: dict[str, Any] | None
    filters: tuple[dict[str, Any], ...]
    protocols: tuple[str, ...] = ()
    sources: tuple[Cidr, ...] = ()

    @property
    def name(self) -> str:
        """What Envoy tells it from the other chains by."""
        names = ",".join(self.server_names) or "default"
        return "/".join((names, *self.protocols, *(() if self.filters else ("closed",))))


def tcp_chain(handler: ForwardTcp, access_log: str | None) -> Chain:
    """Return the chain that passes bytes on to a pool."""
    return Chain((), None, (_tcp_proxy(handler, handler.pool, access_log),))


def passthrough_chains(
    host: Passthrough, access_log: str | None, transport: dict[str, Any] | None = None
) -> Iterator[Chain]:
    """Yield the chain that passes the connections of a host on to its pool, and that of others.

    Who may not come is told from who may by the choice of a chain: network RBAC would look at a
    client's first bytes, when the pool's endpoint may have said something already.

    `transport` ends their TLS, where it ends here.
    """
    names, clients = (host.hostname,), clients_of(host)
    if host.pool is None:
        yield Chain(names, None, ())
        return
    if clients.turned_away:
        yield Chain(names, None, (), sources=clients.turned_away)
    if clients.let_in is None:
        return
    filters = [_tcp_proxy(host, host.pool, access_log)]
    rules = connection_rules(host)
    if rules is not None:
        rbac = NetworkRbac(stat_prefix="onehop", rules=rules)
        filters.insert(0, extension("envoy.filters.network.rbac", rbac))
    yield Chain(names, transport, tuple(filters), sources=clients.let_in)


def _tcp_proxy(
    stream: ForwardTcp | Passthrough, pool: PoolId, access_log: str | None
) -> dict[str, Any]:
    """Return the filter that passes bytes on; another endpoint is tried if one fails.

    A share without a pool goes to a cluster that is not there: Envoy closes the connection.
    """
    weighted = [{"name": share.pool or NOBODY, "weight": share.weight} for share in stream.shares]
    to = {"weighted_clusters": {"clusters": weighted}} if weighted else {"cluster": pool}
    proxy = TcpProxy(
        stat_prefix="onehop",
        **to,
        idle_timeout=duration(stream.idle_timeout_s),
        hash_policy=_SOURCE_HASH,
        max_connect_attempts=wrapped(_CONNECT_ATTEMPTS),
        backoff_options={"base_interval": duration(0.005), "max_interval": duration(0.05)},
        access_log=render_access_log(access_log, is_http=False),
    )
    return extension("envoy.filters.network.tcp_proxy", proxy)


def render_listener(
    listener: Listener, chains: Sequence[Chain], *, is_transparent: bool = False
) -> Any:
    """Return the Listener; `chains` is empty for UDP, which has none.

    `is_transparent` is what its pool says (`Pool.is_transparent`).

    It may be bound before its address is there (IP_FREEBIND): whoever brings the address up does
    so when it likes.
    """
    match listener.handler:
        case ForwardHttp() | ForwardTcp():
            return ListenerMessage(
                name=listener.id,
                address=socket_address(listener, "TCP"),
                freebind=wrapped(True),
                per_connection_buffer_limit_bytes=wrapped(BUFFER_LIMIT_BYTES),
                listener_filters=_listener_filters(listener, is_transparent=is_transparent),
                filter_chains=[filter_chain(listener, chain) for chain in chains],
            )
        case ForwardUdp() as handler:
            return ListenerMessage(
                name=listener.id,
                address=socket_address(listener, "UDP"),
                freebind=wrapped(True),
                udp_listener_config={
                    "downstream_socket_config": {"max_rx_datagram_size": {"value": 9000}}
                },
                listener_filters=[_udp_proxy(listener, handler, is_transparent=is_transparent)],
            )
        case _:
            assert_never(listener.handler)


def socket_address(listener: Listener, protocol: str) -> dict[str, Any]:
    """Return where a listener is bound: TCP or UDP."""
    socket = {"protocol": protocol, "address": listener.address, "port_value": listener.port}
    return {"socket_address": socket}


def _listener_filters(listener: Listener, *, is_transparent: bool) -> list[dict[str, Any]]:
    """Return what happens to a connection before its chain is chosen.

    PROXY headers come before everything: the client's address is the one that they name.

    No mark is set on the sockets that go out. The return path marks what comes in for them (see
    `net/transparent.py`); the same mark on what goes out would lead it straight back to us.
    """
    filters: list[dict[str, Any]] = []
    if listener.accepts_proxy_protocol:
        filters.append(extension("envoy.filters.listener.proxy_protocol", ProxyProtocol()))
    if is_transparent:
        filters.append(extension("envoy.filters.listener.original_src", OriginalSrc()))
    if isinstance(listener.handler, ForwardHttp) and listener.handler.tls:
        filters.append(extension("envoy.filters.listener.tls_inspector", TlsInspector()))
    return filters


def filter_chain(listener: Listener, chain: Chain) -> dict[str, Any]:
    """Return a filter chain; no chain for a client's address means that it is turned away.

    The source is the one in the PROXY header where there is one.
    """
    match = {
        "server_names": chain.server_names,
        "application_protocols": chain.protocols,
        "source_prefix_ranges": [cidr_range(cidr) for cidr in chain.sources or listener.sources],
    }
    filters = [*chain.filters]
    if listener.max_connections is not None:
        limit = ConnectionLimit(
            stat_prefix="onehop", max_connections=wrapped(listener.max_connections)
        )
        filters.insert(0, extension("envoy.filters.network.connection_limit", limit))
    rendered: dict[str, Any] = {
        "name": chain.name,
        "filter_chain_match": match,
        "filters": filters,
    }
    if chain.transport is not None:
        rendered["transport_socket"] = chain.transport
        rendered["transport_socket_connect_timeout"] = duration(10)
    return rendered


def _udp_proxy(listener: Listener, handler: ForwardUdp, *, is_transparent: bool) -> dict[str, Any]:
    """Return the UDP filter; a datagram from a source that is not admitted is dropped."""
    matcher = udp_shares(handler)
    if listener.sources:
        admitted = {
            "ranges": [cidr_range(cidr) for cidr in listener.sources],
            "on_match": matcher["on_no_match"] if len(matcher) == 1 else {"matcher": matcher},
        }
        matcher = {
            "matcher_tree": {
                "input": extension("source", SourceIPInput()),
                "custom_match": extension("ip", IPMatcher(range_matchers=[admitted])),
            }
        }
    proxy = UdpProxyConfig(
        stat_prefix="onehop",
        matcher=matcher,
        idle_timeout=duration(handler.idle_timeout_s),
        use_original_src_ip=is_transparent,
        hash_policies=[{"source_ip": True}],
        access_log=[],
    )
    return extension("envoy.filters.udp_listener.udp_proxy", proxy)
