"""Which certificate clients see that ask for a name, on the shared VIP or on a Gateway."""

from collections.abc import Iterable, Iterator

from onehop.compile.gateway.hostname import names_over
from onehop.compile.ingress import ANY_HOST
from onehop.compile.listener import shared_listeners
from onehop.compile.options import Options
from onehop.compile.router import TLS_ROUTER
from onehop.control.served import Served
from onehop.model.certificate import ServerName
from onehop.model.ident import ObjectRef, RouterId
from onehop.model.listener import ForwardHttp, Passthrough
from onehop.model.model import RowKey, Table


def tls_names(hostname: str) -> Iterator[str]:
    """Yield the names that may decide what a client sees, in order; `*` is one label."""
    yield hostname
    if not hostname.startswith("*") and "." in hostname:
        yield f"*.{hostname.partition('.')[2]}"
    if hostname != ANY_HOST:
        yield ANY_HOST


def server_name_for(
    served: Served, hostname: str, router: RouterId = TLS_ROUTER
) -> ServerName | None:
    """Return what decides which certificate a router shows; None where TLS handshakes fail."""
    for name in tls_names(hostname) if router == TLS_ROUTER else names_over(hostname):
        row = served.row(RowKey(Table.SERVER_NAME, f"{router}/{name}"))
        if isinstance(row, ServerName):
            return row
    return None


def passthrough_for(
    served: Served, options: Options, gateways: Iterable[ObjectRef], hostname: str
) -> Passthrough | None:
    """Return what takes connections for a host past us with their TLS, or None."""
    shared = (wanted.id for wanted in shared_listeners(options))
    own = (name for each in gateways for name in sorted(served.listeners_of(each)))
    for name in (*shared, *own):
        listener = served.listener(name)
        if listener is not None and isinstance(listener.handler, ForwardHttp):
            found = listener.handler.passthrough_for(hostname)
            if found is not None and not found.ends_tls:
                return found
    return None
