"""A Pool as a backend section, and its members as servers.

The servers are not in the section's own text: they come and go by the runtime API, and are written
into the configuration only for the moment of a start or a reload (`render`). HAProxy adds a server
to a running backend only if its balancing is a dynamic one; all that are used here are.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from onehop.driver.capability import Capability
from onehop.driver.haproxy import word
from onehop.driver.haproxy.affinity import numbers_of, stick_lines, stick_to
from onehop.driver.haproxy.health import check_options, health_lines
from onehop.driver.haproxy.identity import identity_file, identity_of, identity_option
from onehop.driver.haproxy.place import Place
from onehop.driver.haproxy.retry import USUAL, Attempts, retry_lines
from onehop.driver.haproxy.share import pool_name
from onehop.driver.haproxy.support import SHORTCOMINGS
from onehop.model.endpoint import Endpoint, Path, PoolEndpoints, Readiness
from onehop.model.pool import (
    BackendProtocol,
    BackendTls,
    Balancing,
    CookiePersistence,
    HeaderPersistence,
    Pool,
    ProxyProtocol,
    SourceIpPersistence,
)

_TCP_RETRIES: Final = 3
"""Of what was never sent; nothing else is ever sent again."""

_SYSTEM: Final = "@system-ca"
"""What the host trusts, as OpenSSL finds it; read when a worker starts."""

_HEAVIEST: Final = 256
"""Of a server in HAProxy; our endpoints may weigh more."""

KEEPS_CA: Final = "keeps-ca"
"""The name of a server that never serves."""

_SAME_SITE: Final = frozenset(("", "Strict", "Lax", "None"))


class Server(NamedTuple):
    """A member of a pool as HAProxy has it.

    Attributes:
        weight: 0 for one that drains: it keeps its sessions and gets no new ones.
        options: what it is made with, and cannot be changed.
    """

    address: str
    weight: int
    options: str

    @property
    def is_checked(self) -> bool:
        """Whether HAProxy asks it whether it works."""
        return "check " in self.options

    @property
    def identity(self) -> str:
        """The file of the certificate that it is shown; empty for none."""
        return identity_of(self.options)


class Section(NamedTuple):
    """What tells the sections of a pool apart, and what each has to know besides.

    Attributes:
        attempts: when its requests are made again.
        names: of all sections of the pool.
        idle_s: the longest silence that any listener for TCP allows it.
    """

    attempts: Attempts = USUAL
    names: tuple[str, ...] = ()
    idle_s: float = 0.0


def check_pool(pool: Pool, place: Place) -> None:
    """Look whether a pool can be had.

    Raises:
        Unfit: it cannot; the message says why.
    """
    if pool.protocol is BackendProtocol.UDP:
        raise word.Unfit("HAProxy does not pass on UDP")
    list(backend_lines(pool, Section(), place))
    list(_server_options(pool, place, Path.POD))
    list(pool_files(pool, place))


def backend_lines(pool: Pool, section: Section, place: Place) -> Iterator[str]:
    """Yield the lines of a section, without servers.

    Args:
        pool: what is rendered.
        section: which of its sections.
        place: where the files are.
    """
    is_http = pool.protocol is not BackendProtocol.TCP
    yield f"mode {'http' if is_http else 'tcp'}"
    yield from _balancing(pool)
    yield from _sticking(pool, section, place)
    yield f"timeout connect {word.ms(pool.connect_timeout_s)}ms"
    yield f"timeout server {word.ms(300.0 if is_http else max(section.idle_s, 1.0))}ms"
    yield from retry_lines(section.attempts if is_http else Attempts(_TCP_RETRIES))
    if pool.tls is not None and pool.tls.is_verified:
        # A CA must be in memory before a server that needs it comes by the runtime API.
        yield f"server {KEEPS_CA} 127.0.0.1:1 disabled ssl {_verification(pool, pool.tls, place)}"
    if pool.is_transparent:
        yield "source 0.0.0.0 usesrc clientip"
    if pool.health_check is not None:
        yield from health_lines(pool.health_check)
    if pool.max_connections is not None:
        yield from _limit(pool.max_connections, section.names, is_http=is_http)
    if is_http:
        yield "timeout tunnel 300s"
        yield from _persistence(pool)
        yield "http-request allow unless { var(txn.policy) -m found }"
        for variable, timeout in (("timeout", "server"), ("tunnel", "tunnel")):
            known = f"{{ var(txn.{variable}) -m found }}"
            yield f"http-request set-timeout {timeout} var(txn.{variable}) if {known}"


def servers_of(pool: Pool, members: PoolEndpoints | None, place: Place) -> dict[str, Server]:
    """Return the servers of a pool by name; a name is bound to a socket, so sessions find it.

    Where *all* endpoints drain they get work, for a terminating Pod that still serves is better
    than none (KEP-1669).
    """
    endpoints = members.endpoints if members is not None else ()
    drains = any(each.readiness is Readiness.SERVING for each in endpoints)
    heaviest = max((each.weight for each in endpoints), default=1)
    named = members_by_name(pool, members)
    numbers = numbers_of(named) if _goes_by_address(pool) else {}
    return {
        name: Server(
            address=f"{each.address}:{int(each.port)}"
            if ":" not in each.address
            else f"[{each.address}]:{int(each.port)}",
            weight=0
            if drains and each.readiness is Readiness.DRAINING
            else _weight(each.weight, heaviest),
            options=" ".join(
                (*_number(numbers.get(name)), *_server_options(pool, place, each.path))
            ),
        )
        for name, each in named.items()
    }


def members_by_name(pool: Pool, members: PoolEndpoints | None) -> dict[str, Endpoint]:
    """Return the endpoints of a pool by what their servers are called."""
    endpoints = members.endpoints if members is not None else ()
    return {_server_name(pool, each): each for each in endpoints}


def pool_files(pool: Pool, place: Place) -> Iterable[tuple[str, str]]:
    """Yield the CA that a pool's members are held against, by path.

    Raises:
        Unfit: it is not PEM, or they shall be verified by another name.
    """
    if pool.tls is not None and not pool.tls.demands_what_it_sends:
        raise word.Unfit(SHORTCOMINGS[Capability.BACKEND_TLS_IDENTITY].words)
    if pool.tls is not None and pool.tls.ca_pem is not None:
        yield _ca_file(pool, place), word.pem(pool.tls.ca_pem)


def _server_name(pool: Pool, endpoint: Endpoint) -> str:
    """Return a name that tells where it is only to us: clients carry it in cookies."""
    kind = "s" if _is_checked(pool, endpoint.path) or pool.health_check is None else "u"
    return word.token_of(kind, f"{endpoint.address}:{endpoint.port}".encode())


def _number(number: int | None) -> Iterator[str]:
    if number is not None:
        yield f"id {number}"


def _weight(weight: int, heaviest: int) -> int:
    return weight if heaviest <= _HEAVIEST else max(1, weight * _HEAVIEST // heaviest)


def _is_checked(pool: Pool, path: Path) -> bool:
    check = pool.health_check
    return check is not None and not (check.spares_pods and path is Path.POD)


def _server_options(pool: Pool, place: Place, path: Path) -> Iterator[str]:
    speaks_h2 = pool.protocol in {BackendProtocol.H2, BackendProtocol.GRPC}
    if pool.tls is not None:
        yield "ssl"
        yield _verification(pool, pool.tls, place)
        if pool.tls.client is not None:
            yield identity_option(identity_file(pool.tls.client, place))
        if pool.tls.server_name is not None:
            name = word.host(pool.tls.server_name.lower())
            yield f"sni str({name})"
            yield f"verifyhost {name}" if pool.tls.is_verified else ""
        yield "alpn h2" if speaks_h2 else ""
    elif speaks_h2:
        yield "proto h2"
    if pool.proxy_protocol is not None:
        yield "send-proxy" if pool.proxy_protocol is ProxyProtocol.V1 else "send-proxy-v2"
    if pool.protocol is not BackendProtocol.TCP:
        # The defaults of a server in the file; one that the runtime API adds would keep none.
        yield "pool-max-conn -1 pool-purge-delay 5s"
    if pool.health_check is not None and _is_checked(pool, path):
        yield from check_options(pool, pool.health_check)


def _verification(pool: Pool, tls: BackendTls, place: Place) -> str:
    if not tls.is_verified:
        return "verify none"
    return f"verify required ca-file {_SYSTEM if tls.ca_pem is None else _ca_file(pool, place)}"


def _ca_file(pool: Pool, place: Place) -> str:
    return place.pem(word.name_of("ca", pool.id))


def _goes_by_address(pool: Pool) -> bool:
    return pool.balancing is Balancing.HASH or isinstance(pool.persistence, SourceIpPersistence)


def _balancing(pool: Pool) -> Iterator[str]:
    if _goes_by_address(pool):
        yield "balance source"
        yield "hash-type consistent"
    elif pool.balancing is Balancing.ROUND_ROBIN:
        yield "balance roundrobin"
    else:
        yield "balance leastconn"


def _sticking(pool: Pool, section: Section, place: Place) -> Iterator[str]:
    if isinstance(pool.persistence, SourceIpPersistence):
        if section.attempts == USUAL:
            yield from stick_lines(pool.persistence, place)
        else:
            yield stick_to(pool_name(pool.id))


def _limit(most: int, sections: Sequence[str], *, is_http: bool) -> Iterator[str]:
    """Yield how connections are counted, over all sections of a pool, and turned away."""
    refused = "http-request deny deny_status 503" if is_http else "tcp-request content reject"
    if len(sections) < 2:  # noqa: PLR2004  several
        yield f"{refused} if {{ be_conn gt {int(most)} }}"
        return
    first, *others = sections
    yield f"http-request set-var(txn.open) be_conn({first})"
    yield from (f"http-request set-var(txn.open) be_conn({each}),add(txn.open)" for each in others)
    yield f"{refused} if {{ var(txn.open) -m int gt {int(most)} }}"


def _persistence(pool: Pool) -> Iterator[str]:
    """Yield how a session finds its server by the server's name, which the client carries.

    HAProxy's own `cookie` wants a value on each server line, which a server that comes by the
    runtime API cannot have. A session whose server is gone gets another one and is told so.
    """
    match pool.persistence:
        case None | SourceIpPersistence():
            return
        case CookiePersistence() as kept:
            asked = f"req.cook({word.cookie(kept.name)})"
            told = f"http-response add-header set-cookie {word.quoted(_cookie(kept))}"
        case HeaderPersistence(name=name):
            asked = f"req.hdr({word.cookie(name)})"
            told = f"http-response set-header {word.header(name)} %[srv_name]"
    yield f"http-request set-var(txn.session) {asked}"
    is_same = "{ srv_name,strcmp(txn.session) eq 0 }"
    yield told + (f" unless {is_same}" if isinstance(pool.persistence, CookiePersistence) else "")
    yield "use-server %[var(txn.session)] if { var(txn.session) -m found }"


def _cookie(kept: CookiePersistence) -> str:
    if kept.same_site not in _SAME_SITE:
        raise word.Unfit(f"{kept.same_site[:20]!a} is not Strict, Lax or None")
    parts = [f"{word.literal(kept.name)}=%[srv_name]"]
    parts.append(f"Path={word.literal(word.cookie_path(kept.path))}")
    parts += [f"Max-Age={int(kept.ttl_s)}"] if kept.ttl_s is not None else []
    parts.append("HttpOnly")
    parts += ["Secure"] if kept.secure else []
    parts += [f"SameSite={kept.same_site}"] if kept.same_site else []
    return "; ".join(parts)
