"""Listeners and VIPs: the shared ones of Ingresses, and each Service's and Gateway's own."""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.compile.allocation import PLACED_ADDRESSES, PLACED_LISTENERS
from onehop.compile.answers import ALL_CHALLENGES
from onehop.compile.backend import options_of
from onehop.compile.clientcert import CLIENT_CHECKS
from onehop.compile.gateway.placement import GATEWAY_ADDRESSES, GATEWAY_LISTENERS
from onehop.compile.gateway.plainport import PLAIN_PORT_LISTENERS
from onehop.compile.gateway.proof import with_challenges
from onehop.compile.inputs import ONLY, OPTIONS
from onehop.compile.options import Options
from onehop.compile.router import PLAIN_ROUTER, TLS_ROUTER
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.tlsowner import ALL_PASSTHROUGHS
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, challenged
from onehop.model.ident import ListenerId
from onehop.model.listener import ForwardHttp, Listener, TlsChallenge, Vip


def shared_listeners(options: Options) -> Iterator[Listener]:
    """Yield the HTTP and HTTPS listeners of the shared VIP, of each of its families."""
    for address in options.shared:
        for name, port, router, tls in (
            ("http", options.http_port, PLAIN_ROUTER, False),
            ("https", options.https_port, TLS_ROUTER, True),
        ):
            yield Listener(
                id=ListenerId(f"{name}@{address}"),
                owner=None,
                address=address,
                port=port,
                handler=ForwardHttp(
                    router=router,
                    tls=tls,
                    trusted_hops=options.trusted_hops,
                    tls_policy=options.tls_policy,
                    http3=tls and options.http3,
                ),
                accepts_proxy_protocol=options.shared_accepts_proxy_protocol,
            )


def _listener(reader: Reader, listener: ListenerId) -> Cell[Listener]:
    for index in (PLACED_LISTENERS, GATEWAY_LISTENERS):
        placement = reader.any(index, listener)
        if placement is not None:
            own = next(item for item in placement.listeners if item.id == listener)
            return Cell(with_challenges(reader, own) if index is GATEWAY_LISTENERS else own)
    opened = reader.any(PLAIN_PORT_LISTENERS, listener)
    if opened is not None:
        return Cell(opened.listener)
    shared = shared_listeners(options_of(reader))
    found = next((item for item in shared if item.id == listener), None)
    return Cell(with_handshakes(reader, found) if found is not None else None)


def with_handshakes(reader: Reader, listener: Listener) -> Listener:
    """Return the listener with what depends on the handshake, if it ends TLS.

    These are the hosts that ask for clients' certificates, those that a CA looks at just now, and
    those whose TLS is passed through.
    """
    handler = listener.handler
    if not isinstance(handler, ForwardHttp) or not handler.tls:
        return listener
    checks = (item.check for item in reader.where(CLIENT_CHECKS, ONLY))
    shown = reader.where(ALL_CHALLENGES, ONLY)
    return msgspec.structs.replace(
        listener,
        handler=msgspec.structs.replace(
            handler,
            client_checks=tuple(check for check in checks if check is not None),
            challenges=tuple(map(_challenge, shown)),
            passthroughs=reader.where(ALL_PASSTHROUGHS, ONLY),
        ),
    )


def _challenge(shown: Certificate) -> TlsChallenge:
    return TlsChallenge(hostname=challenged(shown.id), certificate=shown.id)


def _vip(reader: Reader, address: IpAddr) -> Cell[Vip]:
    placements = (
        *reader.unordered(PLACED_ADDRESSES, address),
        *reader.unordered(GATEWAY_ADDRESSES, address),
    )
    owners = {p.listeners[0].owner for p in placements}
    return Cell(Vip(address=address, owners=tuple(sorted(o for o in owners if o is not None))))


SHARED_LISTENERS: Final = Index[tuple[()], Options, ListenerId](
    OPTIONS, "listener", lambda _, options: [item.id for item in shared_listeners(options)]
)
SHARED_ADDRESSES: Final = Index[tuple[()], Options, IpAddr](
    OPTIONS, "address", lambda _, options: options.shared
)
LISTENERS: Final = Derived[ListenerId, Listener](
    "listeners",
    _listener,
    (PLACED_LISTENERS, GATEWAY_LISTENERS, PLAIN_PORT_LISTENERS, SHARED_LISTENERS),
)
VIPS: Final = Derived[IpAddr, Vip](
    "vips", _vip, (PLACED_ADDRESSES, GATEWAY_ADDRESSES, SHARED_ADDRESSES)
)
