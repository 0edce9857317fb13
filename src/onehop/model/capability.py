"""What a Model can ask of a data plane, by name; and how a compiler is told what one lacks.

Every driver declares what its data plane cannot do in these terms (`driver.capability`). Whoever
compiles knows no driver: it is told what is lacking, and leaves it out of what it promises.
"""

from enum import StrEnum

import msgspec


class Capability(StrEnum):
    """Something that rows can ask for, by a greppable name; `driver.capability` has words."""

    # Connections
    UDP = "udp"
    SOURCE_RANGES = "source-ranges"
    CONNECTION_LIMIT = "connection-limit"
    STREAM_IDLE_TIMEOUT = "stream-idle-timeout"
    WEIGHTED_STREAMS = "weighted-streams"
    WEIGHTED_FLOWS = "weighted-flows"
    PROXY_PROTOCOL_IN = "proxy-protocol-in"
    PROXY_PROTOCOL_OUT = "proxy-protocol-out"
    TRANSPARENT = "transparent"
    # TLS
    TLS = "tls"
    TLS_MODERN = "tls-modern"
    CLIENT_CERTIFICATES = "client-certificates"
    OPTIONAL_CLIENT_CERTIFICATES = "optional-client-certificates"
    PORT_CLIENT_CERTIFICATES = "port-client-certificates"
    TLS_PASSTHROUGH = "tls-passthrough"
    TLS_STREAMS = "tls-streams"
    TLS_ALPN_CHALLENGE = "tls-alpn-challenge"
    OCSP_STAPLE = "ocsp-staple"
    HTTP3 = "http3"
    # Requests
    HTTP = "http"
    WEBSOCKET = "websocket"
    WILDCARD_HOSTS = "wildcard-hosts"
    TRUSTED_PROXIES = "trusted-proxies"
    REDIRECT = "redirect"
    REWRITE_PREFIX = "rewrite-prefix"
    REQUEST_HEADERS = "request-headers"
    RESPONSE_HEADERS = "response-headers"
    WEIGHTED_POOLS = "weighted-pools"
    CLIENT_NETWORKS = "client-networks"
    RATE_LIMIT = "rate-limit"
    RATE_LIMIT_BURST = "rate-limit-burst"
    BODY_LIMIT = "body-limit"
    REQUEST_TIMEOUT = "request-timeout"
    IDLE_TIMEOUT = "idle-timeout"
    RETRIES = "retries"
    RETRY_CODES = "retry-codes"
    RETRY_TIMEOUT = "retry-timeout"
    MATCHES = "matches"
    CORS = "cors"
    MISDIRECTED = "misdirected"
    REDIRECT_ELSEWHERE = "redirect-elsewhere"
    REWRITE_PATH = "rewrite-path"
    REWRITE_HOST = "rewrite-host"
    MIRRORS = "mirrors"
    MISSING_BACKENDS = "missing-backends"
    BACKEND_HEADERS = "backend-headers"
    BACKEND_FILTERS = "backend-filters"
    RETRY_ON_SILENCE = "retry-on-silence"
    RETRY_PAUSE = "retry-pause"
    # Endpoints
    WEIGHTED_ENDPOINTS = "weighted-endpoints"
    DRAINING = "draining"
    ROUND_ROBIN = "round-robin"
    HASH = "hash"
    COOKIE_PERSISTENCE = "persistence-cookie"
    COOKIE_NAME = "persistence-cookie-name"
    HTTP_PERSISTENCE_HEADER = "persistence-header"
    SOURCE_PERSISTENCE = "persistence-source"
    SOURCE_PERSISTENCE_TIMEOUT = "persistence-source-timeout"
    HEALTH_CHECK_TCP = "health-check-tcp"
    HEALTH_CHECK_HTTP = "health-check-http"
    HEALTH_CHECK_PORT = "health-check-port"
    HEALTH_CHECK_UDP = "health-check-udp"
    HEALTH_CHECK_RECOVERY = "health-check-recovery"
    CONNECT_TIMEOUT = "connect-timeout"
    POOL_CONNECTION_LIMIT = "pool-connection-limit"
    HTTP2_BACKENDS = "http2-backends"
    BACKEND_TLS = "backend-tls"
    BACKEND_TLS_CA = "backend-tls-ca"
    BACKEND_TLS_SYSTEM = "backend-tls-system"
    BACKEND_TLS_NAME = "backend-tls-name"
    BACKEND_TLS_IDENTITY = "backend-tls-identity"
    BACKEND_CLIENT_CERTIFICATE = "backend-client-certificate"


class Lack(msgspec.Struct, frozen=True):
    """Something that the data plane in use does not do, or not as objects may ask for it.

    Attributes:
        words: why, and what whoever asks for it can do.
        is_whole: whether it does nothing of it, so that nobody should ask.
    """

    words: str
    is_whole: bool = True
