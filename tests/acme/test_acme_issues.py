"""Certificates from a real CA, by each way of proving a host."""

import pytest
from cryptography import x509

from onehop.acme.issuer import Http01, KeyType, TlsAlpn01
from onehop.acme.leaf import read_leaf
from tests.acme.pebble import Pebble
from tests.acme.responder import LiveResponder
from tests.acme.world import issuer_of, tended, wish


@pytest.mark.parametrize("solver", [Http01(), TlsAlpn01()], ids=["http-01", "tls-alpn-01"])
async def test_a_certificate_is_issued(
    pebble: Pebble, responder: LiveResponder, solver: Http01 | TlsAlpn01
) -> None:
    """The Secret gets a chain and its key, valid for all hosts; nothing stays published."""
    shop = wish("shop.example.com", "www.shop.example.com")
    issuer = issuer_of(pebble, solvers=(solver,))
    async with tended([issuer], [shop], responder=responder) as world:
        await world.issued(shop)
        leaf = read_leaf(world.held(shop))
        assert leaf is not None
        assert leaf.hosts == shop.hosts
        assert leaf.key_type is KeyType.ECDSA_P256
        state = world.state(shop)
        assert state is not None
        assert (state.last_error, state.failures) == ("", 0)
        assert state.issued_not_after == leaf.not_after
        assert responder.is_clean
        assert len(responder.published) == 2
        assert len(x509.load_pem_x509_certificates(world.held(shop).chain_pem.encode())) == 2
