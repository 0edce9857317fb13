"""GatewayClasses: which are ours, and what they may say that we can do."""

from typing import Final

from onehop.cluster import GatewayClass
from onehop.cluster.gateway_verdict import GatewayClassVerdict, Saying, Truth
from onehop.compile.backend import options_of
from onehop.compile.gateway.bundle import supported_version
from onehop.compile.inputs import GATEWAY_CLASSES
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason

FEATURES: Final = (
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayBackendClientCertificate",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetry",
    "HTTPRouteRetryBackendTimeout",
    "HTTPRouteRetryConnectionError",
    "HTTPRouteSchemeRedirect",
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
    "UDPRoute",
)
"""What a scenario or a test with Envoy shows to work, by the names of `pkg/features` (GEP-2162).

Not `GatewayInfrastructurePropagation`: nothing is made in the cluster that labels could be put on.
"""

MODEST_FEATURES: Final = (
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayHTTPListenerIsolation",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
)
"""What is left with a data plane that has no matches but paths: HTTPRoute's core has headers."""


def is_served(reader: Reader, name: str) -> bool:
    """Tell whether Gateways of a class are ours, and nothing is wrong with the class."""
    found = reader.get(GATEWAY_CLASSES, ObjectRef("GatewayClass", "", name))
    return found is not None and _is_ours(reader, found) and found.spec.parameters_ref is None


def _is_ours(reader: Reader, found: GatewayClass) -> bool:
    return found.spec.controller_name == options_of(reader).gateway_controller


def _verdict(reader: Reader, ref: ObjectRef) -> Cell[GatewayClassVerdict]:
    """Accept a class of ours (`apis/v1/gatewayclass_types.go`, conditions).

    "InvalidParameters: ... parametersRef field references a nonexistent or unsupported resource":
    none is supported, for what could stand in it is the operator's, in onehop.yaml.
    """
    found = reader.need(GATEWAY_CLASSES, ref)
    if not _is_ours(reader, found):
        return Cell(None)
    version = filter(None, (supported_version(reader),))
    if found.spec.parameters_ref is not None:
        message = "parametersRef is not supported; what it could say stands in onehop.yaml"
        problem = Problem(
            subject=ref, field="spec.parametersRef", reason=Reason.UNSUPPORTED, message=message
        )
        saying = Saying("Accepted", Truth.FALSE, "InvalidParameters", message)
        return Cell(GatewayClassVerdict(ref=ref, sayings=(saying, *version)), (problem,))
    saying = Saying("Accepted", Truth.TRUE, "Accepted", "Gateways of this class are served")
    features = FEATURES if options_of(reader).serves_all_of_routes else MODEST_FEATURES
    return Cell(GatewayClassVerdict(ref=ref, sayings=(saying, *version), features=features))


_REFS: Final = Index[ObjectRef, GatewayClass, ObjectRef](
    GATEWAY_CLASSES, "ref", lambda ref, _: (ref,)
)
GATEWAY_CLASS_VERDICTS: Final = Derived[ObjectRef, GatewayClassVerdict](
    "gateway-class-verdicts", _verdict, (_REFS,)
)
