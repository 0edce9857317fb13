"""What is said of certificates, as data: `onehop cert ... -o json`.

The names of the fields are a contract with whoever reads that: add to them, do not rename them.
Secrets are named as `namespace/name`, other objects as `Kind/namespace/name`, times are seconds
since the epoch.
"""

from enum import StrEnum

import msgspec

from onehop.acme.finding import Finding
from onehop.acme.state import Phase
from onehop.model.certificate import wildcard_over
from onehop.model.problem import Problem


class Standing(StrEnum):
    """How it is, in one word."""

    VALID = "valid"
    """Clients that trust its issuer accept it, and nothing is wrong."""
    ISSUING = "issuing"
    """There is none yet, and it is being seen to."""
    FAILING = "failing"
    """It could not be had or renewed, or clients will not accept it."""
    EXPIRED = "expired"
    """Its time is over, and it is shown all the same."""
    MISSING = "missing"
    """There is none, and onehop is not asked to get one."""

    @property
    def is_good(self) -> bool:
        """Whether nobody has to do anything."""
        return self in {Standing.VALID, Standing.ISSUING}


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate that the data plane has.

    Attributes:
        fingerprint: SHA-256 of the leaf, lower-case hex.
        names: the DNS names it is valid for, sorted.
        issued_by: common name of who signed the leaf.
        chain_top: common name of who signed the last certificate of the chain.
        hosts: names that clients ask for and are shown it; `*` is any that nobody has.
        uncovered: those of the hosts that it is not valid for.
    """

    fingerprint: str
    not_before: float
    not_after: float
    names: tuple[str, ...]
    key: str
    issued_by: str
    chain_top: str
    hosts: tuple[str, ...]
    uncovered: tuple[str, ...] = ()


class CertificateReport(msgspec.Struct, frozen=True, kw_only=True):
    """One Secret that holds a certificate, or shall hold one.

    Attributes:
        hosts: those it is wanted for, sorted.
        issuer: by its name in onehop.yaml; None where onehop does not make it.
        wanted_by: objects that ask for it or show it, the oldest first; `onehop.yaml` for the
            operator's default.
        shown: None while there is none.
        phase: what onehop is doing about it; None where it does nothing, or another host does.
        next: what happens next, in words.
        next_at: when; None for now, or if nothing does.
        last_error: what went wrong last, in plain words.
        advice: what the owner can do.
        failures: refusals in a row.
        renewal_page: where the CA says why it wants a renewal.
        findings: what was looked at before the first order.
        problems: of the objects, as far as they are about this.
    """

    secret: str
    hosts: tuple[str, ...]
    issuer: str | None
    wanted_by: tuple[str, ...]
    standing: Standing
    shown: Shown | None
    phase: Phase | None
    next: str
    next_at: float | None = None
    last_error: str = ""
    advice: str = ""
    failures: int = 0
    order_url: str | None = None
    renewal_page: str = ""
    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()

    def is_meant(self, name: str) -> bool:
        """Tell whether somebody who says a Secret's name, or a host, means this."""
        if "/" in name:
            return self.secret == name
        host = name.rstrip(".").lower()
        return host in self.hosts or wildcard_over(host) in self.hosts


class Leader(msgspec.Struct, frozen=True, kw_only=True):
    """Who orders certificates for all hosts of the load balancer.

    Attributes:
        name: the holder of the Lease; empty if nobody holds it, or nothing is known.
    """

    is_here: bool = True
    name: str = ""


class CertificateList(msgspec.Struct, frozen=True, kw_only=True):
    """All Secrets, sorted.

    Attributes:
        needs_leader: whether only the leader knows how some of them are doing.
    """

    now: float
    leader: Leader
    needs_leader: bool
    certificates: tuple[CertificateReport, ...]


class CertificateSummary(msgspec.Struct, frozen=True, kw_only=True):
    """All of them in a line, for `onehop status`.

    Attributes:
        failing: expired and missing ones included.
        next_end: of those that are shown; None if none is.
        next_secret: whose that is.
    """

    valid: int = 0
    issuing: int = 0
    failing: int = 0
    next_end: float | None = None
    next_secret: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of a story.

    Attributes:
        topic: `claims`, `tls`, `asked`, `problems`, `checks`, `state`, `shown`, `clients`, `next`.
        is_good: None where it is neither good nor bad.
    """

    topic: str
    says: str
    is_good: bool | None = None
    advice: str = ""


class HostStory(msgspec.Struct, frozen=True, kw_only=True):
    """How a host comes to its certificate, or why it does not.

    Attributes:
        is_good: whether clients see a certificate that is valid for the host, and it will be.
        says: the whole in one sentence.
        secret: whose certificate it is or shall be; None if there is none to be.
    """

    host: str
    is_good: bool
    says: str
    steps: tuple[Step, ...]
    secret: str | None
    leader: Leader
    needs_leader: bool


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """A name that nothing is done for.

    Attributes:
        is_fine: because nothing has to be done.
        near: what may have been meant.
    """

    name: str
    why: str
    is_fine: bool = False
    near: tuple[str, ...] = ()


class Renewal(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking for certificates.

    Attributes:
        begun: Secrets that are seen to now.
    """

    leader: Leader
    begun: tuple[str, ...] = ()
    denied: tuple[Denied, ...] = ()
