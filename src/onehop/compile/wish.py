"""What somebody wants of a Service's port: the Pool it needs, without its endpoints."""

import hashlib
from typing import Final

import msgspec

from onehop.cluster import Service
from onehop.cluster.service import ServicePort
from onehop.compile.options import Options, PathPolicy
from onehop.compile.policy import Policy
from onehop.model.ident import CertificateId, ObjectRef, PoolId
from onehop.model.pool import (
    BackendProtocol,
    BackendTls,
    Balancing,
    CookiePersistence,
    HeaderPersistence,
    HealthCheck,
    Persistence,
    Pool,
    ProxyProtocol,
    SourceIpPersistence,
)
from onehop.model.problem import Problem, Reason, Severity


class Wish(msgspec.Struct, frozen=True, gc=False):
    """A Pool as it is wanted, and the rungs of the ladder that may fill it."""

    pool: Pool
    path: PathPolicy


# appProtocol: KEP-3726 for kubernetes.io/*, IANA service names and common use for the others.
_APP_PROTOCOLS: Final = {
    "kubernetes.io/h2c": "h2c",
    "kubernetes.io/ws": "http",
    "kubernetes.io/wss": "https",
    "http": "http",
    "http2": "h2c",
    "h2c": "h2c",
    "https": "https",
    "grpc": "grpc",
    "grpcs": "grpcs",
}
_HTTP_PROTOCOLS: Final = {
    "http": (BackendProtocol.HTTP1, False),
    "h2c": (BackendProtocol.H2, False),
    "https": (BackendProtocol.HTTP1, True),
    "grpc": (BackendProtocol.GRPC, False),
    "grpcs": (BackendProtocol.GRPC, True),
}


def find_port(
    service: Service, *, name: str = "", number: int = 0, protocol: str = "TCP"
) -> ServicePort | None:
    """Return the Service's port of that name, or if it is empty, of that number, or None.

    Two ports may share a number, one TCP and one UDP (KEP-1435); HTTP means the TCP one.
    """
    ports = [port for port in service.spec.ports or () if port.protocol == protocol]
    if name:
        return next((port for port in ports if port.name == name), None)
    return next((port for port in ports if port.port == number), None)


def http_wish(  # noqa: PLR0913  whatever has a say in it
    service: Service,
    port: ServicePort,
    policy: Policy,
    *,
    ca_pem: str | None,
    options: Options,
    demanded: BackendTls | None = None,
) -> Wish:
    """Return the pool that an HTTP route to this port needs.

    `policy` is the route's own over the Service's; `ca_pem` is what its `backend-tls-ca` names,
    already read and checked; `demanded` is a BackendTLSPolicy's word, over all that.
    """
    spoken = policy.backend_protocol or _APP_PROTOCOLS.get((port.app_protocol or "").lower())
    protocol, is_tls = _HTTP_PROTOCOLS[spoken or "http"]
    tls = BackendTls(ca_pem=ca_pem, server_name=policy.backend_tls_name) if is_tls else None
    persistence = _http_persistence(service, policy)
    return _wish(service, port, policy, options, protocol, demanded or tls, persistence)


def stream_wish(
    service: Service,
    port: ServicePort,
    policy: Policy,
    *,
    options: Options,
    demanded: BackendTls | None = None,
) -> Wish:
    """Return the pool that a TCP or UDP listener for this port needs.

    `policy` is what was granted (`clientaddress.grant`), not only what was said; `demanded` is as
    in `http_wish`.
    """
    protocol = BackendProtocol.UDP if port.protocol == "UDP" else BackendProtocol.TCP
    wanted = policy.persistence == "source-ip" or _is_client_ip(service)
    persistence = _source_ip(service, policy) if wanted and policy.persistence != "none" else None
    return _wish(service, port, policy, options, protocol, demanded, persistence)


def rung_problems(wish: Wish, port: ServicePort, subject: ObjectRef) -> tuple[Problem, ...]:
    """Say what the chosen rung of the ladder cannot hold."""
    problems: list[Problem] = []
    if wish.path in (PathPolicy.LOCAL, PathPolicy.NODE) and not port.node_port:
        problems.append(
            Problem(
                subject=subject,
                reason=Reason.NO_NODE_PORT,
                message=f"path {wish.path} needs NodePorts, and {wish.pool.service} has none for"
                f" port {port.port}/{port.protocol}; allow them (spec.type,"
                " allocateLoadBalancerNodePorts) or use path pod",
            )
        )
    if wish.path is PathPolicy.NODE and wish.pool.persistence is not None:
        problems.append(
            Problem(
                subject=subject,
                reason=Reason.PERSISTENCE_NOT_HELD,
                message=f"session persistence cannot hold on path node: kube-proxy picks the Pod of"
                f" {wish.pool.service}; use path pod, or local with one Pod a node",
                severity=Severity.WARNING,
            )
        )
    return tuple(problems)


def _wish(  # noqa: PLR0913, PLR0917  the parts that HTTP and stream wishes do not share
    service: Service,
    port: ServicePort,
    policy: Policy,
    options: Options,
    protocol: BackendProtocol,
    tls: BackendTls | None,
    persistence: Persistence | None,
) -> Wish:
    ref = ObjectRef("Service", service.metadata.namespace, service.metadata.name)
    plain = _plain(ref, port.port)
    path = path_of(service, policy, options)
    is_udp = protocol is BackendProtocol.UDP  # a datagram has no place for a PROXY header
    header = "none" if is_udp else policy.proxy_protocol or "none"
    is_http = not is_udp and protocol is not BackendProtocol.TCP
    pool = msgspec.structs.replace(
        plain,
        protocol=protocol,
        tls=tls,
        balancing=Balancing(policy.balancing) if policy.balancing else plain.balancing,
        persistence=persistence,
        health_check=_health_check(service, port, policy, path, protocol, options),
        connect_timeout_s=policy.connect_timeout or plain.connect_timeout_s,
        proxy_protocol=None if header == "none" else ProxyProtocol(header),
        max_connections=policy.connection_limit if is_http else None,
        is_transparent=not is_http and policy.client_address == "transparent",
    )
    return Wish(_named(pool, plain, path), path)


def _plain(service: ObjectRef, port: int) -> Pool:
    """Return the pool of a port of which nobody wants anything in particular."""
    name = PoolId(f"{service.namespace}/{service.name}:{port}")
    return Pool(id=name, service=service, port=port)


def as_client(wish: Wish, certificate: CertificateId) -> Wish:
    """Return the pool whose endpoints are shown a certificate; without TLS, it is the same one."""
    pool = wish.pool
    if pool.tls is None:
        return wish
    tls = msgspec.structs.replace(pool.tls, client=certificate)
    plain = _plain(pool.service, pool.port)
    shown = msgspec.structs.replace(pool, id=plain.id, tls=tls)
    return Wish(_named(shown, plain, wish.path), wish.path)


def path_of(service: Service, policy: Policy, options: Options) -> PathPolicy:
    """Return the rung that was asked for, or the one above it where it could not work.

    With `externalTrafficPolicy: Local`, kube-proxy drops what comes to a node without Pods, so of
    all nodes only those of `local` answer.
    """
    path = PathPolicy(policy.path) if policy.path else options.path
    is_local = service.spec.external_traffic_policy == "Local"
    return PathPolicy.LOCAL if path is PathPolicy.NODE and is_local else path


def _named(pool: Pool, plain: Pool, path: PathPolicy) -> Pool:
    """Return the pool under an id that says its policy: a new policy is a new pool.

    Only what differs from the plain one counts, so that a later version of onehop, which knows
    more fields, gives the same pools the same ids.
    """
    fields = pool.__struct_fields__
    asked = {f: _told(getattr(pool, f)) for f in fields if getattr(pool, f) != getattr(plain, f)}
    if not asked and path is PathPolicy.AUTO:
        return pool
    policy = msgspec.json.encode((asked, path))
    digest = hashlib.sha256(policy).hexdigest()[:8]
    return msgspec.structs.replace(pool, id=PoolId(f"{plain.id}~{digest}"))


def _told(value: object) -> object:
    """Return a field as it counts in ids; what came later to TLS counts where it is asked for."""
    if not isinstance(value, BackendTls):
        return value
    later = {"trusts_system": value.trusts_system, "names": value.names, "client": value.client}
    asked = {name: field for name, field in later.items() if field}
    return {"ca_pem": value.ca_pem, "server_name": value.server_name, **asked}


def _health_check(  # noqa: PLR0913, PLR0917  all that has a say in it
    service: Service,
    port: ServicePort,
    policy: Policy,
    path: PathPolicy,
    protocol: BackendProtocol,
    options: Options,
) -> HealthCheck | None:
    plain = HealthCheck()
    if policy.health_check is None:
        may_fall = path is PathPolicy.AUTO and options.proves_reach and bool(port.node_port)
        check = _node_port_check(service, path, protocol)
        if may_fall and check is not None:
            return msgspec.structs.replace(check, spares_pods=True)
        return check if path in (PathPolicy.LOCAL, PathPolicy.NODE) else None
    if policy.health_check == "none":
        return None
    is_http = policy.health_check == "http"
    return HealthCheck(
        http_path=(policy.health_check_path or "/") if is_http else None,
        http_host=policy.health_check_host if is_http else None,
        expected=policy.health_check_codes or plain.expected,
        port=policy.health_check_port,
        interval_s=policy.health_check_interval or plain.interval_s,
        timeout_s=policy.health_check_timeout or plain.timeout_s,
        healthy_threshold=policy.health_check_healthy_threshold or plain.healthy_threshold,
        unhealthy_threshold=policy.health_check_unhealthy_threshold or plain.unhealthy_threshold,
    )


def _node_port_check(
    service: Service, path: PathPolicy, protocol: BackendProtocol
) -> HealthCheck | None:
    """Return how a NodePort is asked whether it leads anywhere, unless somebody says otherwise."""
    is_local = service.spec.external_traffic_policy == "Local"
    if path is PathPolicy.LOCAL or (path is PathPolicy.AUTO and is_local):
        # kube-proxy answers here with the number of local endpoints (KEP-1669): 503 when none.
        port = service.spec.health_check_node_port
        return (
            HealthCheck(http_path="/healthz", port=port, expected=((200, 200),)) if port else None
        )
    return HealthCheck() if protocol is not BackendProtocol.UDP else None


def _http_persistence(service: Service, policy: Policy) -> Persistence | None:
    match policy.persistence:
        case "cookie":
            plain = CookiePersistence(name=policy.persistence_cookie or "onehop")
            ttl = policy.persistence_cookie_ttl
            return msgspec.structs.replace(
                plain,
                path=policy.persistence_cookie_path or plain.path,
                ttl_s=None if ttl is None else int(ttl),
                secure=policy.persistence_cookie_secure or False,
                same_site=policy.persistence_cookie_same_site or "",
            )
        case "header":
            return HeaderPersistence(name=policy.persistence_header or "x-onehop-session")
        case "source-ip":
            return _source_ip(service, policy)
        case "none":
            return None
        case _:
            return _source_ip(service, policy) if _is_client_ip(service) else None


def _is_client_ip(service: Service) -> bool:
    return service.spec.session_affinity == "ClientIP"


def _source_ip(service: Service, policy: Policy) -> SourceIpPersistence:
    config = service.spec.session_affinity_config
    asked = config.client_ip.timeout_seconds if config and config.client_ip else None
    timeout = policy.persistence_timeout or asked or SourceIpPersistence().timeout_s
    return SourceIpPersistence(timeout_s=int(timeout))
