"""Another client than ours: the library that certbot is made of (`acme.client`)."""

import asyncio
from pathlib import Path

import pytest
from acme import messages
from acme.challenges import HTTP01
from acme.client import ClientNetwork, ClientV2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.b64 import b64decode
from josepy.jwk import JWKRSA

from onehop.acme.issuer import KeyType
from onehop.acme.key import new_key, signing_request
from onehop.lab.ca import Ca
from tests.acme.responder import LiveResponder

HOST = "shop.example.com"


def order(ca: Ca, responder: LiveResponder) -> str:
    """Get a certificate as certbot does, and return its chain."""
    key = JWKRSA(key=rsa.generate_private_key(65537, 2048))
    network = ClientNetwork(key)
    client = ClientV2(ClientV2.get_directory(ca.directory, network), network)
    client.new_account(messages.NewRegistration.from_data(email="a@example.com"))
    csr = signing_request((HOST,), new_key(KeyType.ECDSA_P256))
    request = x509.load_der_x509_csr(b64decode(csr))
    placed = client.new_order(request.public_bytes(Encoding.PEM))
    for authorization in placed.authorizations:
        (body,) = [each for each in authorization.body.challenges if isinstance(each.chall, HTTP01)]
        answer, said = body.response_and_validation(key)
        responder.http[HOST, body.chall.encode("token")] = said
        client.answer_challenge(body, answer)
    return str(client.poll_and_finalize(placed).fullchain_pem)


async def test_certbot_s_library_gets_a_certificate(
    ca: Ca, responder: LiveResponder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the engine understands is not only between the two of us."""
    root = tmp_path / "root.pem"
    root.write_text(ca.root_pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(root))
    chain = await asyncio.to_thread(order, ca, responder)
    leaf, *_ = x509.load_pem_x509_certificates(chain.encode())
    (issued,) = ca.book.issued.values()
    assert leaf == issued.leaf
