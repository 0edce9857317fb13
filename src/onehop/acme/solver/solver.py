"""What all solvers have in common, and the two that the load balancer itself answers."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, assert_never

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from onehop.acme.clock import Clock
from onehop.acme.issuer import Http01, KeyType, Rfc2136, SolverChoice, TlsAlpn01, Webhook
from onehop.acme.key import base64url, load_key, new_key
from onehop.acme.port import AlpnAnswer, HttpAnswer, Responder, ResponderAnswer

_ACME_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_OCTET_STRING: Final = b"\x04\x20"
"""DER: 32 bytes follow."""


class Solver(Protocol):
    """Proves one host at a time, several at once. Whatever it does may be done twice."""

    async def present(self, host: str, token: str, authorization: str) -> None:
        """Put the answer in its place, and return when the CA would find it there.

        Raises:
            TransientError: not now.
            SolverRefused: not ever like this.
        """
        ...

    async def clean(self, host: str, token: str, authorization: str) -> None:
        """Take the answer away again; raises as `present` does."""
        ...


def make_solver(choice: SolverChoice, responder: Responder, clock: Clock) -> Solver:
    """Return the solver that an issuer's configuration names."""
    match choice:
        case Http01():
            return HttpSolver(responder)
        case TlsAlpn01():
            return AlpnSolver(responder, clock)
        case Rfc2136():
            # dnspython and aiohttp are paid for by those who use them.
            from onehop.acme.solver.rfc2136 import UpdateSolver  # noqa: PLC0415

            return UpdateSolver(choice, clock)
        case Webhook():
            from onehop.acme.solver.webhook import WebhookSolver  # noqa: PLC0415

            return WebhookSolver(choice)
        case _:
            assert_never(choice)


class HttpSolver:
    """http-01 (RFC 8555, section 8.3)."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder

    async def present(self, host: str, token: str, authorization: str) -> None:
        """Have the load balancer answer, and wait until all of it does."""
        await _publish(self._responder, HttpAnswer(host=host, token=token, body=authorization))

    async def clean(self, host: str, token: str, authorization: str) -> None:
        """Have it answer no more."""
        await self._responder.withdraw(HttpAnswer(host=host, token=token, body=authorization))


class AlpnSolver:
    """tls-alpn-01 (RFC 8737)."""

    def __init__(self, responder: Responder, clock: Clock) -> None:
        self._responder = responder
        self._clock = clock
        self._shown: dict[tuple[str, str], AlpnAnswer] = {}

    async def present(self, host: str, token: str, authorization: str) -> None:
        """Have the load balancer show a certificate that says what we know."""
        answer = alpn_answer(host, authorization, now=self._clock.now())
        self._shown[host, token] = answer
        await _publish(self._responder, answer)

    async def clean(self, host: str, token: str, authorization: str) -> None:
        """Have it shown no more."""
        del authorization  # the certificate is known by host and token
        answer = self._shown.pop((host, token), None)
        if answer is not None:
            await self._responder.withdraw(answer)


def alpn_answer(host: str, authorization: str, *, now: float) -> AlpnAnswer:
    """Return a self-signed certificate with the acmeIdentifier extension (RFC 8737, section 3)."""
    pem = new_key(KeyType.ECDSA_P256)
    key = load_key(pem)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  asked for
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
    digest = hashlib.sha256(authorization.encode("ascii")).digest()
    begin = datetime.fromtimestamp(now, UTC) - timedelta(days=1)  # the CA's clock may be behind
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=8))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(
            x509.UnrecognizedExtension(_ACME_IDENTIFIER, _OCTET_STRING + digest), critical=True
        )
        .sign(key, SHA256())
    )
    chain = certificate.public_bytes(Encoding.PEM).decode("ascii")
    return AlpnAnswer(host=host, chain_pem=chain, key_pem=pem)


def txt_value(authorization: str) -> str:
    """Return what the TXT record of dns-01 says (RFC 8555, section 8.4)."""
    return base64url(hashlib.sha256(authorization.encode("ascii")).digest())


def txt_name(host: str) -> str:
    """Return where the TXT record of dns-01 stands, absolute."""
    return f"_acme-challenge.{host.removeprefix('*.')}."


async def _publish(responder: Responder, answer: ResponderAnswer) -> None:
    await responder.publish(answer)
    await responder.ready(answer)
