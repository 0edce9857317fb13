"""HTTP/3: the UDP twin of a listener that ends TLS.

QUIC brings its own handshake, and Envoy's on-demand certificates do not work in it. So the twin has
a chain for each name, which shows one certificate (SDS): a name that comes or goes leaves the
connections of other names alone, and a renewed certificate touches no chain. Hosts that ask for
clients' certificates and hosts whose TLS is passed through are left out: their clients are not told
of HTTP/3, and one that tries it all the same is turned away by its router or finds no certificate.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from onehop.driver.envoy.cluster import BUFFER_LIMIT_BYTES
from onehop.driver.envoy.http import render_http
from onehop.driver.envoy.listener import Chain, filter_chain, socket_address
from onehop.driver.envoy.proto import Listener as ListenerMessage
from onehop.driver.envoy.proto import wrapped
from onehop.driver.envoy.secrets import SecretBook, StaticChain
from onehop.driver.envoy.tls import quic_socket, shown_by_name
from onehop.model.ident import CertificateId, ListenerId, RouterId
from onehop.model.listener import ForwardHttp, Listener
from onehop.model.model import Row

_REMEMBERED_S: Final = 3600
"""How long clients remember that there is HTTP/3 (`ma`, RFC 7838 section 3.1), so that it can be
turned off again within an hour; without any `ma` they would for a day."""


def twin_of(listener: ListenerId) -> str:
    """Return the name of a listener's twin."""
    return f"{listener}/quic"


def alt_svc(listener: Listener, router: RouterId) -> str | None:
    """Return what answers of a router say of HTTP/3 (RFC 9114, section 3.1.1), if anything.

    The routers of hosts that ask for clients' certificates say nothing.
    """
    handler = listener.handler
    if not isinstance(handler, ForwardHttp) or not handler.http3 or router != handler.router:
        return None
    return f'h3=":{listener.port}"; ma={_REMEMBERED_S}'


def quic_chains(
    handler: ForwardHttp,
    names: Iterable[StaticChain],
    http: dict[str, Any],
    shown: Callable[[CertificateId], dict[str, Any]],
) -> Iterator[Chain]:
    """Yield the chains of a twin.

    Args:
        handler: what is served.
        names: one by one, with their certificates; no name is all others.
        http: the filter that serves requests.
        shown: returns what a certificate is shown by; see `quic_socket`.
    """
    checked = {check.hostname for check in handler.client_checks}
    for each in names if handler.clients is None else ():
        if not checked.intersection(each.hostnames):
            yield Chain(each.hostnames, quic_socket(shown(each.certificate)), (http,))


def render_twin(listener: Listener, chains: Sequence[Chain]) -> Any:
    """Return the UDP listener, on the address and port of the TCP one."""
    return ListenerMessage(
        name=twin_of(listener.id),
        address=socket_address(listener, "UDP"),
        freebind=wrapped(True),
        per_connection_buffer_limit_bytes=wrapped(BUFFER_LIMIT_BYTES),
        udp_listener_config={
            "quic_options": {},
            "downstream_socket_config": {"prefer_gro": wrapped(True)},
        },
        filter_chains=[filter_chain(listener, chain) for chain in chains],
    )


class Twins:
    """Which twins are out of date: each is rendered once for a batch of names, not for each."""

    def __init__(self, access_log: str | None) -> None:
        self._access_log = access_log
        self._due: set[ListenerId] = set()

    def touch(self, row: Row) -> None:
        """Note that something about a listener, or a name that it shows, has changed."""
        if isinstance(row, Listener) and isinstance(row.handler, ForwardHttp) and row.handler.tls:
            self._due.add(row.id)

    def due(self) -> tuple[ListenerId, ...]:
        """Return the listeners whose twins are out of date, and forget them."""
        due, self._due = tuple(sorted(self._due)), set()
        return due

    def render(self, listener: Listener, secrets: SecretBook) -> Any | None:
        """Return a listener's twin, or None if it has none, or nothing to show."""
        handler = listener.handler
        if not isinstance(handler, ForwardHttp) or not handler.http3:
            return None
        http = render_http(handler, self._access_log, is_quic=True)
        names = secrets.names_of(handler.router)
        chains = list(quic_chains(handler, names, http, lambda name: shown_by_name(f"={name}")))
        return render_twin(listener, chains) if chains else None
