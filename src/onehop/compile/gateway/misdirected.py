"""Which connections a listener's hosts are served on: those that were made for it.

"HTTPS listeners on the same port": clients that reuse a connection for another name that its
certificate is valid for (RFC 9113, section 9.1.1) ask past the listener that the name belongs to.
"If another Listener has an exact match or more specific wildcard entry, the Gateway SHOULD return
a 421" (Listener.Hostname in `apis/v1/gateway_types.go`; GEP-3567). A name that no listener of the
port has is answered 404 as ever.
"""

from typing import Final

from onehop.compile.gateway.feature import why_not
from onehop.compile.gateway.gateway import GATEWAY_INTENTS, GatewayIntent
from onehop.compile.gateway.hostname import covers
from onehop.compile.gateway.parent import NAMES
from onehop.compile.router import HostKey
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.capability import Capability
from onehop.model.ident import ObjectRef, RouterId
from onehop.model.route import MadeFor


def splits_names(reader: Reader, router: RouterId) -> bool:
    """Tell whether connections to a port can be for several listeners."""
    names = reader.get(NAMES, router)
    is_split = names is not None and len(names) > 1
    return is_split and not why_not(reader, Capability.MISDIRECTED)


def _compute(reader: Reader, key: HostKey) -> Cell[MadeFor]:
    if not splits_names(reader, key.router):
        return Cell(None)
    hostname = key.hostname
    if not hostname.startswith("*"):
        return Cell(MadeFor(hostname))
    names = reader.get(NAMES, key.router) or {}
    others = sorted(name for name in names if name != hostname and covers(hostname, name))
    return Cell(MadeFor(hostname, tuple(others)))


def _listeners(_ref: ObjectRef, intent: GatewayIntent) -> set[HostKey]:
    split = {each.port for each in intent.served() if each.is_tls}
    return {intent.place(each, each.hostname).key for each in intent.named() if each.port in split}


_TLS_LISTENERS: Final = Index[ObjectRef, GatewayIntent, HostKey](
    GATEWAY_INTENTS, "tls-listener", _listeners
)
MADE_FOR: Final = Derived[HostKey, MadeFor]("made-for", _compute, (_TLS_LISTENERS,))
"""By the listener's hostname on its router."""
