"""A set of endpoints that can stand in for each other, and how the data plane treats them."""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

import msgspec

from onehop.model.ident import CertificateId, ObjectRef, PoolId


class BackendProtocol(StrEnum):
    """What is spoken to the endpoints; TLS around it is `Pool.tls`."""

    HTTP1 = "http1"
    H2 = "h2"
    GRPC = "grpc"
    TCP = "tcp"
    UDP = "udp"


class Balancing(StrEnum):
    """Who gets the next request that is bound to nobody."""

    LEAST_REQUEST = "least-request"
    ROUND_ROBIN = "round-robin"
    HASH = "hash"
    """By the client's address, consistently: losing one of n endpoints moves 1/n of the clients."""


class ProxyProtocol(StrEnum):
    """The PROXY protocol (haproxy.org, proxy-protocol.txt), sent to endpoints."""

    V1 = "v1"
    V2 = "v2"


class AltName(msgspec.Struct, frozen=True, gc=False, order=True):
    """A subject alternative name (RFC 5280, section 4.2.1.6).

    Attributes:
        text: a DNS name, one with `*.` in front that stands for all names below it, or a URI.
    """

    text: str
    is_uri: bool = False


class BackendTls(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """TLS towards the endpoints.

    Attributes:
        ca_pem: what the endpoints' certificates must chain to; None accepts any certificate,
            unless the system is trusted.
        server_name: sent as SNI and demanded of the certificate; None sends and demands none.
        trusts_system: they must chain to one of the CAs that the host of the data plane trusts.
        names: one of these is demanded of the certificate, and the server name is only sent.
        client: what endpoints are shown that ask for a certificate; while it is not there, there is
            no connection. None shows nothing.
    """

    ca_pem: str | None = None
    server_name: str | None = None
    trusts_system: bool = False
    names: tuple[AltName, ...] = ()
    client: CertificateId | None = None

    @property
    def is_verified(self) -> bool:
        """Whether it matters whose certificate the endpoints have."""
        return self.ca_pem is not None or self.trusts_system

    @property
    def demands_what_it_sends(self) -> bool:
        """Whether no other name is demanded of the certificate than the server name."""
        return not self.names or self.names == (AltName(self.server_name or ""),)


class CookiePersistence(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="cookie"):
    """A cookie set by the load balancer binds a client to an endpoint (GEP-1619).

    It is always HttpOnly: no script of a page has any use for it.

    Attributes:
        ttl_s: lifetime in seconds; None is a session cookie.
        same_site: `Strict`, `Lax`, `None`, or empty to leave the attribute out.
    """

    name: str
    path: str = "/"
    ttl_s: int | None = None
    secure: bool = False
    same_site: str = ""


class HeaderPersistence(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="header"):
    """A request header, echoed from the response, binds a client to an endpoint (GEP-1619)."""

    name: str


class SourceIpPersistence(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="source-ip"):
    """The client's address binds it to an endpoint (`sessionAffinity: ClientIP`).

    Attributes:
        timeout_s: 1-86400, `sessionAffinityConfig.clientIP.timeoutSeconds`, 10800 by default;
            a data plane that hashes has no timeout: the binding lasts as long as the pool stands.
    """

    timeout_s: int = 10800


Persistence: TypeAlias = CookiePersistence | HeaderPersistence | SourceIpPersistence


class HealthCheck(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An active check by the load balancer itself, besides what the kubelet says.

    Attributes:
        http_path: the path to GET; None checks that a TCP connection opens.
        expected: status codes that count as healthy, as inclusive ranges.
        port: where to check; None is the endpoint's own port.
        spares_pods: only members behind NodePorts are checked; of Pods the kubelet knows better.
    """

    http_path: str | None = None
    http_host: str | None = None
    expected: tuple[tuple[int, int], ...] = ((200, 399),)
    port: int | None = None
    interval_s: float = 5.0
    timeout_s: float = 2.0
    healthy_threshold: int = 1
    unhealthy_threshold: int = 3
    spares_pods: bool = False


class Pool(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="pool"):
    """What the endpoints of one Service port have in common.

    A Pool never changes under its id: the id carries a hash of the policy, so another policy is
    another Pool, made before the old one is broken.

    Attributes:
        port: the Service's port number; endpoints carry the resolved target port.
        max_connections: to the whole pool; None is the data plane's own large default.
        is_transparent: endpoints are dialled from the client's own address (TCP and UDP only).
            It stands here and not at the listener, for HAProxy (`source 0.0.0.0 usesrc clientip`)
            and vTM (`transparent`) have it at the pool; where a data plane has it at the listener
            (Envoy), a listener for TCP or UDP has exactly one pool to ask.
    """

    id: PoolId
    service: ObjectRef
    port: int
    protocol: BackendProtocol = BackendProtocol.HTTP1
    tls: BackendTls | None = None
    balancing: Balancing = Balancing.LEAST_REQUEST
    persistence: Persistence | None = None
    health_check: HealthCheck | None = None
    connect_timeout_s: float = 2.0
    idle_timeout_s: float = 60.0
    proxy_protocol: ProxyProtocol | None = None
    max_connections: int | None = None
    is_transparent: bool = False


PoolOf: TypeAlias = Callable[[PoolId], Pool | None]
"""Says which pool has an id; None if there is none."""
