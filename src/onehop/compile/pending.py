"""What owners are told of a certificate while another one is being ordered."""

from onehop.compile.ingress import TlsClaim
from onehop.compile.naming import Form, form_of
from onehop.model.certificate import CertificateDemand
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity, quoted


def ordered(form: Form, hostname: str, demand: CertificateDemand) -> str:
    """Return what becomes of a host whose first certificate is being ordered."""
    return (
        f"the certificate is being ordered from {quoted(demand.issuer)}; {hostname} has"
        f" {form.gains} as soon as it is there (onehop cert why {hostname})"
    )


def tell_pending(subject: ObjectRef, claim: TlsClaim, demand: CertificateDemand) -> Problem:
    """Return the Problem of an object whose host has no certificate yet."""
    form = form_of(subject)
    return Problem(
        subject=subject,
        field=f"{claim.field}.{form.secret}",
        reason=Reason.CERTIFICATE_PENDING,
        message=ordered(form, claim.hostname, demand),
        severity=Severity.WARNING,
    )


def tell_uncovered(
    subject: ObjectRef, claim: TlsClaim, demand: CertificateDemand | None
) -> Problem:
    """Return the Problem of an object whose host is shown a certificate for others."""
    until = " until the one that is being ordered is there" if demand is not None else ""
    return Problem(
        subject=subject,
        field=f"{claim.field}.{form_of(subject).hosts}",
        reason=Reason.CERTIFICATE_INVALID,
        message=f"the certificate in {claim.secret} is not valid for {claim.hostname}; it is shown"
        f" all the same, and clients will refuse it{until}",
        severity=Severity.WARNING,
    )
