"""Which certificate a client of a Gateway is shown.

"The association of SNIs to Certificate defined in ListenerTLSConfig is defined based on the
Hostname field for this listener" (Listener.TLS). Of several Secrets the first that is valid for the
hostname is shown, else the first that is good.
"""

from collections.abc import Iterator
from typing import Final

from onehop.compile.certificate import CHECKED, Checked
from onehop.compile.demand import DEMANDS
from onehop.compile.gateway.gateway import GATEWAY_INTENTS, GatewayIntent
from onehop.compile.gateway.hostname import ANY
from onehop.compile.gateway.listener import ListenerIntent
from onehop.compile.gateway.parent import NAMES, PARENTS
from onehop.compile.ingress import TlsClaim
from onehop.compile.naming import entry_of, form_of
from onehop.compile.pending import tell_pending, tell_uncovered
from onehop.compile.router import HostKey
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.certificate import CertificateDemand, ServerName
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Severity


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
    problems = [
        problem for secret in listener.certificates for problem in _faults(reader, listener, secret)
    ]
    shown = certificate_for(reader, listener)
    if shown is None or shown.certificate is None:
        return Cell(None, tuple(problems))
    if not shown.covers(listener.hostname):
        problems += _until_ordered(reader, listener)
    certificate = shown.certificate.id
    row = ServerName(router=key.router, hostname=key.hostname, certificate=certificate)
    return Cell(row, tuple(problems))


def demand_for(
    reader: Reader, listener: ListenerIntent, secret: ObjectRef
) -> CertificateDemand | None:
    """Return the order by which a Secret gets a certificate for a listener, or None."""
    demand = reader.get(DEMANDS, secret)
    return demand if demand is not None and demand.covers(listener.hostname) else None


def _faults(reader: Reader, listener: ListenerIntent, secret: ObjectRef) -> Iterator[Problem]:
    checked, demand = reader.need(CHECKED, secret), demand_for(reader, listener, secret)
    claim = TlsClaim(listener.hostname, secret, entry_of(listener.name))
    if demand is not None and checked.is_missing:
        yield tell_pending(listener.owner, claim, demand)
    elif checked.fault is not None:
        yield Problem(
            subject=listener.owner,
            field=f"{claim.field}.{form_of(listener.owner).secret}",
            reason=checked.fault.reason,
            message=checked.fault.message,
            severity=Severity.WARNING if checked.certificate else Severity.ERROR,
        )


def _until_ordered(reader: Reader, listener: ListenerIntent) -> Iterator[Problem]:
    """Tell that clients refuse what is shown until its Secret has what is ordered."""
    for secret in listener.certificates:
        demand = demand_for(reader, listener, secret)
        if demand is not None and not reader.need(CHECKED, secret).is_missing:
            claim = TlsClaim(listener.hostname, secret, entry_of(listener.name))
            yield tell_uncovered(listener.owner, claim, demand)


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
