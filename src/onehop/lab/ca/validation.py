"""Looking whether a host is whose it is said to be: http-01, tls-alpn-01.

RFC 8555 (section 8.3) and RFC 8737 say what is to be found.

A real CA asks DNS where a host is, takes ports 80 and 443, and looks from several places. This one
connects to the target and the ports that it was told, as Pebble does.
"""

import asyncio
import contextlib
import hashlib
import ssl
from http import HTTPStatus
from typing import Final, assert_never
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec
from cryptography import x509
from cryptography.x509 import DNSName, ObjectIdentifier, SubjectAlternativeName

from onehop.lab.ca.book import ChallengeType
from onehop.lab.ca.option import CaOptions
from onehop.lab.ca.refusal import Refused, unauthorized

_REDIRECTS: Final = 10
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_LONGEST: Final = 65_536
_QUOTED: Final = 60
_ALPN: Final = "acme-tls/1"
_ACME_IDENTIFIER: Final = ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_OCTETS_32: Final = b"\x04\x20"
"""DER: an OCTET STRING of 32 octets."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be found at a host.

    Attributes:
        thumbprint: of the account's key.
    """

    host: str
    token: str
    thumbprint: str

    @property
    def authorization(self) -> str:
        """The key authorization (RFC 8555, section 8.1)."""
        return f"{self.token}.{self.thumbprint}"


async def look(kind: ChallengeType, expected: Expected, options: CaOptions) -> None:
    """Return if the host shows what it should.

    Raises:
        Refused: it does not; with what was found instead.
    """
    try:
        async with asyncio.timeout(options.patience_s):
            match kind:
                case "http-01":
                    await _look_http(expected, options)
                case "tls-alpn-01":
                    await _look_alpn(expected, options)
                case _:
                    assert_never(kind)
    except TimeoutError as err:
        detail = f"{expected.host}: no answer within {options.patience_s:.0f} s"
        raise Refused("connection", detail) from err


async def _look_http(expected: Expected, options: CaOptions) -> None:
    url = f"http://{expected.host}/.well-known/acme-challenge/{expected.token}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        for _ in range(_REDIRECTS):
            found = await _get(http, url, options)
            if isinstance(found, bytes):
                break
            url = urljoin(url, found)
        else:
            raise Refused("connection", f"{expected.host}: more than {_REDIRECTS} redirects")
    # Section 8.3: trailing whitespace does no harm.
    if found.rstrip() != expected.authorization.encode("ascii"):
        said = found[:_QUOTED].decode("ascii", errors="replace")
        raise unauthorized(f"{url} says {said!r}, not {expected.authorization!r}")


async def _get(http: aiohttp.ClientSession, url: str, options: CaOptions) -> bytes | str:
    """GET from the target what a URL means; a string is where a redirect leads."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or parts.hostname is None:
        raise Refused("connection", f"{url!r}: a redirect leads to http or https only")
    port = options.tls_port if parts.scheme == "https" else options.http_port
    place = f"[{options.target}]" if ":" in options.target else options.target
    there = f"{parts.scheme}://{place}:{port}{parts.path}" + f"?{parts.query}" * bool(parts.query)
    try:
        async with http.get(
            there,
            headers={"Host": parts.hostname, "User-Agent": "onehop-test-ca"},
            allow_redirects=False,
            # Section 8.3: whose certificate a redirect meets does not matter.
            ssl=False,
            server_hostname=parts.hostname if parts.scheme == "https" else None,
        ) as response:
            if response.status in _MOVED and "Location" in response.headers:
                return response.headers["Location"]
            if response.status != HTTPStatus.OK:
                raise unauthorized(f"{url} answers {response.status}")
            return await _read(response)
    except (aiohttp.ClientError, ValueError) as err:
        detail = f"{parts.hostname}: GET {there}: {err or type(err).__name__}"
        raise Refused("connection", detail) from err


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read as much as a key authorization and a rest to quote need, whatever comes after."""
    found = b""
    async for part in response.content.iter_chunked(_LONGEST):
        found += part
        if len(found) > _LONGEST:
            break
    return found


async def _look_alpn(expected: Expected, options: CaOptions) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is self-signed, and checked below
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([_ALPN])
    try:
        _, writer = await asyncio.open_connection(
            options.target, options.tls_port, ssl=context, server_hostname=expected.host
        )
    except ssl.SSLError as err:
        raise Refused("tls", f"{expected.host}: {err}") from err
    except OSError as err:
        raise Refused("connection", f"{expected.host}: {err}") from err
    try:
        session = writer.get_extra_info("ssl_object")
        shown, protocol = session.getpeercert(binary_form=True), session.selected_alpn_protocol()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if protocol != _ALPN:
        raise unauthorized(f"{expected.host} does not speak {_ALPN}")
    _check_shown(shown, expected)


def _check_shown(der: bytes, expected: Expected) -> None:
    """Refuse a certificate that does not say what RFC 8737 (section 3) wants it to."""
    try:
        extensions = x509.load_der_x509_certificate(der).extensions
        names = extensions.get_extension_for_class(SubjectAlternativeName).value
        proof = extensions.get_extension_for_oid(_ACME_IDENTIFIER)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as err:
        raise unauthorized(f"{expected.host} shows another certificate: {err}") from err
    if list(names) != [DNSName(expected.host)]:
        raise unauthorized(f"{expected.host}: the certificate is for {names}")
    digest = hashlib.sha256(expected.authorization.encode("ascii")).digest()
    if not proof.critical or proof.value.public_bytes() != _OCTETS_32 + digest:
        raise unauthorized(f"{expected.host}: the certificate answers another challenge")
