"""What the kernel cannot do, or not in full; what is refused here, a proxy serves beside it."""

from typing import Final

from onehop.driver.capability import UDP_UNKNOWN, Capability, Shortcomings, Support, no, partly

_LAYER_7: Final = no("the kernel knows no HTTP and no TLS")
_SHARES: Final = partly(
    "backends of one port that differ in session persistence, in client-address or in balancing"
    " `hash` are a proxy's: the kernel has one of each for a port",
    suffices="tests of TCPRoutes and UDPRoutes ask for none of these",
)
_STREAM: Final[Shortcomings] = {
    Capability.CONNECTION_LIMIT: no("the kernel limits no connections of a listener"),
    Capability.WEIGHTED_STREAMS: _SHARES,
    Capability.WEIGHTED_FLOWS: _SHARES,
    Capability.STREAM_IDLE_TIMEOUT: no("the kernel has one idle timeout for all, conntrack's"),
    Capability.PROXY_PROTOCOL_IN: no("the kernel reads no PROXY header"),
    Capability.PROXY_PROTOCOL_OUT: no("the kernel writes no PROXY header"),
    Capability.CONNECT_TIMEOUT: no(
        "the kernel opens no connections of its own: the client's timeout counts"
    ),
    Capability.ROUND_ROBIN: no("the kernel draws endpoints by chance"),
    Capability.HEALTH_CHECK_TCP: partly(
        "onehop asks in the kernel's place; if every check of a pool fails, all endpoints serve"
    ),
    Capability.HEALTH_CHECK_HTTP: partly(
        "onehop asks in the kernel's place; if every check of a pool fails, all endpoints serve"
    ),
    Capability.HEALTH_CHECK_UDP: no(UDP_UNKNOWN),
    Capability.BACKEND_TLS: no("the kernel speaks no TLS to endpoints"),
    Capability.BACKEND_TLS_CA: no("the kernel speaks no TLS to endpoints"),
    Capability.BACKEND_TLS_SYSTEM: no("the kernel speaks no TLS to endpoints"),
    Capability.BACKEND_TLS_NAME: no("the kernel speaks no TLS to endpoints"),
    Capability.BACKEND_TLS_IDENTITY: no("the kernel speaks no TLS to endpoints"),
    Capability.BACKEND_CLIENT_CERTIFICATE: no("the kernel speaks no TLS to endpoints"),
}
_STREAMED: Final = frozenset(
    (
        Capability.UDP,
        Capability.SOURCE_RANGES,
        Capability.TRANSPARENT,
        Capability.WEIGHTED_ENDPOINTS,
        Capability.DRAINING,
        Capability.HASH,
        Capability.SOURCE_PERSISTENCE,
        Capability.SOURCE_PERSISTENCE_TIMEOUT,
        Capability.HEALTH_CHECK_PORT,
        Capability.HEALTH_CHECK_RECOVERY,
    )
)
"""What the kernel does in full."""


def _support(capability: Capability) -> Support:
    return _STREAM.get(capability, _LAYER_7)


SHORTCOMINGS: Final[Shortcomings] = {
    each: _support(each) for each in Capability if each not in _STREAMED
}
