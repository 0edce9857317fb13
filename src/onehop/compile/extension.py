"""What certificates say of themselves.

They come from tenants' Secrets, and nobody has checked the inside: an extension that stands there
twice, or cannot be read, is as good as none.
"""

from typing import TypeVar

from cryptography import x509

E = TypeVar("E", bound=x509.ExtensionType)


def extension_of(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """Return an extension, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (
        ValueError,
        x509.DuplicateExtension,
        x509.ExtensionNotFound,
        x509.UnsupportedGeneralNameType,
    ):
        return None
