"""Which responders are asked.

Where to ask stands in the certificate, and certificates come from tenants: one who makes his own
could have this host send requests to wherever it may reach and he may not. So a URL is believed if
a CA that this host trusts has signed it, which then is who wrote it; or if the operator says so.
"""

import re
import ssl
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import DNSName
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from onehop.compile.extension import UNREADABLE, extension_of
from onehop.model.address import is_never_a_backend, parse_ip
from onehop.model.staple import Inquiry

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_PORTS: Final = {"http": 80, "https": 443}


def origin_of(url: str) -> str | None:
    """Return `scheme://host[:port]` of an http or https URL in lower case, or None."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.password:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    suffix = "" if port in {None, _PORTS[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{host}{suffix}"


def is_elsewhere(address: str) -> bool:
    """Tell whether an address, maybe with a zone, is neither this host nor on its link."""
    parsed = parse_ip(address.partition("%")[0])
    return parsed is not None and not is_never_a_backend(parsed)


def system_roots() -> tuple[x509.Certificate, ...]:
    """Return the CAs that this host trusts, as OpenSSL finds them; what cannot be read is not."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        files = [Path(paths.cafile)]
    elif paths.capath:
        files = sorted({entry.resolve() for entry in Path(paths.capath).iterdir()})
    else:
        files = []
    return tuple(root for file in files for root in _roots_in(file))


def _roots_in(file: Path) -> Iterator[x509.Certificate]:
    """Yield the CAs of a file one by one: distributions carry some that are not quite right."""
    try:
        pems = _PEM.findall(file.read_bytes())
    except OSError:
        return
    yield from filter(None, map(_root, pems))


def _root(pem: bytes) -> x509.Certificate | None:
    with warnings.catch_warnings():
        # Of a serial number that is not positive: the CA is old, and still trusted.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            return x509.load_pem_x509_certificate(pem)
        except UNREADABLE:
            return None


def _is_literal(host: str) -> bool:
    return ":" in host or parse_ip(host) is not None


class Trust:
    """Who may be asked.

    Args:
        responders: origins that the operator names; whatever stands behind them may be asked.
        roots: returns the CAs that this host trusts; asked once, when the first one matters.
    """

    def __init__(
        self,
        responders: tuple[str, ...] = (),
        roots: Callable[[], tuple[x509.Certificate, ...]] = tuple,
    ) -> None:
        self.responders = frozenset(responder.lower() for responder in responders)
        self._roots = roots

    @cached_property
    def _store(self) -> Store | None:
        roots = self._roots()
        return Store(list(roots)) if roots else None

    def names(self, host: str) -> bool:
        """Tell whether the operator names a responder on this host."""
        return any(urlsplit(responder).hostname == host for responder in self.responders)

    def objection(self, inquiry: Inquiry, *, now: float) -> str | None:
        """Return why a responder must not be asked, as a clause, or None; it may take a while."""
        origin = origin_of(inquiry.url)
        if origin is None:
            return "the certificate's OCSP URL is not http or https"
        if origin in self.responders:
            return None
        host = urlsplit(inquiry.url).hostname or ""
        if host == "localhost" or (_is_literal(host) and not is_elsewhere(host)):
            return f"{origin} is this host or on its link"
        if not self._has_signed(inquiry, now):
            return (
                f"this host does not trust the CA; if {origin} may be asked, name it in"
                " tls.ocspResponders of onehop.yaml"
            )
        return None

    def _has_signed(self, inquiry: Inquiry, now: float) -> bool:
        """Tell whether a CA that this host trusts stands at the end of the chain (RFC 5280)."""
        chain = x509.load_pem_x509_certificates(inquiry.chain_pem.encode("ascii"))
        name = _any_name(chain[0])
        if self._store is None or name is None:
            return False
        builder = PolicyBuilder().store(self._store).time(datetime.fromtimestamp(now, UTC))
        try:
            builder.build_server_verifier(name).verify(chain[0], chain[1:])
        except (VerificationError, *UNREADABLE):
            return False
        return True


def _any_name(leaf: x509.Certificate) -> DNSName | None:
    """Return a name that the certificate is valid for: the verifier wants to be told one."""
    names = extension_of(leaf, x509.SubjectAlternativeName)
    for name in names.get_values_for_type(DNSName) if names is not None else ():
        try:
            return DNSName(name.replace("*", "any", 1))
        except ValueError:
            continue
    return None
