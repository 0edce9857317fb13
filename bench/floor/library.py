"""The same by the library that certbot is made of (`acme.client`), as a yardstick others know.

It looks at authorizations and orders once a second, whatever the CA; so it says what clients are
used to, and not what is possible.
"""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from acme import messages
from acme.challenges import HTTP01
from acme.client import ClientNetwork, ClientV2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.b64 import b64decode
from josepy.jwk import JWKRSA

from bench.floor.acme import BareAcme
from onehop.acme.issuer import KeyType
from onehop.acme.key import new_key, signing_request

_BUNDLE = "REQUESTS_CA_BUNDLE"


class Library:
    """An account of the library's; what proves hosts and shows certificates is the bare one."""

    def __init__(self, directory: str, ca_file: Path, bare: BareAcme) -> None:
        self._ca_file = ca_file
        self._bare = bare
        self._key = JWKRSA(key=rsa.generate_private_key(65537, 2048))
        with self._trusting():
            network = ClientNetwork(self._key)
            self._client = ClientV2(ClientV2.get_directory(directory, network), network)
            self._client.new_account(messages.NewRegistration(terms_of_service_agreed=True))

    def issue(self, host: str) -> None:
        """Get a certificate for a host, and show it."""
        key = new_key(KeyType.ECDSA_P256)
        request = x509.load_der_x509_csr(b64decode(signing_request((host,), key)))
        with self._trusting():
            order = self._client.new_order(request.public_bytes(Encoding.PEM))
            for authorization in order.authorizations:
                challenge = next(
                    one for one in authorization.body.challenges if isinstance(one.chall, HTTP01)
                )
                answer, said = challenge.response_and_validation(self._key)
                self._bare.answers[challenge.chall.encode("token")] = said
                self._client.answer_challenge(challenge, answer)
            issued = self._client.poll_and_finalize(order)
        self._bare.show(host, str(issued.fullchain_pem), key.reveal)

    @contextlib.contextmanager
    def _trusting(self) -> Generator[None]:
        """Have the library trust the CA's server: it can be told so by the environment only."""
        before = os.environ.get(_BUNDLE)
        os.environ[_BUNDLE] = str(self._ca_file)
        try:
            yield
        finally:
            if before is None:
                del os.environ[_BUNDLE]
            else:
                os.environ[_BUNDLE] = before
