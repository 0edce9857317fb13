"""The operator's file, `onehop.yaml`: its keys are a contract with users.

This module says what they are; `configfile` reads them and finds what is wrong.
"""

from typing import Annotated, Literal

import msgspec

from onehop.compile.options import AllocationSource, PathPolicy
from onehop.control.acmeconfig import AcmeConfig
from onehop.control.section import Count, Percent, Port, Section
from onehop.model.listener import TlsPolicy


class ClusterConfig(Section, frozen=True):
    """Where objects come from: one of kubeconfig (the default), inCluster, manifests.

    Attributes:
        namespace: where the Lease for the one writer of status lives.
        allow_loopback: whether manifests may name 127.0.0.0/8 and ::1 as backends.
    """

    name: str = "default"
    kubeconfig: str | None = None
    context: str | None = None
    in_cluster: bool = False
    manifests: str | None = None
    allow_loopback: bool = False
    namespace: str = "onehop-system"


class ClassesConfig(Section, frozen=True):
    """Which objects are ours."""

    ingress: str = "onehop.dev/ingress"
    gateway: str = "onehop.dev/gateway-controller"
    service: str = "onehop.dev/lb"
    default_service: bool = False


class PoolConfig(Section, frozen=True):
    """A named set of addresses: CIDRs, single addresses, or ranges with a dash."""

    name: str
    cidrs: tuple[str, ...]


class BindConfig(Section, frozen=True):
    """Who owns the VIPs: an interface of this host, or somebody else (`none: true`)."""

    interface: str | None = None
    none: bool = False


class AddressesConfig(Section, frozen=True):
    """The addresses of the load balancer; `shared` is one, or one of each family."""

    pools: tuple[PoolConfig, ...] = ()
    shared: str | tuple[str, ...] = ()
    bind: BindConfig = BindConfig()


class PortsConfig(Section, frozen=True):
    """Ports of the shared VIP."""

    http: Port = 80
    https: Port = 443


class HttpConfig(Section, frozen=True):
    """How clients reach the shared VIP.

    Attributes:
        trusted_hops: proxies in front of us whose X-Forwarded-For is believed.
        accept_proxy_protocol: every connection begins with a PROXY header.
    """

    trusted_hops: Count = 0
    accept_proxy_protocol: bool = False


class TlsConfig(Section, frozen=True):
    """How TLS is spoken on the shared VIP.

    Attributes:
        policy: with which clients; see `TlsPolicy`.
        default_certificate: `namespace/name` of the Secret shown to clients that ask for a name
            nobody has, or for none.
        http3: whether hosts are served over QUIC as well, on the same port.
        ocsp_stapling: whether CAs are asked about the certificates that are shown, and their
            answers shown with these.
        ocsp_responders: `http://HOST` or `http://HOST:PORT` of responders that may be asked though
            this host does not trust the CA.
    """

    policy: TlsPolicy = TlsPolicy.INTERMEDIATE
    default_certificate: str | None = None
    http3: bool = False
    ocsp_stapling: bool = True
    ocsp_responders: tuple[str, ...] = ()


class EnvoyConfig(Section, frozen=True):
    """The embedded Envoy.

    Attributes:
        concurrency: worker threads; None is one for each processor.
        access_log: a file, or `-` for standard output; None writes none.
        max_heap_mi_b: above 95 % of it Envoy sheds load; None sets no bound.
    """

    concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    access_log: str | None = None
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 50_000
    max_heap_mi_b: Annotated[int, msgspec.Meta(ge=64)] | None = None


class HaproxyConfig(Section, frozen=True):
    """A HAProxy that is started in place of Envoy, or one that somebody else runs.

    Attributes:
        binary: what is started; found on PATH by default.
        threads: None is one for each processor.
        old_worker_s: how long the connections of a replaced worker may go on.
        master: the master socket of a HAProxy that somebody else runs; none is started then.
        include: the folder that it reads besides, and that we write; with `master`.
    """

    binary: str = "haproxy"
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 50_000
    old_worker_s: Annotated[float, msgspec.Meta(ge=1, le=86400)] = 3600.0
    master: str | None = None
    include: str | None = None


class VtmConfig(Section, frozen=True):
    """A Pulse/Ivanti Virtual Traffic Manager, told over REST.

    Attributes:
        urls: of the REST service of each member of its cluster; the next is asked when one fails.
        password_file: holds the password, and nothing else.
        ca_file: what the members' certificates must chain to; None is what this host trusts.
        owner: marks our objects; None is `cluster.name`.
        machines: the traffic managers that carry the addresses; empty for all.
        timeout_s: of one call.
        resync_s: how often all our objects are compared.
    """

    urls: tuple[str, ...] = ()
    username: str = "admin"
    password_file: str | None = None
    ca_file: str | None = None
    owner: str | None = None
    machines: tuple[str, ...] = ()
    timeout_s: Annotated[float, msgspec.Meta(ge=1, le=60)] = 10.0
    resync_s: Annotated[float, msgspec.Meta(ge=5, le=86400)] = 60.0


class DataPlaneConfig(Section, frozen=True):
    """What carries the traffic.

    Attributes:
        layer4: who serves TCP and UDP listeners: the driver, or the kernel those that it can.
    """

    driver: str = "envoy"
    layer4: Literal["proxy", "kernel"] = "proxy"
    envoy: EnvoyConfig = EnvoyConfig()
    haproxy: HaproxyConfig = HaproxyConfig()
    vtm: VtmConfig = VtmConfig()


class DeletionBudget(Section, frozen=True):
    """How much may vanish from one table within a minute without a confirmation.

    The larger of the two counts: small clusters may lose everything, large ones a share.
    """

    percent: Percent = 30
    rows: Count = 20


class SafetyConfig(Section, frozen=True):
    """Guards against lists that lie."""

    deletion_budget: DeletionBudget = DeletionBudget()


class ListenConfig(Section, frozen=True):
    """What onehop itself listens on: `address:port`; nothing beyond loopback unless said here."""

    metrics: str = "127.0.0.1:9080"


class LogConfig(Section, frozen=True):
    """Log lines: level, and JSON or not (by default where stderr is no terminal)."""

    level: str = "info"
    json: bool | None = None


class ReachConfig(Section, frozen=True):
    """What is known of the way to the Pods, and what this host does for it.

    Attributes:
        trust: prefixes known to be reachable though only a default route shows; they are probed.
        allocation: which objects say what node a Pod address belongs to.
        routes: `static` keeps kernel routes to the nodes' Pod ranges, for hosts on their link.
        tunnel: the VXLAN overlay to join.
        stable_s: how long a route that has come back must stand before Pods move up to it.
    """

    trust: tuple[str, ...] = ()
    allocation: AllocationSource = AllocationSource.AUTO
    routes: Literal["none", "static"] = "none"
    tunnel: Literal["none", "flannel", "calico"] = "none"
    stable_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 3.0


class NeighborConfig(Section, frozen=True):
    """A BGP neighbour that the operator names.

    Attributes:
        address: of the neighbour; `asn` is its AS number.
        password_file: holds the password of TCP MD5 signatures, and nothing else.
        multihop: the largest number of hops to it; None demands that it is on a link of ours.
        graceful_restart_s: how long routes are kept while a BIRD is away (RFC 4724); None is 120
            for those that tell us of Pods, and 5 for routers upstream, which must not go on
            sending clients to a host that is gone.
    """

    address: str
    asn: Annotated[int, msgspec.Meta(ge=1, le=4_294_967_295)]
    name: str | None = None
    port: Port = 179
    source: str | None = None
    password_file: str | None = None
    multihop: Annotated[int, msgspec.Meta(ge=1, le=255)] | None = None
    bfd: bool = False
    graceful_restart_s: Annotated[int, msgspec.Meta(ge=0, le=4095)] | None = None


class BirdConfig(Section, frozen=True):
    """Which BIRD speaks for us: a child of ours, or one that runs already.

    Attributes:
        binary: what is started; found on PATH by default.
        socket: the control socket of a BIRD that somebody else runs; ours is started without.
        include: the file that BIRD's configuration includes, which we write; with `socket`.
    """

    binary: str = "bird"
    socket: str | None = None
    include: str | None = None


class BgpConfig(Section, frozen=True):
    """The BGP speaker of this host; without `asn` there is none.

    Attributes:
        neighbors: `calico` and `cilium` read them from the cluster; or a list.
        node_asn: the AS number of the nodes, with `neighbors: cilium`; None is ours.
        node_password_file: holds the password of the sessions with nodes that `calico` or
            `cilium` names, and nothing else.
        upstream: routers that hear our VIPs.
        drain_s: how long clients are sent to other hosts before a leaving one withdraws its VIPs.
    """

    asn: Annotated[int, msgspec.Meta(ge=1, le=4_294_967_295)] | None = None
    router_id: str | None = None
    neighbors: Literal["calico", "cilium"] | tuple[NeighborConfig, ...] = ()
    node_asn: Annotated[int, msgspec.Meta(ge=1, le=4_294_967_295)] | None = None
    node_password_file: str | None = None
    upstream: tuple[NeighborConfig, ...] = ()
    drain_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 2.0
    bird: BirdConfig = BirdConfig()


class TransparentConfig(Section, frozen=True):
    """Who may be served with `onehop.dev/client-address: transparent`.

    Attributes:
        clients: client networks to which Pods answer through this host.
        announce: whether the nodes are told so by BGP.
    """

    clients: tuple[str, ...] = ()
    announce: bool = False


class Config(Section, frozen=True):
    """The whole file.

    Attributes:
        state: directory of the last known good, the lock and the sockets; None is
            /var/lib/onehop for root, and $XDG_STATE_HOME/onehop for anybody else.
    """

    cluster: ClusterConfig = ClusterConfig()
    classes: ClassesConfig = ClassesConfig()
    addresses: AddressesConfig = AddressesConfig()
    ports: PortsConfig = PortsConfig()
    http: HttpConfig = HttpConfig()
    tls: TlsConfig = TlsConfig()
    acme: AcmeConfig = AcmeConfig()
    data_plane: DataPlaneConfig = DataPlaneConfig()
    path: PathPolicy = PathPolicy.AUTO
    reach: ReachConfig = ReachConfig()
    bgp: BgpConfig = BgpConfig()
    transparent: TransparentConfig = TransparentConfig()
    safety: SafetyConfig = SafetyConfig()
    state: str | None = None
    listen: ListenConfig = ListenConfig()
    log: LogConfig = LogConfig()
