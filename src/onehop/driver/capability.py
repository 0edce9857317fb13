"""What a Model can ask for and some data plane may be unable to do; and how far each one can.

Every driver declares its shortcomings beside its code (`support.py`). From these declarations come
the refusals' wording, the advice in Problems, and the table in the guide; one suite holds every
driver to them (`tests/contract/test_driver_capabilities.py`).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from onehop.model.capability import Capability

__all__ = (
    "FEATURES",
    "OF_UDP",
    "REPEATED",
    "UDP_UNKNOWN",
    "Capability",
    "Extent",
    "Shortcomings",
    "Support",
    "capabilities_of",
    "no",
    "partly",
)


FEATURES: Final[Mapping[str, Mapping[Capability, str]]] = {
    "Connections": {
        Capability.UDP: "UDP",
        Capability.SOURCE_RANGES: "client networks that may connect",
        Capability.CONNECTION_LIMIT: "a limit of connections to a Service's port",
        Capability.STREAM_IDLE_TIMEOUT: "idle timeout of TCP connections and UDP flows",
        Capability.WEIGHTED_STREAMS: "several backends by weight for TCP and passthrough",
        Capability.WEIGHTED_FLOWS: "several backends by weight for UDP",
        Capability.PROXY_PROTOCOL_IN: "PROXY header from clients, v1 and v2",
        Capability.PROXY_PROTOCOL_OUT: "PROXY header to endpoints, v1 and v2",
        Capability.TRANSPARENT: "endpoints see the client's own address",
    },
    "TLS": {
        Capability.TLS: "certificates by server name",
        Capability.TLS_MODERN: "policy `modern`: TLS 1.3 alone",
        Capability.CLIENT_CERTIFICATES: "clients' certificates, required",
        Capability.OPTIONAL_CLIENT_CERTIFICATES: "clients' certificates, optional",
        Capability.PORT_CLIENT_CERTIFICATES: "clients' certificates, for a whole port",
        Capability.TLS_PASSTHROUGH: "passthrough by server name",
        Capability.TLS_STREAMS: "TLS ended, and passed on as a stream",
        Capability.TLS_ALPN_CHALLENGE: "challenges by TLS-ALPN-01",
        Capability.OCSP_STAPLE: "OCSP answers stapled",
        Capability.HTTP3: "HTTP/3",
    },
    "Requests": {
        Capability.HTTP: "HTTP/1.1 and HTTP/2: hosts, exact paths, prefixes",
        Capability.WEBSOCKET: "WebSocket",
        Capability.WILDCARD_HOSTS: "wildcard hosts",
        Capability.TRUSTED_PROXIES: "X-Forwarded-For of trusted proxies",
        Capability.REDIRECT: "redirects, to HTTPS and to other ports",
        Capability.REWRITE_PREFIX: "rewriting the matched path",
        Capability.REQUEST_HEADERS: "editing headers of requests",
        Capability.RESPONSE_HEADERS: "editing headers of answers, HSTS",
        Capability.WEIGHTED_POOLS: "several backends by weight",
        Capability.CLIENT_NETWORKS: "client networks, allowed and denied",
        Capability.RATE_LIMIT: "rate limit by client",
        Capability.RATE_LIMIT_BURST: "burst of a rate limit",
        Capability.BODY_LIMIT: "body limit",
        Capability.REQUEST_TIMEOUT: "timeout of an answer",
        Capability.IDLE_TIMEOUT: "idle timeout of a route",
        Capability.RETRIES: "number of retries",
        Capability.RETRY_CODES: "retries after status codes",
        Capability.RETRY_TIMEOUT: "timeout of one attempt",
        Capability.MATCHES: "matching by method, header or query, gRPC methods",
        Capability.CORS: "answers to pages of other origins (CORS)",
        Capability.MISDIRECTED: "421 on connections made for another host",
        Capability.REDIRECT_ELSEWHERE: "redirects to another host or path",
        Capability.REWRITE_PATH: "replacing the whole path",
        Capability.REWRITE_HOST: "replacing the host",
        Capability.MIRRORS: "copies of requests",
        Capability.MISSING_BACKENDS: "500 for the share of a missing backend",
        Capability.BACKEND_HEADERS: "headers edited for one of several backends",
        Capability.BACKEND_FILTERS: "rewrites, copies and redirects at one of several backends",
        Capability.RETRY_ON_SILENCE: "retries after a broken connection, or silence",
        Capability.RETRY_PAUSE: "a pause before a retry",
    },
    "Endpoints": {
        Capability.WEIGHTED_ENDPOINTS: "weights",
        Capability.DRAINING: "draining: no new work",
        Capability.ROUND_ROBIN: "balancing `round-robin`",
        Capability.HASH: "balancing `hash`, by the client's address",
        Capability.COOKIE_PERSISTENCE: "persistence by cookie",
        Capability.COOKIE_NAME: "a name for that cookie",
        Capability.HTTP_PERSISTENCE_HEADER: "persistence by header",
        Capability.SOURCE_PERSISTENCE: "persistence by the client's address",
        Capability.SOURCE_PERSISTENCE_TIMEOUT: "its timeout",
        Capability.HEALTH_CHECK_TCP: "health check by connecting",
        Capability.HEALTH_CHECK_HTTP: "health check by HTTP",
        Capability.HEALTH_CHECK_PORT: "health check on another port",
        Capability.HEALTH_CHECK_UDP: "health check of a UDP port itself",
        Capability.HEALTH_CHECK_RECOVERY: "several good checks until healthy again",
        Capability.CONNECT_TIMEOUT: "connect timeout",
        Capability.POOL_CONNECTION_LIMIT: "a limit of connections to an Ingress's endpoints",
        Capability.HTTP2_BACKENDS: "HTTP/2 and gRPC to endpoints",
        Capability.BACKEND_TLS: "TLS to endpoints",
        Capability.BACKEND_TLS_CA: "their certificates verified by a CA",
        Capability.BACKEND_TLS_SYSTEM: "their certificates verified by the system's CAs",
        Capability.BACKEND_TLS_NAME: "their name sent (SNI) and verified",
        Capability.BACKEND_TLS_IDENTITY: "other names verified than the one sent",
        Capability.BACKEND_CLIENT_CERTIFICATE: "a certificate of our own shown to them",
    },
}
"""In the words of the guide, by chapter; every capability once."""


OF_UDP: Final = frozenset((Capability.UDP, Capability.WEIGHTED_FLOWS))
"""What listeners of UDP alone can ask for: the kernel's, where the proxy has no UDP."""


class Extent(StrEnum):
    """How far a data plane can do something."""

    PARTLY = "partly"
    """What is asked for works, but for what the words say."""
    NO = "no"
    """A row that asks for it is refused, or served without it and the Receipt says so."""


class Support(msgspec.Struct, frozen=True):
    """How far a data plane can do something that it cannot do in full.

    Attributes:
        words: one sentence for users, without a full stop: what is missing or different.
        suffices: of what works in part, why that is all that the features of Gateway API ask for
            which need it: they are claimed then (`compile.gateway.feature`). Empty if it is not.
    """

    extent: Extent
    words: str
    suffices: str = ""


Shortcomings = Mapping[Capability, Support]
"""What a data plane cannot do, or not in full; whatever is not in it, it can."""


REPEATED: Final = (
    "what becomes of a repeated header is specific to implementations (HTTPHeaderMatch), and of a"
    " repeated parameter it is left undefined (HTTPQueryParamMatch)"
)
"""Why it does not matter what a match makes of them."""

UDP_UNKNOWN: Final = (
    "nobody can tell by asking whether a UDP port is served: have a TCP port checked"
    " (`onehop.dev/health-check-port`)"
)
"""Why no data plane checks it; the same words for all."""


def partly(words: str, *, suffices: str = "") -> Support:
    """Return that something works, but for what the words say; `suffices` as in `Support`."""
    return Support(Extent.PARTLY, words, suffices)


def no(words: str) -> Support:
    """Return that something cannot be done, and why."""
    return Support(Extent.NO, words)


def capabilities_of(shortcomings: Shortcomings) -> frozenset[Capability]:
    """Return what a data plane can do, at least in part."""
    lacks = {each for each, support in shortcomings.items() if support.extent is Extent.NO}
    return frozenset(Capability) - lacks
