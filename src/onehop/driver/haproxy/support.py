"""What HAProxy cannot do, or not in full, of what a Model can ask for."""

from typing import Final

from onehop.driver.capability import (
    REPEATED,
    UDP_UNKNOWN,
    Capability,
    Shortcomings,
    no,
    partly,
)

_SILENCE: Final = (
    "counts the longest silence before and within an answer: one that trickles goes on"
)

_SMALL: Final = "a request of more than 16 KiB is sent once"

_BEGINS: Final = (
    "who hears nothing in time gets 504; an answer that has begun can no longer become one"
    " (HTTPRouteTimeouts)"
)

_NO_UDP: Final = "HAProxy does not pass on UDP"

SHORTCOMINGS: Final[Shortcomings] = {
    Capability.UDP: no(_NO_UDP),
    Capability.WEIGHTED_FLOWS: no(_NO_UDP),
    Capability.HTTP3: no("HAProxy serves no HTTP/3 here"),
    Capability.WILDCARD_HOSTS: partly(
        "up to ten labels behind the `*`",
        suffices="no host of the conformance tests is as deep",
    ),
    Capability.BODY_LIMIT: partly("a body whose length is not said is answered 411"),
    Capability.REQUEST_TIMEOUT: partly(_SILENCE, suffices=_BEGINS),
    Capability.RETRY_TIMEOUT: partly(_SILENCE, suffices=_BEGINS),
    Capability.RETRY_CODES: partly(
        f"401, 403, 404, 408, 425 and 500 to 504; {_SMALL}",
        suffices="500, 502, 503 and 504 must be, others may (HTTPRouteRetryStatusCode), and no"
        " request of the conformance tests is as large",
    ),
    Capability.BACKEND_TLS_IDENTITY: no(
        "HAProxy demands of endpoints the name that it sends to them (SNI), and no other one"
    ),
    Capability.MIRRORS: no(
        "HAProxy sends no copies of requests: another program (an SPOE agent) would have to stand"
        " beside it and be shown every one"
    ),
    Capability.BACKEND_FILTERS: no(
        "for one of several backends, the driver of HAProxy edits headers alone"
    ),
    Capability.RETRY_ON_SILENCE: partly(
        f"after silence only where there is a timeout for an attempt; {_SMALL}",
        suffices="it is `backendRequest` that says what silence is (HTTPRouteRetryBackendTimeout),"
        " and no request of the conformance tests is as large",
    ),
    Capability.RETRY_PAUSE: no("HAProxy tries again at once: it makes no pause that one could set"),
    Capability.MATCHES: partly(
        "a header that comes in several lines fits no value; of a parameter that comes twice, one"
        " is enough",
        suffices=REPEATED,
    ),
    Capability.HEALTH_CHECK_UDP: no(UDP_UNKNOWN),
    Capability.HEALTH_CHECK_TCP: partly("a new endpoint gets requests until its first check"),
    Capability.HEALTH_CHECK_HTTP: partly("a new endpoint gets requests until its first check"),
}
