"""How a wish is doing: what `onehop cert list` and `why` will say."""

from enum import StrEnum

import msgspec

from onehop.acme.finding import Finding
from onehop.model.ident import ObjectRef


class Phase(StrEnum):
    """What is being done, or waited for."""

    WAITING = "waiting"
    """for its turn"""
    CHECKING = "checking"
    """whether the CA would find the host"""
    ORDERING = "ordering"
    """an order is being placed, or looked at again"""
    PROVING = "proving"
    """the CA is looking at the hosts"""
    ISSUING = "issuing"
    """the CA is making the certificate"""
    VALID = "valid"
    """the Secret holds what is wished; next is the renewal"""
    LIMITED = "limited"
    """a rate limit of the CA is used up"""
    REFUSED = "refused"
    """the CA or a check said no; next is another try"""
    UNAVAILABLE = "unavailable"
    """the CA, the Vault or a solver does not answer; next is another try"""
    FOREIGN = "foreign"
    """the Secret is somebody else's, and is let be"""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One wish, now.

    Attributes:
        next_at: when something is done next, seconds since the epoch; None for now.
        last_error: what went wrong last, in plain words; empty if nothing did since the last
            success. It may stand beside VALID: a renewal that fails.
        failures: refusals in a row.
        issued_not_before: of the certificate in the Secret, None if there is none of ours.
        renews_at: when that is to be renewed, if nothing changes.
        is_in_window: whether that is in the window that the CA chose (RFC 9773).
        renewal_page: where the CA explains why it wants a renewal, or empty.
    """

    secret: ObjectRef
    hosts: tuple[str, ...]
    issuer: str
    phase: Phase = Phase.WAITING
    next_at: float | None = None
    last_error: str = ""
    advice: str = ""
    failures: int = 0
    order_url: str | None = None
    issued_not_before: float | None = None
    issued_not_after: float | None = None
    fingerprint: str = ""
    renews_at: float | None = None
    is_in_window: bool = False
    renewal_page: str = ""
    findings: tuple[Finding, ...] = ()
