"""Strategies for objects of Gateway API, out of the small name spaces of `anything`."""

from hypothesis import strategies as st

from onehop.cluster import (
    BackendTLSPolicy,
    ClusterObject,
    ConfigMap,
    Gateway,
    GatewayClass,
    GRPCRoute,
    HTTPRoute,
    ListenerSet,
    Namespace,
    ReferenceGrant,
    TCPRoute,
    TLSRoute,
    UDPRoute,
)
from onehop.cluster.gateway import (
    AllowedListeners,
    BackendTls,
    ClientValidation,
    FrontendTls,
    FrontendTlsConfig,
    FrontendTlsPort,
    GatewayAddress,
    GatewayClassSpec,
    GatewaySpec,
    GatewayStatus,
    GatewayTls,
    ListenerNamespaces,
)
from onehop.cluster.gateway_backendtls import (
    BackendTlsPolicySpec,
    BackendValidation,
    PolicyTarget,
    SubjectAltName,
)
from onehop.cluster.gateway_filter import (
    CorsFilter,
    HeaderFilter,
    HeaderValue,
    HttpRouteFilter,
    MirrorFilter,
    PathModifier,
    RedirectFilter,
    RewriteFilter,
)
from onehop.cluster.gateway_grant import GrantFrom, GrantTo, ReferenceGrantSpec
from onehop.cluster.gateway_grpc import (
    GrpcBackendRef,
    GrpcMethodMatch,
    GrpcRouteMatch,
    GrpcRouteRule,
    GrpcRouteSpec,
)
from onehop.cluster.gateway_http import (
    HttpBackendRef,
    HttpRouteMatch,
    HttpRouteRetry,
    HttpRouteRule,
    HttpRouteSpec,
    HttpRouteTimeouts,
    PathMatch,
    ValueMatch,
)
from onehop.cluster.gateway_listener import (
    AllowedRoutes,
    GatewayListener,
    ListenerTls,
    RouteNamespaces,
)
from onehop.cluster.gateway_listenerset import ListenerSetSpec, ParentGatewayRef
from onehop.cluster.gateway_persistence import RoutePersistence
from onehop.cluster.gateway_ref import (
    GROUP,
    BackendObjectRef,
    BackendRef,
    ForeignObjectRef,
    LocalObjectRef,
    ParentRef,
    SecretRef,
)
from onehop.cluster.gateway_selector import LabelSelector
from onehop.cluster.gateway_status import (
    PolicyAncestorStatus,
    PolicyStatus,
    RouteKind,
    RouteParentStatus,
    RouteStatus,
)
from onehop.cluster.gateway_stream import StreamRouteSpec, StreamRule, TlsRouteSpec
from onehop.cluster.meta import Meta
from tests.compile.anything import (
    GOOD_CA,
    HOSTS,
    NAMESPACES,
    SECRET_NAMES,
    SERVICE_NAMES,
    VIPS,
    annotations_for,
    everything_said,
    meta,
)

_CONTROLLER = "onehop.dev/gateway-controller"
_NAMESPACE = st.none() | NAMESPACES
_NAMES = st.sampled_from(("one", "two"))
_IDENTITIES = (
    SecretRef(name="tls1"),
    SecretRef(name="tls1", namespace="b"),
    SecretRef(name="ca", kind="ConfigMap"),
)
_VALIDATIONS = (
    ClientValidation(),
    *(
        ClientValidation(
            ca_certificate_refs=tuple(
                ForeignObjectRef(group="", kind=kind, name="tls1", namespace=namespace)
                for kind, namespace in refs
            ),
            mode=mode,
        )
        for mode in ("AllowValidOnly", "AllowInsecureFallback", "x")
        for refs in ((("ConfigMap", None),), (("Secret", "b"), ("ConfigMap", "b")))
    ),
)
_GATEWAYS = st.sampled_from(("public", "public", "inner"))
_SECTIONS = st.sampled_from((None, None, "http", "https", "absent"))
_PORTS = st.sampled_from((80, 80, 443, 8080))

CLASSES = st.builds(
    GatewayClass,
    metadata=st.builds(
        Meta,
        name=st.sampled_from(("ours", "theirs")),
        annotations=annotations_for("GatewayClass"),
    ),
    spec=st.builds(
        GatewayClassSpec, controller_name=st.sampled_from((_CONTROLLER, _CONTROLLER, "other/one"))
    ),
)

_ALLOWED = st.builds(
    AllowedRoutes,
    namespaces=st.builds(
        RouteNamespaces,
        origin=st.sampled_from(("Same", "Same", "All", "All", "Selector", "None", "Strange")),
        selector=st.sampled_from((None, LabelSelector(match_labels={"team": "a"}))),
    ),
    kinds=st.sampled_from(
        (*((),) * 4, (RouteKind("HTTPRoute"),), (RouteKind("TCPRoute"), RouteKind("UDPRoute")))
    ),
)
_LISTENERS = st.builds(
    GatewayListener,
    name=st.sampled_from(("http", "https", "more")),
    port=_PORTS,
    protocol=st.sampled_from(
        ("HTTP", "HTTP", "HTTP", "HTTPS", "HTTPS", "http", "TCP", "TCP", "UDP", "TLS", "TLS", "X")
    ),
    hostname=st.none() | HOSTS,
    tls=st.none()
    | st.builds(
        ListenerTls,
        mode=st.sampled_from(("Terminate", "Passthrough")),
        certificate_refs=st.lists(
            st.builds(SecretRef, name=SECRET_NAMES, namespace=_NAMESPACE), max_size=2
        ).map(tuple),
    ),
    allowed_routes=_ALLOWED,
)
GATEWAYS = st.builds(
    Gateway,
    metadata=meta(_GATEWAYS, annotations_for("Gateway")),
    spec=st.builds(
        GatewaySpec,
        gateway_class_name=st.sampled_from(("ours", "ours", "ours", "theirs", "absent")),
        listeners=st.lists(_LISTENERS, max_size=4, unique_by=lambda each: each.name).map(tuple),
        addresses=st.lists(
            st.builds(
                GatewayAddress,
                type=st.sampled_from((*("IPAddress",) * 5, "Hostname")),
                value=st.none() | VIPS,
            ),
            max_size=2,
        ).map(tuple),
        allowed_listeners=st.builds(
            AllowedListeners,
            namespaces=st.builds(
                ListenerNamespaces,
                origin=st.sampled_from(("None", "Same", "All", "All", "Selector", "Strange")),
                selector=st.sampled_from((None, LabelSelector(match_labels={"team": "a"}))),
            ),
        ),
        tls=st.sampled_from(
            (
                None,
                None,
                None,
                *(
                    GatewayTls(backend=BackendTls(client_certificate_ref=each))
                    for each in _IDENTITIES
                ),
                *(
                    GatewayTls(
                        frontend=FrontendTls(
                            default=FrontendTlsConfig(validation=each),
                            per_port=(FrontendTlsPort(port=8443, tls=FrontendTlsConfig()),),
                        )
                    )
                    for each in _VALIDATIONS
                ),
            )
        ),
    ),
    status=st.builds(
        GatewayStatus,
        addresses=st.lists(st.builds(GatewayAddress, value=VIPS), max_size=1).map(tuple),
    ),
)

LISTENER_SETS = st.builds(
    ListenerSet,
    metadata=meta(_NAMES, annotations_for("ListenerSet")),
    spec=st.builds(
        ListenerSetSpec,
        parent_ref=st.builds(
            ParentGatewayRef,
            name=_GATEWAYS,
            kind=st.sampled_from((*("Gateway",) * 6, "ListenerSet")),
            namespace=_NAMESPACE,
        ),
        listeners=st.lists(
            _LISTENERS, min_size=1, max_size=3, unique_by=lambda each: each.name
        ).map(tuple),
    ),
)

_HEADERS = st.builds(
    HeaderFilter,
    set=st.sampled_from(((), (HeaderValue("X-One", "1"), HeaderValue("x-one", "2")))),
    remove=st.sampled_from(((), ("X-Gone",), ("Host",))),
)
_NEW_PATHS = st.none() | st.sampled_from(
    (
        PathModifier(type="ReplaceFullPath", replace_full_path="/new"),
        PathModifier(type="ReplacePrefixMatch", replace_prefix_match="/"),
        PathModifier(type="Strange"),
    )
)
_BACKEND_REFS = {
    "name": SERVICE_NAMES,
    "kind": st.sampled_from((*("Service",) * 8, "Bucket")),
    "namespace": _NAMESPACE,
    "port": st.sampled_from((80, 80, 53, None)),
}
_FILTERS = st.one_of(
    st.builds(
        HttpRouteFilter, type=st.just("RequestHeaderModifier"), request_header_modifier=_HEADERS
    ),
    st.builds(
        HttpRouteFilter, type=st.just("ResponseHeaderModifier"), response_header_modifier=_HEADERS
    ),
    st.builds(
        HttpRouteFilter,
        type=st.just("RequestMirror"),
        request_mirror=st.builds(
            MirrorFilter,
            backend_ref=st.builds(BackendObjectRef, **_BACKEND_REFS),
            percent=st.sampled_from((None, 50)),
        ),
    ),
    st.builds(
        HttpRouteFilter,
        type=st.just("RequestRedirect"),
        request_redirect=st.builds(
            RedirectFilter, scheme=st.sampled_from((None, "https")), path=_NEW_PATHS
        ),
    ),
    st.builds(
        HttpRouteFilter,
        type=st.just("URLRewrite"),
        url_rewrite=st.builds(RewriteFilter, hostname=st.none() | HOSTS, path=_NEW_PATHS),
    ),
    st.builds(
        HttpRouteFilter,
        type=st.just("CORS"),
        cors=st.sampled_from(
            (
                None,
                CorsFilter(allow_origins=("*",), allow_methods=("GET", "*")),
                CorsFilter(allow_origins=("https://*.x.test:443",), max_age=0),
            )
        ),
    ),
    st.builds(HttpRouteFilter, type=st.just("ExtensionRef")),
)
_MATCHES = st.builds(
    HttpRouteMatch,
    path=st.builds(
        PathMatch,
        type=st.sampled_from(("PathPrefix", "PathPrefix", "Exact", "RegularExpression")),
        value=st.sampled_from(("/", "/a", "/a", "/a/", "/a/b", "bad")),
    ),
    method=st.sampled_from((None, None, "GET", "get")),
    headers=st.sampled_from(((), (), (ValueMatch(name="X-A", value="1"),))),
)
_RULES = st.builds(
    HttpRouteRule,
    matches=st.lists(_MATCHES, min_size=1, max_size=2).map(tuple),
    filters=st.lists(_FILTERS, max_size=2).map(tuple) | st.just(()),
    backend_refs=st.lists(
        st.builds(
            HttpBackendRef,
            **_BACKEND_REFS,
            weight=st.sampled_from((0, 1, 1, 3)),
            filters=st.lists(_FILTERS, max_size=1).map(tuple) | st.just(()),
        ),
        max_size=2,
    ).map(tuple),
    timeouts=st.sampled_from((None, None, HttpRouteTimeouts(request="1s", backend_request="x"))),
    retry=st.sampled_from((None, None, HttpRouteRetry(codes=(503,), backoff="100ms"))),
    session_persistence=st.sampled_from((None, None, None, RoutePersistence(session_name="s"))),
)
_PARENTS = st.builds(
    ParentRef,
    name=_GATEWAYS,
    kind=st.sampled_from((*("Gateway",) * 6, "Service")),
    namespace=_NAMESPACE,
    section_name=_SECTIONS,
    port=st.sampled_from((None, None, None, 80)),
) | st.builds(
    ParentRef,
    name=_NAMES,
    kind=st.just("ListenerSet"),
    namespace=_NAMESPACE,
    section_name=_SECTIONS,
)
_SAID = RouteStatus(
    (RouteParentStatus(parent_ref=ParentRef(name="x"), controller_name=_CONTROLLER),)
)
HTTP_ROUTES = st.builds(
    HTTPRoute,
    metadata=meta(_NAMES, annotations_for("HTTPRoute")),
    spec=st.builds(
        HttpRouteSpec,
        parent_refs=st.lists(_PARENTS, max_size=2).map(tuple),
        hostnames=st.lists(HOSTS.filter(bool), max_size=2).map(tuple),
        rules=st.lists(_RULES, max_size=3).map(tuple),
    ),
    status=st.sampled_from((RouteStatus(), RouteStatus(), _SAID)),
)
GRANTS = st.builds(
    ReferenceGrant,
    metadata=meta(_NAMES, st.just({})),
    spec=st.builds(
        ReferenceGrantSpec,
        origins=st.lists(
            st.builds(
                GrantFrom,
                group=st.just(GROUP),
                kind=st.sampled_from(("HTTPRoute", "Gateway", "ListenerSet")),
                namespace=NAMESPACES,
            ),
            max_size=2,
        ).map(tuple),
        to=st.lists(
            st.builds(
                GrantTo,
                group=st.just(""),
                kind=st.sampled_from(("Service", "Secret", "ConfigMap")),
                name=st.sampled_from((None, "web", "tls1")),
            ),
            max_size=2,
        ).map(tuple),
    ),
)

_CALLS = st.builds(
    GrpcRouteRule,
    matches=st.lists(
        st.builds(
            GrpcRouteMatch,
            method=st.none()
            | st.builds(
                GrpcMethodMatch,
                service=st.sampled_from((None, "a", "a.b", "bad-")),
                method=st.sampled_from((None, "Get")),
            ),
        ),
        max_size=2,
    ).map(tuple),
    backend_refs=st.lists(st.builds(GrpcBackendRef, **_BACKEND_REFS), max_size=2).map(tuple),
)
GRPC_ROUTES = st.builds(
    GRPCRoute,
    metadata=meta(_NAMES, annotations_for("GRPCRoute")),
    spec=st.builds(
        GrpcRouteSpec,
        parent_refs=st.lists(_PARENTS, max_size=2).map(tuple),
        hostnames=st.lists(HOSTS.filter(bool), max_size=2).map(tuple),
        rules=st.lists(_CALLS, max_size=2).map(tuple),
    ),
    status=st.sampled_from((RouteStatus(), RouteStatus(), _SAID)),
)

_STREAMS = st.builds(
    StreamRouteSpec,
    parent_refs=st.lists(_PARENTS, min_size=1, max_size=2).map(tuple),
    rules=st.lists(
        st.builds(
            StreamRule,
            backend_refs=st.lists(
                st.builds(BackendRef, **_BACKEND_REFS, weight=st.sampled_from((0, 1, 1, 1))),
                max_size=2,
            ).map(tuple),
        ),
        min_size=1,
        max_size=1,
    ).map(tuple),
)
TLS_ROUTES = st.builds(
    TLSRoute,
    metadata=meta(_NAMES, annotations_for("TLSRoute")),
    spec=st.builds(
        TlsRouteSpec,
        parent_refs=st.lists(_PARENTS, min_size=1, max_size=2).map(tuple),
        hostnames=st.lists(HOSTS.filter(bool), max_size=2).map(tuple),
        rules=st.builds(
            StreamRule,
            backend_refs=st.builds(BackendRef, **_BACKEND_REFS).map(lambda ref: (ref,)),
        ).map(lambda rule: (rule,)),
    ),
)
TCP_ROUTES = st.builds(TCPRoute, metadata=meta(_NAMES, annotations_for("TCPRoute")), spec=_STREAMS)
UDP_ROUTES = st.builds(UDPRoute, metadata=meta(_NAMES, annotations_for("UDPRoute")), spec=_STREAMS)

TLS_POLICIES = st.builds(
    BackendTLSPolicy,
    metadata=meta(_NAMES, st.just({})),
    spec=st.builds(
        BackendTlsPolicySpec,
        target_refs=st.lists(
            st.builds(
                PolicyTarget,
                group=st.just(""),
                kind=st.just("Service"),
                name=SERVICE_NAMES,
                section_name=st.sampled_from((None, None, "http", "https")),
            ),
            min_size=1,
            max_size=2,
        ).map(tuple),
        validation=st.builds(
            BackendValidation,
            hostname=st.sampled_from(("x.test", "x.test", "*.test", "")),
            ca_certificate_refs=st.lists(
                st.builds(
                    LocalObjectRef,
                    group=st.just(""),
                    kind=st.sampled_from(("ConfigMap", "ConfigMap", "Secret", "Service")),
                    name=SECRET_NAMES,
                ),
                max_size=2,
            ).map(tuple),
            well_known_ca_certificates=st.sampled_from((None, None, None, "System", "x")),
            subject_alt_names=st.lists(
                st.builds(
                    SubjectAltName,
                    type=st.sampled_from(("Hostname", "URI", "x")),
                    hostname=st.sampled_from((None, "x.test", "*.test")),
                    uri=st.sampled_from((None, "spiffe://x.test/a", "no uri")),
                ),
                max_size=2,
            ).map(tuple),
        ),
    ),
    status=st.builds(
        PolicyStatus,
        ancestors=st.lists(
            st.builds(
                PolicyAncestorStatus,
                ancestor_ref=st.just(ParentRef(name="public")),
                controller_name=st.sampled_from((_CONTROLLER, "example.com/other")),
            ),
            max_size=1,
        ).map(tuple),
    ),
)
CONFIG_MAPS = st.builds(
    ConfigMap,
    metadata=st.builds(Meta, name=SECRET_NAMES, namespace=NAMESPACES),
    data=st.sampled_from(({}, {"ca.crt": "none"}, GOOD_CA, GOOD_CA)),
)

OBJECTS = (
    GATEWAYS
    | GATEWAYS
    | LISTENER_SETS
    | LISTENER_SETS
    | HTTP_ROUTES
    | HTTP_ROUTES
    | GRPC_ROUTES
    | TLS_ROUTES
    | TCP_ROUTES
    | UDP_ROUTES
    | CLASSES
    | GRANTS
    | TLS_POLICIES
    | CONFIG_MAPS
)
WORLD: tuple[ClusterObject, ...] = (
    Namespace(metadata=Meta(name="a", labels={"team": "a"})),
    GatewayClass(metadata=Meta(name="ours"), spec=GatewayClassSpec(controller_name=_CONTROLLER)),
    Gateway(
        metadata=Meta(name="public", namespace="a"),
        spec=GatewaySpec(
            gateway_class_name="ours",
            listeners=(
                GatewayListener(name="http", port=80, protocol="HTTP"),
                GatewayListener(
                    name="https",
                    port=443,
                    protocol="HTTPS",
                    hostname="*.test",
                    tls=ListenerTls(certificate_refs=(SecretRef(name="tls1"),)),
                ),
                GatewayListener(
                    name="tls",
                    port=443,
                    protocol="TLS",
                    hostname="*.x.test",
                    tls=ListenerTls(mode="Passthrough"),
                ),
                GatewayListener(name="more", port=8080, protocol="TCP"),
            ),
            allowed_listeners=AllowedListeners(namespaces=ListenerNamespaces(origin="All")),
        ),
    ),
    ListenerSet(
        metadata=Meta(name="one", namespace="a"),
        spec=ListenerSetSpec(
            parent_ref=ParentGatewayRef(name="public"),
            listeners=(
                GatewayListener(name="http", port=80, protocol="HTTP", hostname="y.test"),
                GatewayListener(name="more", port=8080, protocol="HTTP"),
            ),
        ),
    ),
    HTTPRoute(
        metadata=Meta(name="two", namespace="a"),
        spec=HttpRouteSpec(
            parent_refs=(ParentRef(name="one", kind="ListenerSet"),),
            rules=(HttpRouteRule(backend_refs=(HttpBackendRef(name="web", port=80),)),),
        ),
    ),
    HTTPRoute(
        metadata=Meta(name="one", namespace="a", annotations=everything_said("HTTPRoute")),
        spec=HttpRouteSpec(
            parent_refs=(ParentRef(name="public"),),
            hostnames=("x.test",),
            rules=(
                HttpRouteRule(
                    matches=(
                        HttpRouteMatch(
                            path=PathMatch(value="/a"),
                            method="GET",
                            headers=(ValueMatch(name="X-A", value="1"),),
                            query_params=(ValueMatch(name="q", value="1"),),
                        ),
                    ),
                    filters=(
                        HttpRouteFilter(
                            type="RequestHeaderModifier",
                            request_header_modifier=HeaderFilter(
                                set=(HeaderValue("X-One", "1"),), remove=("X-Gone",)
                            ),
                        ),
                        HttpRouteFilter(
                            type="CORS",
                            cors=CorsFilter(
                                allow_origins=("https://x.test",), allow_headers=("X-A",)
                            ),
                        ),
                        HttpRouteFilter(
                            type="URLRewrite",
                            url_rewrite=RewriteFilter(
                                hostname="y.test",
                                path=PathModifier(
                                    type="ReplacePrefixMatch", replace_prefix_match="/b"
                                ),
                            ),
                        ),
                    ),
                    backend_refs=(HttpBackendRef(name="web", port=80),),
                    timeouts=HttpRouteTimeouts(request="10s", backend_request="1s"),
                    retry=HttpRouteRetry(codes=(503,), backoff="100ms"),
                ),
                HttpRouteRule(
                    matches=(HttpRouteMatch(path=PathMatch(value="/r")),),
                    filters=(
                        HttpRouteFilter(
                            type="RequestRedirect",
                            request_redirect=RedirectFilter(
                                scheme="https",
                                hostname="z.test",
                                path=PathModifier(type="ReplaceFullPath", replace_full_path="/x"),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ),
    GRPCRoute(
        metadata=Meta(name="calls", namespace="a"),
        spec=GrpcRouteSpec(
            parent_refs=(ParentRef(name="public"),),
            hostnames=("calls.test",),
            rules=(
                GrpcRouteRule(
                    matches=(
                        GrpcRouteMatch(method=GrpcMethodMatch(service="a.b", method="Get")),
                        GrpcRouteMatch(method=GrpcMethodMatch(method="Go")),
                    ),
                    backend_refs=(GrpcBackendRef(name="web", port=80),),
                ),
            ),
        ),
    ),
    TLSRoute(
        metadata=Meta(name="passed", namespace="a"),
        spec=TlsRouteSpec(
            parent_refs=(ParentRef(name="public", section_name="tls"),),
            hostnames=("p.x.test",),
            rules=(StreamRule(backend_refs=(BackendRef(name="web", port=80),)),),
        ),
    ),
    TCPRoute(
        metadata=Meta(name="stream", namespace="a", annotations=everything_said("TCPRoute")),
        spec=StreamRouteSpec(
            parent_refs=(ParentRef(name="public", section_name="more"),),
            rules=(StreamRule(backend_refs=(BackendRef(name="web", port=80),)),),
        ),
    ),
)
"""A Gateway with a route beside the small cluster of `anything`, in which it works."""
