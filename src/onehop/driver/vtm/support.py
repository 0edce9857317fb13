"""What a vTM cannot do, or not in full, of what a Model can ask for."""

from typing import Final

from onehop.driver.capability import (
    REPEATED,
    UDP_UNKNOWN,
    Capability,
    Shortcomings,
    no,
    partly,
)

_ONE_CA_LIST: Final = (
    "vTM has one list of CAs for all pools: it cannot hold this pool to a CA or a name of its own"
)
_SECONDS: Final = "whole seconds, rounded up"

_RETRIES: Final = no("vTM retries by its own rules, and requests that are idempotent")

ONE_POOL: Final = "this driver sends the connections of a virtual server to one pool"

SHORTCOMINGS: Final[Shortcomings] = {
    Capability.WEIGHTED_STREAMS: no(ONE_POOL),
    Capability.WEIGHTED_FLOWS: no(ONE_POOL),
    Capability.PROXY_PROTOCOL_IN: partly("PROXY headers of version 1 alone"),
    Capability.PROXY_PROTOCOL_OUT: no("vTM sends no PROXY header to nodes"),
    Capability.TRANSPARENT: no("transparent pools are not made by this driver"),
    Capability.STREAM_IDLE_TIMEOUT: partly(_SECONDS),
    Capability.TLS: partly(
        "clients that ask for no known name are shown the first certificate, where no default is"
        " named; cipher suites are the unit's",
        suffices="neither is asked for by Gateway API",
    ),
    Capability.TLS_MODERN: partly("refused where the unit speaks no TLS 1.3"),
    Capability.CLIENT_CERTIFICATES: no(
        "this driver sets up no checks of clients' certificates, so the host is not served at all"
    ),
    Capability.OPTIONAL_CLIENT_CERTIFICATES: no(
        "this driver sets up no checks of clients' certificates, so the host is not served at all"
    ),
    Capability.PORT_CLIENT_CERTIFICATES: no(
        "this driver sets up no checks of clients' certificates, so the port is not served at all"
    ),
    Capability.TLS_PASSTHROUGH: no("vTM passes no TLS through on a listener that ends TLS"),
    Capability.TLS_STREAMS: no("vTM passes no TLS through on a listener that ends TLS"),
    Capability.TLS_ALPN_CHALLENGE: no(
        "vTM shows no certificate by ALPN: TLS-ALPN-01 needs another solver"
    ),
    Capability.OCSP_STAPLE: no(
        "vTM is not given the CA's OCSP answer; it can staple by itself (`ssl.ocsp_stapling`)"
    ),
    Capability.HTTP3: no("vTM serves no HTTP/3 here"),
    Capability.MISDIRECTED: no(
        "a request is served on connections that were made for other hosts as well"
    ),
    Capability.WEBSOCKET: partly("untried: the imitated unit carries no traffic"),
    Capability.RATE_LIMIT: partly("by second or by minute, rounded down"),
    Capability.RATE_LIMIT_BURST: no("the rate classes of vTM know no burst"),
    Capability.BODY_LIMIT: partly("a body whose length is not said is answered 411"),
    Capability.REQUEST_TIMEOUT: no("vTM has one timeout for each pool, of silence"),
    Capability.IDLE_TIMEOUT: no(
        "a virtual server has one idle timeout, the longest of its routes; nodes have 300 seconds"
    ),
    Capability.RETRIES: _RETRIES,
    Capability.RETRY_CODES: _RETRIES,
    Capability.RETRY_TIMEOUT: _RETRIES,
    Capability.RETRY_ON_SILENCE: _RETRIES,
    Capability.RETRY_PAUSE: _RETRIES,
    Capability.MATCHES: partly(
        "what a unit makes of a header in several lines is not known; of a parameter that comes"
        " twice, one is enough",
        suffices=REPEATED,
    ),
    Capability.MIRRORS: no("vTM sends no copies of requests"),
    Capability.BACKEND_FILTERS: no(
        "for one of several backends, the driver of vTM edits headers alone"
    ),
    Capability.HASH: partly("by a persistence class, and not together with persistence"),
    Capability.COOKIE_NAME: no("vTM names its session cookie itself"),
    Capability.HTTP_PERSISTENCE_HEADER: no("vTM keeps no session by a response header"),
    Capability.SOURCE_PERSISTENCE_TIMEOUT: no(
        "how long a vTM remembers addresses is set on the unit, for all pools"
    ),
    Capability.HEALTH_CHECK_TCP: partly(_SECONDS),
    Capability.HEALTH_CHECK_HTTP: partly(_SECONDS),
    Capability.HEALTH_CHECK_PORT: no(
        "vTM checks a node on its own port; in place of kube-proxy's port the NodePort is tried"
    ),
    Capability.HEALTH_CHECK_UDP: no(UDP_UNKNOWN),
    Capability.HEALTH_CHECK_RECOVERY: no("to vTM, one good check is enough"),
    Capability.CONNECT_TIMEOUT: partly(_SECONDS),
    Capability.POOL_CONNECTION_LIMIT: no("vTM limits the connections of each node, not of a pool"),
    Capability.HTTP2_BACKENDS: no("vTM speaks HTTP/1.1 to nodes, not HTTP/2"),
    Capability.BACKEND_TLS_CA: no(_ONE_CA_LIST),
    Capability.BACKEND_TLS_SYSTEM: no(_ONE_CA_LIST),
    Capability.BACKEND_TLS_NAME: no(_ONE_CA_LIST),
    Capability.BACKEND_TLS_IDENTITY: no(_ONE_CA_LIST),
    Capability.BACKEND_CLIENT_CERTIFICATE: no("this driver shows nodes no certificate"),
}
