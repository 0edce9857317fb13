"""Which certificate a client of a Gateway is shown.

"The association of SNIs to Certificate defined in ListenerTLSConfig is defined based on the
Hostname field for this listener" (Listener.TLS). Of several Secrets the first that is valid for the
hostname is shown, else the first that is good.
"""

from typing import Final

from onehop.compile.certificate import CHECKED, Checked
from onehop.compile.gateway.gateway import GATEWAY_INTENTS, GatewayIntent
from onehop.compile.gateway.hostname import ANY
from onehop.compile.gateway.listener import ListenerIntent
from onehop.compile.gateway.parent import NAMES, PARENTS
from onehop.compile.router import HostKey
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.certificate import ServerName
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Severity, quoted


def certificate_for(reader: Reader, listener: ListenerIntent) -> Checked | None:
    """Return what a listener shows, or None if none of its Secrets has a certificate."""
    good = [
        checked
        for secret in listener.certificates
        if (checked := reader.get(CHECKED, secret)) is not None and checked.certificate is not None
    ]
    return next((each for each in good if each.covers(listener.hostname)), next(iter(good), None))


def _compute(reader: Reader, key: HostKey) -> Cell[ServerName]:
    owner, name = reader.need(NAMES, key.router)[key.hostname]
    listener = next(each for each in reader.need(PARENTS, owner).listeners if each.name == name)
    problems = tuple(
        Problem(
            subject=listener.owner,
            field=f"spec.listeners[name={quoted(listener.name)}].tls.certificateRefs",
            reason=checked.fault.reason,
            message=checked.fault.message,
            severity=Severity.WARNING if checked.certificate else Severity.ERROR,
        )
        for secret in listener.certificates
        if (checked := reader.need(CHECKED, secret)).fault is not None
    )
    shown = certificate_for(reader, listener)
    if shown is None or shown.certificate is None:
        return Cell(None, problems)
    certificate = shown.certificate.id
    row = ServerName(router=key.router, hostname=key.hostname, certificate=certificate)
    return Cell(row, problems)


def _shown_hosts(_ref: ObjectRef, intent: GatewayIntent) -> set[HostKey]:
    return {
        intent.place(each, each.hostname or ANY).key for each in intent.served() if each.ends_tls
    }


_SHOWN: Final = Index[ObjectRef, GatewayIntent, HostKey](
    GATEWAY_INTENTS, "server-name", _shown_hosts
)
GATEWAY_SERVER_NAMES: Final = Derived[HostKey, ServerName](
    "gateway-server-names", _compute, (_SHOWN,)
)
