"""What each feature of Gateway API asks of the data plane: all that decides whether it is claimed.

Names are those of `pkg/features` (GEP-2162), and a feature is what the conformance tests that carry
its name ask for: for that a data plane must have every capability beside it. Where one has
something in part only, its driver says beside that why it suffices (`Support.suffices`), or the
feature is not claimed.

Not among them is `GatewayInfrastructurePropagation`: nothing is made in the cluster that labels
could be put on.
"""

from collections.abc import Mapping
from typing import Final

from onehop.compile.inputs import LACKS
from onehop.compile.sheet import Reader
from onehop.model.capability import Capability

_HTTP: Final = (Capability.HTTP, Capability.WILDCARD_HOSTS, Capability.TLS)
"""Listeners of HTTP and HTTPS, which every test but those of streams goes through."""
_SHARED_OUT: Final = (Capability.WEIGHTED_POOLS, Capability.MISSING_BACKENDS)
_ROUTE: Final = (
    *_HTTP,
    *_SHARED_OUT,
    Capability.MATCHES,
    Capability.REQUEST_HEADERS,
    Capability.REDIRECT,
    Capability.REDIRECT_ELSEWHERE,
)
"""The core of HTTPRoutes: headers are matched, and a redirect names a host."""
_CALLS: Final = (
    *_HTTP,
    *_SHARED_OUT,
    Capability.MATCHES,
    Capability.REQUEST_HEADERS,
    Capability.HTTP2_BACKENDS,
)
_RETRY: Final = (
    *_ROUTE,
    Capability.RETRIES,
    Capability.RETRY_CODES,
    Capability.RETRY_ON_SILENCE,
)
"""`retry` asks for what is broken, or hears nothing, to be tried again; tests name no pause."""
_BACKEND_TLS: Final = (
    *_HTTP,
    Capability.BACKEND_TLS,
    Capability.BACKEND_TLS_CA,
    Capability.BACKEND_TLS_NAME,
)

NEEDS: Final[Mapping[str, tuple[Capability, ...]]] = {
    "BackendTLSPolicy": _BACKEND_TLS,
    "BackendTLSPolicySANValidation": (*_BACKEND_TLS, Capability.BACKEND_TLS_IDENTITY),
    "GRPCRoute": _CALLS,
    "GRPCRouteNamedRouteRule": _CALLS,
    "Gateway": _HTTP,
    "GatewayAddressEmpty": _HTTP,
    "GatewayBackendClientCertificate": (*_BACKEND_TLS, Capability.BACKEND_CLIENT_CERTIFICATE),
    "GatewayFrontendClientCertificateValidation": (*_HTTP, Capability.PORT_CLIENT_CERTIFICATES),
    "GatewayFrontendClientCertificateValidationInsecureFallback": (
        *_HTTP,
        Capability.PORT_CLIENT_CERTIFICATES,
    ),
    "GatewayHTTPListenerIsolation": _HTTP,
    "GatewayHTTPSListenerDetectMisdirectedRequests": (*_HTTP, Capability.MISDIRECTED),
    "GatewayPort8080": _HTTP,
    "GatewayStaticAddresses": _HTTP,
    "HTTPRoute": _ROUTE,
    "HTTPRoute303RedirectStatusCode": _ROUTE,
    "HTTPRoute307RedirectStatusCode": _ROUTE,
    "HTTPRoute308RedirectStatusCode": _ROUTE,
    "HTTPRouteBackendProtocolH2C": (*_ROUTE, Capability.HTTP2_BACKENDS),
    "HTTPRouteBackendProtocolWebSocket": (*_ROUTE, Capability.WEBSOCKET),
    "HTTPRouteBackendRequestHeaderModification": (*_ROUTE, Capability.BACKEND_HEADERS),
    "HTTPRouteBackendTimeout": (*_ROUTE, Capability.RETRY_TIMEOUT),
    "HTTPRouteCORS": (*_ROUTE, Capability.CORS),
    "HTTPRouteDestinationPortMatching": _ROUTE,
    "HTTPRouteHostRewrite": (*_ROUTE, Capability.REWRITE_HOST),
    "HTTPRouteMethodMatching": _ROUTE,
    "HTTPRouteNamedRouteRule": _ROUTE,
    "HTTPRouteParentRefPort": _ROUTE,
    "HTTPRoutePathRedirect": _ROUTE,
    "HTTPRoutePathRewrite": (*_ROUTE, Capability.REWRITE_PATH, Capability.REWRITE_PREFIX),
    "HTTPRoutePortRedirect": _ROUTE,
    "HTTPRouteQueryParamMatching": _ROUTE,
    "HTTPRouteRequestMirror": (*_ROUTE, Capability.MIRRORS),
    "HTTPRouteRequestMultipleMirrors": (*_ROUTE, Capability.MIRRORS),
    "HTTPRouteRequestPercentageMirror": (*_ROUTE, Capability.MIRRORS),
    "HTTPRouteRequestTimeout": (*_ROUTE, Capability.REQUEST_TIMEOUT),
    "HTTPRouteResponseHeaderModification": (*_ROUTE, Capability.RESPONSE_HEADERS),
    "HTTPRouteRetry": _RETRY,
    "HTTPRouteRetryBackendTimeout": (*_RETRY, Capability.RETRY_TIMEOUT),
    "HTTPRouteRetryConnectionError": _RETRY,
    "HTTPRouteSchemeRedirect": _ROUTE,
    "ListenerSet": _HTTP,
    "ReferenceGrant": _HTTP,
    # By weight in their core tests: TCPRouteWeightedRouting, UDPRouteWeightedRouting.
    "TCPRoute": (Capability.WEIGHTED_STREAMS,),
    "TLSRoute": (Capability.TLS_PASSTHROUGH,),
    "TLSRouteModeMixed": (Capability.TLS_PASSTHROUGH, Capability.TLS_STREAMS),
    "TLSRouteModeTerminate": (Capability.TLS_PASSTHROUGH, Capability.TLS_STREAMS),
    "UDPRoute": (Capability.UDP, Capability.WEIGHTED_FLOWS),
}
"""In alphabetical order, which GatewayClassStatus.SupportedFeatures demands."""


def claimed(reader: Reader) -> tuple[str, ...]:
    """Return the features that the data plane in use has all of, sorted."""
    lacking = {each for each in Capability if reader.get(LACKS, each) is not None}
    return tuple(feature for feature, needs in NEEDS.items() if lacking.isdisjoint(needs))


def why_not(reader: Reader, capability: Capability) -> str:
    """Return why objects shall not ask for something, and what to do; empty if they may."""
    lack = reader.get(LACKS, capability)
    return lack.words if lack is not None and lack.is_whole else ""
