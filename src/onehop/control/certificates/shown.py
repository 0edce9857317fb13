"""Which certificate clients see that ask for a name."""

from collections.abc import Iterator

from onehop.compile.ingress import ANY_HOST
from onehop.compile.listener import shared_listeners
from onehop.compile.options import Options
from onehop.compile.router import TLS_ROUTER
from onehop.control.served import Served
from onehop.model.certificate import ServerName
from onehop.model.listener import ForwardHttp, Passthrough
from onehop.model.model import RowKey, Table


def tls_names(hostname: str) -> Iterator[str]:
    """Yield the names that may decide what a client sees, in order; `*` is one label."""
    yield hostname
    if not hostname.startswith("*") and "." in hostname:
        yield f"*.{hostname.partition('.')[2]}"
    if hostname != ANY_HOST:
        yield ANY_HOST


def server_name_for(served: Served, hostname: str) -> ServerName | None:
    """Return what decides which certificate is shown; None where TLS handshakes fail."""
    for name in tls_names(hostname):
        row = served.row(RowKey(Table.SERVER_NAME, f"{TLS_ROUTER}/{name}"))
        if isinstance(row, ServerName):
            return row
    return None


def passthrough_for(served: Served, options: Options, hostname: str) -> Passthrough | None:
    """Return what takes connections for a host past us with their TLS, or None."""
    for wanted in shared_listeners(options):
        listener = served.listener(wanted.id)
        if listener is not None and isinstance(listener.handler, ForwardHttp):
            found = listener.handler.passthrough_for(hostname)
            if found is not None:
                return found
    return None
