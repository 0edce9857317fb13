"""What is wrong with somebody's object, said as a value."""

from enum import StrEnum
from typing import Final

import msgspec

from onehop.model.ident import ObjectRef


class Severity(StrEnum):
    """How much of the object still works."""

    WARNING = "warning"
    """Everything asked for is served but for the named detail."""
    ERROR = "error"
    """The named part of the object is not served."""


class Reason(StrEnum):
    """Why, as one greppable word; conditions, events and metrics carry it."""

    ADDRESS_CONFLICT = "AddressConflict"
    ADDRESS_IN_USE = "AddressInUse"
    ADDRESS_NOT_IN_POOL = "AddressNotInPool"
    API_FORBIDDEN = "ApiForbidden"
    API_UNAVAILABLE = "ApiUnavailable"
    BACKEND_NOT_FOUND = "BackendNotFound"
    BGP_NOT_SPOKEN = "BgpNotSpoken"
    BGP_SESSION_DOWN = "BgpSessionDown"
    CERTIFICATE_EXPIRED = "CertificateExpired"
    CERTIFICATE_EXPIRING = "CertificateExpiring"
    CERTIFICATE_INVALID = "CertificateInvalid"
    CERTIFICATE_NOT_FOUND = "CertificateNotFound"
    CERTIFICATE_REVOKED = "CertificateRevoked"
    CERTIFICATE_PENDING = "CertificatePending"
    CERTIFICATE_NOT_ISSUED = "CertificateNotIssued"
    CONFLICT = "Conflict"
    DATA_PLANE_COMPLAINS = "DataPlaneComplains"
    DATA_PLANE_EDITED = "DataPlaneEdited"
    DATA_PLANE_LEFTOVERS = "DataPlaneLeftovers"
    DATA_PLANE_REFUSED = "DataPlaneRefused"
    DATA_PLANE_UNAVAILABLE = "DataPlaneUnavailable"
    FORBIDDEN_ADDRESS = "ForbiddenAddress"
    INVALID_ANNOTATION = "InvalidAnnotation"
    INVALID_HOST = "InvalidHost"
    INVALID_OBJECT = "InvalidObject"
    INVALID_PATH = "InvalidPath"
    INVALID_SOURCE_RANGE = "InvalidSourceRange"
    ISSUER_NOT_FOUND = "IssuerNotFound"
    LIST_NOT_BELIEVED = "ListNotBelieved"
    NO_ADDRESS_POOL = "NoAddressPool"
    NO_NODE_PORT = "NoNodePort"
    NO_RETURN_PATH = "NoReturnPath"
    NOT_ATTACHED = "NotAttached"
    NOT_DIRECT = "NotDirect"
    NOT_UNIQUE = "NotUnique"
    PERSISTENCE_NOT_HELD = "PersistenceNotHeld"
    POOL_EXHAUSTED = "PoolExhausted"
    REF_NOT_PERMITTED = "RefNotPermitted"
    RESOURCE_MISSING = "ResourceMissing"
    ROUTE_HIJACKED = "RouteHijacked"
    ROUTE_MISSING = "RouteMissing"
    ROUTE_NOT_KEPT = "RouteNotKept"
    ROUTE_STALE = "RouteStale"
    STAPLE_MISSING = "StapleMissing"
    TUNNEL_NOT_KEPT = "TunnelNotKept"
    UNKNOWN_ANNOTATION = "UnknownAnnotation"
    UNREACHABLE = "Unreachable"
    UNSUPPORTED = "Unsupported"


class Problem(msgspec.Struct, frozen=True, gc=False, order=True, kw_only=True):
    """One fault in one object.

    Attributes:
        subject: the object whose owner can mend it.
        field: the path to the fault, `spec.rules[0].http.paths[1].backend`; empty for the whole.
        message: what is wrong and what to do, in one or two sentences; no secret ever.
    """

    subject: ObjectRef
    field: str = ""
    reason: Reason
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        where = f" {self.field}" if self.field else ""
        return f"{self.subject}{where}: {self.reason}: {self.message}"


_LONGEST_QUOTE: Final = 80


def quoted(text: str) -> str:
    """Return somebody's text as a message may carry it: short, printable, in quotes."""
    shown = text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "..."
    return ascii(shown)
