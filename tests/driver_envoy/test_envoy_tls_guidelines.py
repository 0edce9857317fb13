"""What is spoken with clients is what Mozilla's guidelines list, and nothing else.

Each version, cipher suite and curve that the client's OpenSSL knows is offered alone, in a real
handshake.
"""

import datetime as dt
import ssl
import warnings
from collections.abc import Callable

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from onehop.model.certificate import SecretText
from onehop.model.listener import ForwardHttp, TlsPolicy
from onehop.model.model import Row
from onehop.model.route import Respond
from tests.driver_envoy.world import (
    HTTPS,
    Identity,
    connected,
    envoy,
    free_port,
    host,
    identity,
    listener,
    route,
    server_name,
)

pytestmark = pytest.mark.envoy

HOST = "www.example"
SUITES = {
    "ecdsa": {
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    },
    "rsa": {
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
    },
}
"""https://ssl-config.mozilla.org/guidelines/6.0.json, `intermediate`, by the kind of key."""


def rsa_identity() -> Identity:
    """Make a self-signed certificate with an RSA key."""
    shape = identity("rsa", HOST)
    key = rsa.generate_private_key(65537, 2048)
    read = x509.load_pem_x509_certificate(shape.chain_pem.encode())
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(read.subject)
        .issuer_name(read.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    chain = built.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    certificate = msgspec.structs.replace(
        shape.certificate, chain_pem=chain, key_pem=SecretText(private.decode())
    )
    return Identity(certificate, chain)


def rows(port: int, of: Identity, policy: TlsPolicy) -> tuple[Row, ...]:
    return (
        of.certificate,
        server_name(HOST, of),
        listener(port, ForwardHttp(router=HTTPS, tls=True, tls_policy=policy)),
        host(HOST, route(Respond(status=200)), router=HTTPS),
    )


async def is_agreed(port: int, offer: Callable[[ssl.SSLContext], None]) -> bool:
    """Tell whether a handshake comes to an end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is asked for
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("ALL:@SECLEVEL=0")
        offer(context)
    try:
        async with connected(port, tls=context, sni=HOST):
            return True
    except (ssl.SSLError, ConnectionError):
        return False


def only(version: ssl.TLSVersion) -> Callable[[ssl.SSLContext], None]:
    """Return what makes a client offer one version."""

    def offer(context: ssl.SSLContext) -> None:
        context.minimum_version = context.maximum_version = version

    return offer


def suite(name: str) -> Callable[[ssl.SSLContext], None]:
    """Return what makes a client offer one cipher suite of TLS 1.2."""

    def offer(context: ssl.SSLContext) -> None:
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{name}:@SECLEVEL=0")

    return offer


def curve(name: str) -> Callable[[ssl.SSLContext], None]:
    """Return what makes a client offer one elliptic curve."""
    return lambda context: context.set_ecdh_curve(name)


@pytest.mark.parametrize("kind", SUITES)
async def test_the_suites_of_tls_1_2_are_those_of_the_guidelines(kind: str) -> None:
    """All of them, and none of the others that a client could offer."""
    of = identity("ecdsa", HOST) if kind == "ecdsa" else rsa_identity()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    offered = {each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"}
    port = free_port()
    async with envoy() as world:
        await world.serve(*rows(port, of, TlsPolicy.INTERMEDIATE))
        taken = {name for name in offered if await is_agreed(port, suite(name))}

    assert len(offered) > len(SUITES[kind]) + 20
    assert taken == SUITES[kind]


async def test_versions_and_curves_are_those_of_the_guidelines() -> None:
    """TLS 1.0 and 1.1 are refused by all, 1.2 by `modern`; a curve that is not listed as well."""
    of = identity("ecdsa", HOST)
    versions = {
        ssl.TLSVersion.TLSv1: (False, False),
        ssl.TLSVersion.TLSv1_1: (False, False),
        ssl.TLSVersion.TLSv1_2: (True, False),
        ssl.TLSVersion.TLSv1_3: (True, True),
    }
    curves = {"prime256v1": True, "secp384r1": True, "secp521r1": False}
    async with envoy() as world:
        for number, policy in enumerate((TlsPolicy.INTERMEDIATE, TlsPolicy.MODERN)):
            port = free_port()
            await world.serve(*rows(port, of, policy))
            spoken = {each: await is_agreed(port, only(each)) for each in versions}
            exchanged = {each: await is_agreed(port, curve(each)) for each in curves}

            assert spoken == {each: wanted[number] for each, wanted in versions.items()}
            assert exchanged == curves
