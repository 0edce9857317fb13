"""Asking the engine for certificates, by the names that people use."""

from collections.abc import Callable, Iterable
from typing import Final

from onehop.control.certificates.facts import CertificateFacts, certificate_id
from onehop.control.certificates.report import Denied, Renewal, Standing
from onehop.control.certificates.table import make_report
from onehop.control.explain.target import near
from onehop.model.ident import ObjectRef

_NOT_OURS: Final = "onehop does not make it; see `onehop cert why`"


def renew(
    facts: CertificateFacts,
    names: Iterable[str],
    *,
    begin: Callable[[ObjectRef], bool],
    spares_valid: bool,
) -> Renewal:
    """Get new certificates now, and return for which Secrets that has begun.

    Args:
        facts: what there is to be renewed.
        names: Secrets as `namespace/name`, or hosts; none means all that onehop makes.
        begin: has the engine see to a Secret now; False if it knows nothing of it.
        spares_valid: leave those alone that are as they should be.
    """
    if not facts.leader.is_here:
        return Renewal(leader=facts.leader)
    wanted: dict[ObjectRef, str] = {}
    denied: list[Denied] = []
    asked = tuple(names)
    if not asked:
        wanted = {secret: str(certificate_id(secret)) for secret in sorted(facts.demands)}
    for name in asked:
        found = _meant(facts, name)
        if isinstance(found, Denied):
            denied.append(found)
        else:
            wanted |= dict.fromkeys(found, name)
    begun: list[str] = []
    for secret, name in wanted.items():
        if spares_valid and make_report(facts, secret).standing is Standing.VALID:
            why = f"{certificate_id(secret)} is valid; `onehop cert renew` makes a new one"
            denied += [Denied(name=name, why=why, is_fine=True)] if asked else []
        elif begin(secret):
            begun.append(certificate_id(secret))
        else:
            why = f"{certificate_id(secret)} is not seen to yet; ask again in a moment"
            denied.append(Denied(name=name, why=why))
    return Renewal(leader=facts.leader, begun=tuple(begun), denied=tuple(denied))


def _meant(facts: CertificateFacts, name: str) -> tuple[ObjectRef, ...] | Denied:
    """Return the Secrets that a name means, of those that onehop makes."""
    if "/" in name:
        by_id = {str(certificate_id(secret)): secret for secret in facts.demands}
        if name in by_id:
            return (by_id[name],)
        others = {certificate_id(secret) for secret in facts.named}
        if name in others:
            return Denied(name=name, why=f"{name}: {_NOT_OURS}")
        return Denied(name=name, why=f"no object asks for a Secret {name}", near=near(name, by_id))
    host = name.rstrip(".").lower()
    found = tuple(secret for secret, demand in facts.demands.items() if demand.covers(host))
    if found:
        return tuple(sorted(found))
    if any(host in naming.hosts for namings in facts.named.values() for naming in namings):
        return Denied(name=name, why=f"the certificate of {name}: {_NOT_OURS}")
    hosts = {each for demand in facts.demands.values() for each in demand.hosts}
    why = f"no certificate is asked for {name}; see `onehop cert why {name}`"
    return Denied(name=name, why=why, near=near(name, hosts))
