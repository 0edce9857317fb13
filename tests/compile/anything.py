"""Strategies for cluster objects out of small name spaces, so that they collide.

Much stands twice in a `sampled_from`: most objects should work together, or there is nothing to see
when one of them changes.
"""

from collections.abc import Iterable, Mapping

from hypothesis import strategies as st

from onehop.cluster import (
    BGPConfiguration,
    BlockAffinity,
    CiliumNode,
    ClusterObject,
    EndpointSlice,
    Ingress,
    IngressClass,
    IPPool,
    Namespace,
    Node,
    Secret,
    Service,
    calico,
)
from onehop.cluster.calico import BGPConfigurationSpec, BlockAffinitySpec, IPPoolSpec
from onehop.cluster.cilium import CiliumNodeSpec, Ipam, IpamPool, IpamPools
from onehop.cluster.ingress import (
    HttpPath,
    HttpRule,
    IngressBackend,
    IngressClassSpec,
    IngressRule,
    IngressSpec,
    IngressTls,
    ResourceBackend,
    ServiceBackend,
    ServiceBackendPort,
)
from onehop.cluster.meta import Meta
from onehop.cluster.node import NodeAddress, NodeSpec, NodeStatus, Taint
from onehop.cluster.service import (
    AffinityConfig,
    ClientIpConfig,
    IngressAddress,
    LoadBalancerStatus,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
)
from onehop.cluster.slice import (
    SERVICE_NAME,
    EndpointConditions,
    SliceEndpoint,
    SliceMeta,
    SlicePort,
)
from onehop.compile import tunnel
from onehop.compile.certificate import read_certificate
from onehop.compile.challenge import (
    CHALLENGE_PATH,
    AlpnChallenge,
    Challenge,
    HttpChallenge,
    encode_challenges,
)
from onehop.compile.ingress import CLASS_ANNOTATION, SOLVER_LABEL
from onehop.compile.inputs import Held
from onehop.compile.node import AUTOSCALER_TAINT, EXCLUDE_LABEL, ZONE_LABEL
from onehop.compile.options import (
    AddressPool,
    AllocationSource,
    BgpOptions,
    IssuerOption,
    NeighborSource,
    Options,
    PathPolicy,
    TunnelKind,
)
from onehop.compile.service import FINALIZER, SOURCE_RANGES_ANNOTATION
from onehop.compile.session import LOAD_BALANCER_TAINT
from onehop.compile.vocabulary import ANNOTATIONS
from onehop.model.address import Cidr, IpAddr
from onehop.model.certificate import Certificate
from onehop.model.ident import ObjectRef
from onehop.model.network import Neighbor, NeighborRole
from onehop.model.staple import Inquiry, Staple
from tests.compile.pem import BEGIN, END, chain_pem, key_pem
from tests.stapling.ca import Ca

NAMESPACES = st.sampled_from(("a", "a", "a", "b"))
SERVICE_NAMES = st.sampled_from(("web", "web", "api"))
HOSTS = st.sampled_from(("", "x.test", "y.test", "*.test", "a.x.test", "*.x.test", "Bad_Host"))
SECRET_NAMES = st.sampled_from(("tls1", "tls2", "ca"))
NODE_NAMES = st.sampled_from(("n1", "n2"))
VIPS = st.sampled_from(("203.0.113.10", "203.0.113.11", "203.0.113.12", "2001:db8::1", "192.0.2.9"))
TIMES = st.sampled_from(("", "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"))
DELETION = st.sampled_from((*(None,) * 9, "2024-02-01T00:00:00Z"))


def annotations_for(kind: str, *names: str) -> st.SearchStrategy[Mapping[str, str]]:
    """Few annotations at once, most of them good; of all there are unless some are named."""
    known = names or tuple(n for n, known in ANNOTATIONS.items() if kind in known.on)
    good = {f"onehop.dev/{name}": ANNOTATIONS[name].example for name in known}
    keys = st.sampled_from((*good, "onehop.dev/no-such", "example.com/other"))
    return st.lists(st.tuples(keys, st.booleans()), max_size=2, unique_by=lambda pair: pair[0]).map(
        lambda pairs: {key: "\n" if bad else good.get(key, "x") for key, bad in pairs}
    )


def everything_said(kind: str) -> Mapping[str, str]:
    """All annotations that may stand on a kind, but one that would need a Secret."""
    return {
        f"onehop.dev/{name}": known.example
        for name, known in ANNOTATIONS.items()
        if kind in known.on and name != "backend-tls-ca"
    }


def meta(
    names: st.SearchStrategy[str], annotations: st.SearchStrategy[Mapping[str, str]]
) -> st.SearchStrategy[Meta]:
    """Metadata of a namespaced object."""
    return st.builds(
        Meta,
        name=names,
        namespace=NAMESPACES,
        resource_version=st.sampled_from(("1", "2")),
        creation_timestamp=TIMES,
        deletion_timestamp=DELETION,
        annotations=annotations,
        finalizers=st.sampled_from((None, (FINALIZER,), (FINALIZER,))),
    )


SERVICE_PORTS = st.lists(
    st.builds(
        ServicePort,
        port=st.sampled_from((80, 80, 53)),
        name=st.sampled_from(("http", "http", "dns")),
        protocol=st.sampled_from(("TCP", "TCP", "TCP", "UDP", "SCTP")),
        app_protocol=st.sampled_from((None, "http", "kubernetes.io/h2c", "unheard-of")),
        node_port=st.sampled_from((0, 30080, 30053)),
    ),
    max_size=3,
    unique_by=lambda port: (port.port, port.protocol),
).map(tuple)

_SHARING = st.sampled_from(
    (
        {},
        {},
        {"onehop.dev/share-address": "one"},
        {"onehop.dev/client-address": "transparent"},
        {"onehop.dev/address-pool": "second"},
        {"onehop.dev/addresses": "203.0.113.11"},
        {"onehop.dev/addresses": "203.0.113.11,2001:db8::1"},
        {"onehop.dev/share-address": "one", "onehop.dev/addresses": "203.0.113.10"},
    )
)


def merged(*annotations: Mapping[str, str]) -> Mapping[str, str]:
    """Return all annotations in one mapping."""
    return {key: text for some in annotations for key, text in some.items()}


def status_of(ips: list[str]) -> ServiceStatus:
    """Return a Service's status with these addresses."""
    entries = tuple(IngressAddress(ip=ip) for ip in ips)
    return ServiceStatus(LoadBalancerStatus(entries or None))


_SERVICE_ANNOTATIONS = st.builds(
    merged,
    annotations_for("Service"),
    _SHARING,
    st.sampled_from(({}, {SOURCE_RANGES_ANNOTATION: "10.0.0.0/8, nonsense"})),
)

SERVICES = st.builds(
    Service,
    metadata=meta(SERVICE_NAMES, _SERVICE_ANNOTATIONS),
    spec=st.builds(
        ServiceSpec,
        type=st.sampled_from((*("LoadBalancer",) * 4, "ClusterIP", "ExternalName")),
        ports=SERVICE_PORTS | SERVICE_PORTS | SERVICE_PORTS | st.none(),
        load_balancer_class=st.sampled_from((None, *("onehop.dev/lb",) * 3, "other")),
        load_balancer_ip=st.none() | st.none() | VIPS | st.just("nonsense"),
        load_balancer_source_ranges=st.sampled_from(
            (None, None, ("10.0.0.0/8",), ("x",), ("x", "::/0"))
        ),
        external_traffic_policy=st.sampled_from(("Cluster", "Local")),
        health_check_node_port=st.sampled_from((0, 32000)),
        session_affinity=st.sampled_from(("None", "ClientIP")),
        session_affinity_config=st.sampled_from((None, AffinityConfig(ClientIpConfig(60)))),
        ip_families=st.sampled_from((None, ("IPv4",), ("IPv6",), ("IPv4", "IPv6"))),
        ip_family_policy=st.sampled_from((None, "PreferDualStack", "RequireDualStack")),
    ),
    status=st.lists(VIPS, max_size=2, unique=True).map(status_of),
)

_SLICE_ENDPOINTS = st.builds(
    SliceEndpoint,
    addresses=st.sampled_from(
        (
            ("10.0.0.1",),
            ("10.0.0.1",),
            ("10.0.0.2", "10.0.0.3"),
            ("2001:db8:1::1",),
            (),
            ("127.0.0.1",),
            ("203.0.113.10",),
            ("not-an-address",),
        )
    ),
    conditions=st.builds(
        EndpointConditions,
        ready=st.sampled_from((None, True, False)),
        serving=st.sampled_from((None, True, False)),
        terminating=st.sampled_from((None, True, False)),
    ),
    node_name=st.none() | NODE_NAMES,
    zone=st.sampled_from((None, "z1")),
)

_SOME_ENDPOINTS = st.lists(_SLICE_ENDPOINTS, max_size=3).map(tuple)
_SOME_PORTS = st.lists(
    st.builds(
        SlicePort,
        name=st.sampled_from((None, "http", "http", "dns")),
        protocol=st.sampled_from((None, "TCP", "UDP")),
        port=st.sampled_from((None, 8080, 8080, 5353)),
    ),
    max_size=2,
).map(tuple)

SLICES = st.builds(
    EndpointSlice,
    metadata=st.builds(
        SliceMeta,
        name=st.sampled_from(("s1", "s2", "s3")),
        namespace=NAMESPACES,
        labels=st.sampled_from((*({SERVICE_NAME: name} for name in ("web", "web", "api")), None)),
    ),
    address_type=st.sampled_from(("IPv4", "IPv4", "IPv4", "IPv6", "FQDN")),
    endpoints=_SOME_ENDPOINTS | _SOME_ENDPOINTS | _SOME_ENDPOINTS | st.none(),
    ports=_SOME_PORTS | _SOME_PORTS | st.just((SlicePort("http", "TCP", 8080),)) | st.none(),
)

_NOTES_OF_NODES = st.lists(
    st.sampled_from(
        (
            (calico.IPV4_ADDRESS, "192.168.0.9/24"),
            (calico.IPV6_ADDRESS, "fd00:1::9/64"),
            (calico.AS_NUMBER, "64600"),
            (calico.AS_NUMBER, "one"),
            (calico.REFLECTOR_CLUSTER, "244.0.0.1"),
            (calico.IPV4_VXLAN_ADDRESS, "10.0.0.1"),
            (calico.IPV4_VXLAN_MAC, "66:11:22:33:44:55"),
            (tunnel.FLANNEL_TYPE, "vxlan"),
            (tunnel.FLANNEL_DATA, '{"VNI":1,"VtepMAC":"12:c6:65:89:b4:e3"}'),
            (tunnel.FLANNEL_DATA, "junk"),
            (tunnel.FLANNEL_ADDRESS, "192.168.0.1"),
        )
    ),
    max_size=5,
).map(dict[str, str])

NODES = st.builds(
    Node,
    metadata=st.builds(
        Meta,
        name=NODE_NAMES,
        creation_timestamp=TIMES,
        deletion_timestamp=DELETION,
        annotations=_NOTES_OF_NODES,
        labels=st.sampled_from(
            (None, {ZONE_LABEL: "z1"}, {EXCLUDE_LABEL: ""}, {EXCLUDE_LABEL: "false"})
        ),
    ),
    spec=st.builds(
        NodeSpec,
        taints=st.sampled_from((None, (Taint(AUTOSCALER_TAINT),), (Taint(LOAD_BALANCER_TAINT),))),
        pod_cidrs=st.sampled_from((None, ("10.0.0.0/24",), ("10.0.0.0/24", "fd00::/64"), ("x",))),
    ),
    status=st.builds(
        NodeStatus,
        addresses=st.sampled_from(
            (
                None,
                (NodeAddress("InternalIP", "192.168.0.1"), NodeAddress("ExternalIP", "192.0.2.1")),
                (NodeAddress("InternalIP", "192.168.0.2"), NodeAddress("InternalIP", "2001:db8::")),
                (NodeAddress("ExternalIP", "192.0.2.2"),),
                (NodeAddress("InternalIP", "127.0.0.1"),),
            )
        ),
    ),
)

_PREFIXES = st.sampled_from(("10.0.0.0/26", "10.0.0.0/24", "fd00::/122", "x"))
AFFINITIES = st.builds(
    BlockAffinity,
    metadata=st.builds(Meta, name=st.sampled_from(("b1", "b2")), creation_timestamp=TIMES),
    spec=st.builds(
        BlockAffinitySpec,
        cidr=_PREFIXES,
        node=NODE_NAMES,
        state=st.sampled_from(("confirmed", "confirmed", "pending")),
        deleted=st.sampled_from(("false", "false", "true", True)),
    ),
)
IP_POOLS = st.builds(
    IPPool,
    metadata=st.builds(Meta, name=st.sampled_from(("p1", "p2"))),
    spec=st.builds(IPPoolSpec, cidr=st.sampled_from(("10.0.0.0/16", "fd00::/48", "x"))),
)
BGP_CONFIGURATIONS = st.builds(
    BGPConfiguration,
    metadata=st.builds(Meta, name=st.sampled_from(("default", "other"))),
    spec=st.builds(
        BGPConfigurationSpec,
        as_number=st.sampled_from((None, 64700)),
        node_to_node_mesh_enabled=st.sampled_from((None, True, False)),
        listen_port=st.sampled_from((None, 1179, 0)),
    ),
)
CILIUM_NODES = st.builds(
    CiliumNode,
    metadata=st.builds(Meta, name=NODE_NAMES, creation_timestamp=TIMES),
    spec=st.builds(
        CiliumNodeSpec,
        ipam=st.builds(
            Ipam,
            pod_cidrs=st.none() | st.lists(_PREFIXES, max_size=2).map(tuple),
            pools=st.sampled_from((IpamPools(), IpamPools((IpamPool(("10.0.0.0/26",)),)))),
        ),
    ),
)

CLASSES = st.builds(
    IngressClass,
    metadata=st.builds(
        Meta,
        name=st.sampled_from(("ours", "theirs")),
        creation_timestamp=TIMES,
        annotations=st.sampled_from(
            (
                None,
                {"ingressclass.kubernetes.io/is-default-class": "true"},
                {"onehop.dev/acme": "true"},
                {"onehop.dev/acme": "internal"},
            )
        ),
    ),
    spec=st.builds(
        IngressClassSpec, controller=st.sampled_from(("onehop.dev/ingress", "example.com/other"))
    ),
)

_SERVICE_BACKENDS = st.builds(
    ServiceBackend,
    name=SERVICE_NAMES,
    port=st.sampled_from(
        (ServiceBackendPort(name="http"), ServiceBackendPort(number=80), ServiceBackendPort())
    ),
)
_BACKENDS = st.builds(
    IngressBackend,
    service=_SERVICE_BACKENDS | _SERVICE_BACKENDS | _SERVICE_BACKENDS | st.none(),
    resource=st.sampled_from((None, ResourceBackend("Bucket", "b"))),
)
_PATHS = st.builds(
    HttpPath,
    backend=_BACKENDS,
    path=st.sampled_from(("", "/", "/a", "/a/", "/a/b", "bad", "/../x")),
    path_type=st.sampled_from(("Exact", "Prefix", "Prefix", "ImplementationSpecific", None, "Odd")),
)
_RULES = st.builds(
    IngressRule,
    host=HOSTS,
    http=st.none() | st.builds(HttpRule, paths=st.lists(_PATHS, max_size=2).map(tuple)),
)
_ASKING = st.sampled_from(
    (
        {"onehop.dev/acme": "true"},
        {"onehop.dev/acme": "internal"},
        {"onehop.dev/acme": "letsencrypt", "onehop.dev/acme-key-type": "rsa-2048"},
        {"onehop.dev/acme": "false", "kubernetes.io/tls-acme": "true"},
        {"onehop.dev/acme-key-type": "rsa-2048"},
        {"kubernetes.io/tls-acme": "true"},
        {"kubernetes.io/tls-acme": "true", "cert-manager.io/issuer": "other"},
    )
)
_INGRESS_ANNOTATIONS = st.builds(
    merged,
    annotations_for("Ingress")
    | annotations_for("Ingress", "path", "ssl-redirect", "hsts", "backend-protocol")
    | st.sampled_from(
        (
            {"onehop.dev/client-ca": "ca"},
            {"onehop.dev/client-ca": "ca", "onehop.dev/client-certificate": "optional"},
            {"onehop.dev/client-ca": "CA!"},
            {"onehop.dev/tls-passthrough": "true"},
        )
    )
    | st.just({"onehop.dev/backend-protocol": "https", "onehop.dev/backend-tls-ca": "ca"})
    | _ASKING,
    st.sampled_from(({}, {}, *({CLASS_ANNOTATION: name} for name in ("", "ours", "theirs")))),
)

INGRESSES = st.builds(
    Ingress,
    metadata=meta(st.sampled_from(("one", "two")), _INGRESS_ANNOTATIONS),
    spec=st.builds(
        IngressSpec,
        ingress_class_name=st.sampled_from((None, "ours", "ours", "theirs", "absent")),
        default_backend=st.none() | _BACKENDS,
        rules=st.none() | st.lists(_RULES, max_size=3).map(tuple),
        tls=st.none()
        | st.lists(
            st.builds(
                IngressTls,
                hosts=st.none() | st.lists(HOSTS, max_size=2).map(tuple),
                secret_name=SECRET_NAMES | st.just(""),
            ),
            max_size=2,
        ).map(tuple),
    ),
)

SOLVERS = st.builds(
    Ingress,
    metadata=st.builds(
        Meta,
        name=st.sampled_from(("solver-1", "solver-2")),
        namespace=NAMESPACES,
        creation_timestamp=TIMES,
        labels=st.sampled_from(({SOLVER_LABEL: "true"},) * 3 + (None, {SOLVER_LABEL: "false"})),
    ),
    spec=st.builds(
        IngressSpec,
        ingress_class_name=st.just("ours"),
        rules=st.builds(
            IngressRule,
            host=HOSTS | HOSTS | st.just("z.test"),
            http=st.builds(
                HttpRule,
                paths=st.builds(
                    HttpPath,
                    backend=_BACKENDS,
                    path=st.sampled_from(("one", "two", "")).map(CHALLENGE_PATH.__add__)
                    | st.just("/a"),
                    path_type=st.sampled_from(("Exact", "ImplementationSpecific")),
                ).map(lambda path: (path,)),
            ),
        ).map(lambda rule: (rule,)),
    ),
)

PASSED = st.builds(
    Ingress,
    metadata=st.builds(
        Meta,
        name=st.sampled_from(("three", "four")),
        namespace=NAMESPACES,
        creation_timestamp=TIMES,
        annotations=st.just({"onehop.dev/tls-passthrough": "true"}),
    ),
    spec=st.builds(
        IngressSpec,
        ingress_class_name=st.just("ours"),
        rules=st.lists(_RULES, min_size=1, max_size=3).map(tuple),
    ),
)
"""Ingresses whose TLS does not end here."""

EARLY_END = BEGIN.replace(month=6)
_CA = Ca()
_STAPLED = tuple(
    _CA.leaf("x.test", "http://ocsp.test/", must_staple=each) for each in (False, True)
)
INQUIRIES = tuple(
    Inquiry(url="http://ocsp.test/", chain_pem=leaf.pem + _CA.pem) for leaf in _STAPLED
)
"""Whom to ask about the certificates among `SECRETS` that name a responder; one demands it."""
STAPLES = st.none() | st.sampled_from(
    (Staple(response=b"1"), Staple(response=b"2"), Staple(revoked_at=1), Staple(why="down"))
)
GOOD = {"tls.crt": chain_pem("x.test"), "tls.key": key_pem("x.test")}
GOOD_CA = {"ca.crt": chain_pem("ca.test").decode()}
SECRETS = st.builds(
    Secret,
    metadata=st.builds(Meta, name=SECRET_NAMES, namespace=NAMESPACES),
    type=st.sampled_from(("kubernetes.io/tls", "kubernetes.io/tls", "Opaque")),
    data=st.sampled_from(
        (
            None,
            {},
            GOOD,
            {"tls.crt": chain_pem("x.test", end=EARLY_END), "tls.key": key_pem("x.test")},
            {"tls.crt": chain_pem("*.test"), "tls.key": key_pem("*.test")},
            {"tls.crt": chain_pem("x.test"), "tls.key": key_pem("y.test")},
            {"tls.crt": b"junk", "tls.key": b"junk"},
            {"tls.crt": chain_pem("x.test"), "tls.key": b"junk"},
            {"ca.crt": chain_pem("ca.test")},
            {"ca.crt": b"junk"},
            *(
                {"tls.crt": (leaf.pem + _CA.pem).encode(), "tls.key": leaf.key_pem.encode()}
                for leaf in _STAPLED
            ),
        )
    ),
)
ANSWERS_REF = ObjectRef("Secret", "onehop-system", "answers")
_PROVEN = st.sampled_from(("x.test", "x.test", "a.x.test", "z.test", "*.test", "b.a.test", "Bad"))
_HTTP_CHALLENGES = st.builds(
    HttpChallenge,
    host=_PROVEN,
    token=st.sampled_from(("one", "one", "two", "to/ken", "")),
    body=st.sampled_from(("one.print", "two.print", "two.other", "one", "one.<b>")),
)
_ALPN_CHALLENGES = st.builds(
    AlpnChallenge,
    host=_PROVEN,
    chain_pem=st.sampled_from(("x.test", "x.test", "a.x.test")).map(
        lambda name: chain_pem(name).decode()
    )
    | st.just("junk"),
    key_pem=st.sampled_from(("x.test", "x.test", "a.x.test")).map(
        lambda name: key_pem(name).decode()
    ),
)


def answers_of(challenges: Iterable[Challenge], more: Mapping[str, bytes]) -> Secret:
    """Return the Secret of answers with these challenges, and whatever else it may hold."""
    return Secret(
        metadata=Meta(name=ANSWERS_REF.name, namespace=ANSWERS_REF.namespace),
        data={**encode_challenges(challenges), **more},
    )


ANSWERS = st.builds(
    answers_of,
    st.lists(_HTTP_CHALLENGES | _ALPN_CHALLENGES, max_size=4),
    st.sampled_from(({}, {"junk": b"junk"}, {"later": b'{"type": "dns-01"}'})),
)
SECRET_REFS = st.builds(ObjectRef, st.just("Secret"), NAMESPACES, SECRET_NAMES)

HELD = st.lists(
    st.builds(
        Held,
        service=st.builds(ObjectRef, st.just("Service"), NAMESPACES, SERVICE_NAMES),
        addresses=st.lists(VIPS.map(IpAddr), max_size=2).map(tuple),
    ),
    max_size=3,
)


def certificate_of(ref: ObjectRef) -> Certificate:
    """Return what a Secret may have held once."""
    metadata = Meta(name=ref.name, namespace=ref.namespace)
    secret = Secret(metadata=metadata, type="kubernetes.io/tls", data=GOOD)
    certificate = read_certificate(ref, secret)
    assert isinstance(certificate, Certificate)
    return certificate


WORLD: tuple[ClusterObject, ...] = (
    IngressClass(
        metadata=Meta(name="ours"), spec=IngressClassSpec(controller="onehop.dev/ingress")
    ),
    Service(
        metadata=Meta(name="web", namespace="a", finalizers=(FINALIZER,)),
        spec=ServiceSpec(
            type="LoadBalancer",
            load_balancer_class="onehop.dev/lb",
            ports=(ServicePort(port=80, name="http", node_port=30080, app_protocol="http"),),
            load_balancer_ip="203.0.113.10",
            load_balancer_source_ranges=("10.0.0.0/8",),
        ),
        status=status_of(["203.0.113.10"]),
    ),
    EndpointSlice(
        metadata=SliceMeta(name="s1", namespace="a", labels={SERVICE_NAME: "web"}),
        endpoints=(SliceEndpoint(addresses=("10.0.0.1",), node_name="n1", zone="z1"),),
        ports=(SlicePort("http", "TCP", 8080),),
    ),
    Node(
        metadata=Meta(name="n1", labels={ZONE_LABEL: "z1"}),
        status=NodeStatus((NodeAddress("InternalIP", "192.168.0.1"),)),
    ),
    Ingress(
        metadata=Meta(name="one", namespace="a", annotations=everything_said("Ingress")),
        spec=IngressSpec(
            ingress_class_name="ours",
            rules=(
                IngressRule(
                    "x.test",
                    HttpRule(
                        (
                            HttpPath(
                                backend=IngressBackend(
                                    service=ServiceBackend("web", ServiceBackendPort("http"))
                                ),
                                path="/a",
                                path_type="Prefix",
                            ),
                        )
                    ),
                ),
            ),
            tls=(IngressTls(("x.test",), "tls1"),),
        ),
    ),
    Secret(metadata=Meta(name="tls1", namespace="a"), type="kubernetes.io/tls", data=GOOD),
    answers_of(
        (
            HttpChallenge(host="x.test", token="one", body="one.print"),
            HttpChallenge(host="z.test", token="two", body="two.print"),
            AlpnChallenge(
                host="x.test",
                chain_pem=chain_pem("x.test").decode(),
                key_pem=key_pem("x.test").decode(),
            ),
        ),
        {},
    ),
)
"""A small cluster in which all works together."""

NAMESPACE_OBJECTS = st.builds(
    Namespace,
    metadata=st.builds(
        Meta, name=NAMESPACES, labels=st.sampled_from((None, {"team": "a"}, {"team": "b"}))
    ),
)

PLUGIN_OBJECTS = AFFINITIES | AFFINITIES | IP_POOLS | BGP_CONFIGURATIONS | CILIUM_NODES
OBJECTS = (
    SERVICES
    | SLICES
    | NODES
    | INGRESSES
    | INGRESSES
    | CLASSES
    | SECRETS
    | ANSWERS
    | SOLVERS
    | NAMESPACE_OBJECTS
    | PLUGIN_OBJECTS
)

FIRST = AddressPool(name="first", ranges=((IpAddr("203.0.113.10"), IpAddr("203.0.113.11")),))
SECOND = AddressPool(
    name="second",
    ranges=(
        (IpAddr("203.0.113.12"), IpAddr("203.0.113.12")),
        (IpAddr("2001:db8::1"), IpAddr("2001:db8::2")),
    ),
)

CLIENT_NETWORKS = (Cidr("0.0.0.0/0"), Cidr("10.0.0.0/8"), Cidr("::/0"))

_UPSTREAM = Neighbor(
    name="n1",
    role=NeighborRole.UPSTREAM,
    address=IpAddr("192.0.2.1"),
    asn=64999,
    hears_vips=True,
)
BGP = st.builds(
    BgpOptions,
    asn=st.just(64512),
    source=st.sampled_from(NeighborSource),
    upstream=st.sampled_from(((), (_UPSTREAM,))),
    node_asn=st.sampled_from((None, 64800)),
    announces_return=st.booleans(),
)

ISSUERS = (
    IssuerOption(name="internal", has_dns=True, has_http=False),
    IssuerOption(name="letsencrypt"),
    IssuerOption(name="shake", has_http=False, has_tls=True),
)

OPTIONS = st.builds(
    Options,
    answers=st.sampled_from((ANSWERS_REF, ANSWERS_REF, None)),
    staples=st.sampled_from((True, True, False)),
    issuers=st.sampled_from((ISSUERS, ISSUERS, ISSUERS[::-1], ISSUERS[1:], ())),
    allocation=st.sampled_from((AllocationSource.AUTO, *AllocationSource)),
    tunnel=st.sampled_from(TunnelKind),
    bgp=st.none() | BGP,
    is_default_service_class=st.booleans(),
    address_pools=st.sampled_from(((FIRST, SECOND), (FIRST, SECOND), (FIRST,), ())),
    shared=st.sampled_from(
        ((IpAddr("192.0.2.80"),), (IpAddr("203.0.113.10"), IpAddr("2001:db8::2")), ())
    ),
    http_port=st.sampled_from((80, 8080)),
    path=st.sampled_from((*PathPolicy, PathPolicy.AUTO, PathPolicy.AUTO)),
    proves_reach=st.booleans(),
    trusted=st.sampled_from(((), (), (Cidr("10.0.0.0/8"),))),
    allows_loopback=st.booleans(),
    writes_back=st.booleans(),
    default_certificate=st.none()
    | st.builds(ObjectRef, st.just("Secret"), NAMESPACES, SECRET_NAMES),
    trusted_hops=st.sampled_from((0, 1)),
    transparent_clients=st.sampled_from(((), CLIENT_NETWORKS, CLIENT_NETWORKS)),
)

HOURS = st.sampled_from(
    tuple(int(day.timestamp()) for day in (BEGIN, EARLY_END.replace(month=7), END))
)
