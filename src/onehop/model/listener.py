"""Where clients arrive."""

from collections.abc import Iterable
from enum import StrEnum
from typing import TypeAlias

import msgspec

from onehop.model.address import Cidr, IpAddr
from onehop.model.ident import CertificateId, ListenerId, ObjectRef, PoolId, RouterId


class Transport(StrEnum):
    """The layer 4 protocol of a listener."""

    TCP = "TCP"
    UDP = "UDP"


class TlsPolicy(StrEnum):
    """Which clients TLS is spoken with, by the names of Mozilla's guidelines."""

    MODERN = "modern"
    """TLS 1.3 alone."""
    INTERMEDIATE = "intermediate"
    """TLS 1.2 and 1.3, with forward secrecy and authenticated encryption only."""


class ClientCheck(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A host whose clients show who they are by a certificate, in the TLS handshake.

    The check binds a connection to the host's name: its requests are routed by a router of its own,
    and so a client that was let in for one host gets nothing of another one.

    Attributes:
        hostname: exact; what clients say as SNI.
        router: serves the connections of this host, in place of the listener's.
        ca_pem: whom certificates must chain to.
        is_required: whether a client without any is turned away; one with a bad one always is.
        owner: the object that asked for it, where one did.
    """

    hostname: str
    router: RouterId
    ca_pem: str
    is_required: bool = True
    owner: ObjectRef | None = None


class PortCheck(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What all clients of a port have to show in the TLS handshake, whatever host they ask for.

    Attributes:
        ca_pem: whom certificates must chain to.
        is_required: whether a client without a good one is turned away; else each is let in, and
            nobody is told what it showed.
    """

    ca_pem: str
    is_required: bool = True


class TlsChallenge(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a CA is shown that offers ALPN `acme-tls/1` and asks for a host (RFC 8737, section 3).

    Nothing is served on such a connection: it ends with the handshake.
    """

    hostname: str
    certificate: CertificateId


class StreamShare(msgspec.Struct, frozen=True, gc=False):
    """A part of the connections, and where it goes.

    Attributes:
        pool: None where the backend is missing: connections are closed.
        weight: of the sum of all weights; at least 1.
    """

    pool: PoolId | None
    weight: int = 1


class Passthrough(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A host whose connections go to a pool as streams.

    Mostly its TLS is untouched: it ends at the endpoints, which have the keys.

    Attributes:
        hostname: what clients say as SNI; exact, or `*.example.com`, where `*` is one label.
        ends_tls: whether TLS ends here instead, with the certificate of the router's server name,
            and the pool gets what is in it.
        any_depth: whether `*` is one label or more instead, as in Gateway API.
        owner: the object that asked for it.
        pool: None where the backend is missing: connections are closed.
        shares: several pools by weight, in place of `pool` alone, which is one of them.
        allow: client networks; empty allows all. A denied one is refused though it is allowed.
        exceptions: names that the wildcard would take, and that belong to others.
    """

    hostname: str
    owner: ObjectRef
    pool: PoolId | None
    shares: tuple[StreamShare, ...] = ()
    ends_tls: bool = False
    any_depth: bool = False
    idle_timeout_s: float = 3600.0
    allow: tuple[Cidr, ...] = ()
    deny: tuple[Cidr, ...] = ()
    exceptions: tuple[str, ...] = ()

    @property
    def pools(self) -> tuple[PoolId, ...]:
        """All that connections go to."""
        return _pools(self.pool, self.shares)


def _pools(pool: PoolId | None, shares: Iterable[StreamShare]) -> tuple[PoolId, ...]:
    named = dict.fromkeys((pool, *(share.pool for share in shares)))
    return tuple(each for each in named if each is not None)


class ForwardHttp(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="http"):
    """Serve the virtual hosts of a router.

    Attributes:
        tls: whether TLS ends here, with the certificates of the router's server names.
        trusted_hops: proxies in front of us whose X-Forwarded-For is believed; 0 believes nobody.
        tls_policy: with which clients TLS is spoken.
        client_checks: hosts that ask for clients' certificates, sorted by name; needs `tls`.
        challenges: answers to a CA that looks just now, sorted by host; needs `tls`.
        passthroughs: hosts whose TLS does not end here, sorted by name; needs `tls`.
        cors: whether routes may say what pages of other origins may do (`Route.cors`).
        splits_names: whether hosts may say on which connections they are served
            (`VirtualHost.made_for`); needs `tls`.
        http3: whether the hosts are served over QUIC as well, on the same port; needs `tls`.
        clients: what all clients have to show; needs `tls`, and rules out `client_checks` and QUIC.
    """

    router: RouterId
    tls: bool = False
    trusted_hops: int = 0
    tls_policy: TlsPolicy = TlsPolicy.INTERMEDIATE
    client_checks: tuple[ClientCheck, ...] = ()
    challenges: tuple[TlsChallenge, ...] = ()
    passthroughs: tuple[Passthrough, ...] = ()
    cors: bool = False
    splits_names: bool = False
    http3: bool = False
    clients: PortCheck | None = None

    def router_for(self, hostname: str) -> RouterId:
        """Return the router of connections whose clients asked for a host."""
        own = (each.router for each in self.client_checks if each.hostname == hostname)
        return next(own, self.router)

    def passthrough_for(self, hostname: str) -> Passthrough | None:
        """Return what takes connections whose clients asked for a host, if TLS goes past us."""
        by_name = {each.hostname: each for each in self.passthroughs}
        if hostname in by_name:
            return by_name[hostname]
        found = by_name.get(f"*.{hostname.partition('.')[2]}")
        return None if found is None or hostname in found.exceptions else found

    @property
    def pools(self) -> tuple[PoolId, ...]:
        """Those that connections go to without a router."""
        return tuple(pool for each in self.passthroughs for pool in each.pools)

    @property
    def routers(self) -> tuple[RouterId, ...]:
        """All that are served."""
        return (self.router, *(each.router for each in self.client_checks))


class ForwardTcp(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="tcp"):
    """Pass the byte stream on to a pool.

    Attributes:
        shares: several pools by weight, in place of `pool` alone, which is one of them.
    """

    pool: PoolId
    shares: tuple[StreamShare, ...] = ()
    idle_timeout_s: float = 3600.0

    @property
    def pools(self) -> tuple[PoolId, ...]:
        """All that connections go to."""
        return _pools(self.pool, self.shares)


class ForwardUdp(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="udp"):
    """Pass datagrams on to a pool; a flow is a client's address and port.

    Attributes:
        shares: several pools by weight, in place of `pool` alone, which is one of them. Whole flows
            are shared out; those of a missing pool are dropped.
    """

    pool: PoolId
    shares: tuple[StreamShare, ...] = ()
    idle_timeout_s: float = 60.0

    @property
    def pools(self) -> tuple[PoolId, ...]:
        """All that packets go to."""
        return _pools(self.pool, self.shares)


Handler: TypeAlias = ForwardHttp | ForwardTcp | ForwardUdp


class Vip(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="vip"):
    """An address that belongs to the load balancer and is announced by it.

    Attributes:
        owners: the objects that are served on it, sorted; empty for the shared VIP of Ingresses.
    """

    address: IpAddr
    owners: tuple[ObjectRef, ...] = ()

    @property
    def id(self) -> IpAddr:
        """The address itself."""
        return self.address


class Listener(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="listener"):
    """One socket on one VIP and what is done with what arrives there.

    Attributes:
        sources: client networks that may connect; empty lets everybody in.
        accepts_proxy_protocol: every connection must begin with a PROXY header, v1 or v2.
        max_connections: at once; None is no limit of its own.
    """

    id: ListenerId
    owner: ObjectRef | None
    address: IpAddr
    port: int
    transport: Transport = Transport.TCP
    handler: Handler
    sources: tuple[Cidr, ...] = ()
    accepts_proxy_protocol: bool = False
    max_connections: int | None = None
