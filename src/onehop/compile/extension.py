"""What certificates say of themselves.

They come from tenants' Secrets, and nobody has checked the inside: an extension that stands there
twice, or cannot be read, is as good as none. What `cryptography` raises while it reads is more than
ValueError, and follows from no common class.
"""

from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

E = TypeVar("E", bound=x509.ExtensionType)

UNREADABLE: Final = (
    ValueError,
    TypeError,
    KeyError,  # a TLS feature of an unknown number
    OverflowError,  # a negative serial number
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What reading a certificate may raise."""


def extension_of(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """Return an extension, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (*UNREADABLE, x509.ExtensionNotFound):
        return None
