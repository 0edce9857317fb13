"""The built-in ACME client gets from the test CA what it gets from any other."""

import ssl
import time

import aiohttp
import msgspec
import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from onehop.acme.issuer import ExternalAccount, Http01, Issuer, KeyType, TlsAlpn01
from onehop.acme.leaf import read_leaf
from onehop.acme.saved import decode_saved, encode_saved
from onehop.acme.state import State
from onehop.lab.ca import Ca, CaOptions, Profile, running_ca
from onehop.model.certificate import SecretText
from tests.acme.responder import LiveResponder, serving
from tests.acme.world import tended, wish

_HMAC = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@pytest.mark.parametrize("solver", [Http01(), TlsAlpn01()], ids=["http-01", "tls-alpn-01"])
async def test_a_certificate_for_several_hosts_is_issued(
    ca: Ca, issuer: Issuer, responder: LiveResponder, solver: Http01 | TlsAlpn01
) -> None:
    """It leads to the root, is for all hosts, and says in its issuer that it is a test's."""
    shop = wish("shop.example.com", "www.shop.example.com")
    issuer = msgspec.structs.replace(issuer, solvers=(solver,))
    async with tended([issuer], [shop], responder=responder) as world:
        await world.issued(shop)
        chain = x509.load_pem_x509_certificates(world.held(shop).chain_pem.encode())
        leaf = read_leaf(world.held(shop))
    assert leaf is not None
    assert leaf.hosts == shop.hosts
    assert "trust it nowhere else" in chain[0].issuer.rfc4514_string()
    assert responder.is_clean
    root = x509.load_pem_x509_certificate(ca.root_pem.encode())
    verifier = PolicyBuilder().store(Store([root]))
    for host in shop.hosts:
        found = verifier.build_server_verifier(x509.DNSName(host)).verify(chain[0], chain[1:])
        assert found[-1] == root


async def test_the_ca_s_own_server_is_known_by_the_same_root(ca: Ca) -> None:
    """One file to trust: `curl --cacert` and the issuer's `ca` take the same."""
    context = ssl.create_default_context(cadata=ca.root_pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # Python's default from 3.13 on
    (root,) = context.get_ca_certs()
    assert root["subject"] == ((("commonName", "onehop test root, trust it nowhere else"),),)
    async with aiohttp.ClientSession() as http, http.get(ca.directory, ssl=context) as response:
        assert response.status == 200


async def test_the_window_of_the_ca_renews(
    ca: Ca, issuer: Issuer, responder: LiveResponder
) -> None:
    """RFC 9773: moved into the past, it renews at once, and the order says what it replaces."""
    shop = wish("shop.example.com")
    async with tended([issuer], [shop], responder=responder) as world:
        await world.issued(shop)
        first, vault = world.held(shop), world.vault
    (before,) = ca.book.issued.values()
    ca.suggest(before.id, time.time() - 20, time.time() - 10)
    saved = decode_saved(vault.records[shop.secret])
    assert saved is not None
    # The CA was asked a moment ago, and is asked again only by who does not know.
    vault.records[shop.secret] = encode_saved(msgspec.structs.replace(saved, window=None))
    async with tended([issuer], [shop], vault=vault, responder=responder) as world:
        await world.until(lambda: world.held(shop) != first)
        await world.issued(shop)
    _, second = ca.book.orders.values()
    assert second.replaces == before.id
    assert before.successor == second.id


async def test_a_certificate_is_revoked_once(
    ca: Ca, issuer: Issuer, responder: LiveResponder
) -> None:
    """The reason is kept; the second time is refused."""
    shop = wish("shop.example.com")
    async with tended([issuer], [shop], responder=responder) as world:
        await world.issued(shop)
        assert await world.engine.revoke(shop.secret, "ca", reason=1) is None
        again = await world.engine.revoke(shop.secret, "ca", reason=1)
    assert again is not None
    assert again.kind == "alreadyRevoked"
    assert [issued.revoked for issued in ca.book.issued.values()] == [1]


@pytest.mark.parametrize("kind", [KeyType.RSA_2048, KeyType.ECDSA_P384])
async def test_other_kinds_of_keys_are_taken(
    kind: KeyType, ca: Ca, issuer: Issuer, responder: LiveResponder
) -> None:
    """RSA of 2048 bits, P-384."""
    shop = wish("shop.example.com", key_type=kind)
    async with tended([issuer], [shop], responder=responder) as world:
        await world.issued(shop)
        leaf = read_leaf(world.held(shop))
    assert leaf is not None
    assert leaf.key_type is kind
    assert len(ca.book.issued) == 1


@pytest.mark.parametrize("solver", [Http01(), TlsAlpn01()], ids=["http-01", "tls-alpn-01"])
async def test_nobody_at_the_host_is_said_so(
    options: CaOptions, solver: Http01 | TlsAlpn01
) -> None:
    """The CA really looks: without a load balancer there is no certificate."""
    shop = wish("shop.example.com")
    async with running_ca(options) as ca:
        issuer = Issuer(name="ca", directory=ca.directory, ca_pem=ca.root_pem, solvers=(solver,))
        async with tended([issuer], [shop]) as world:
            await world.until(lambda: (s := world.state(shop)) is not None and s.failures == 1)
            state = world.state(shop)
        assert state is not None
        assert "(connection)" in state.last_error
        assert ca.book.issued == {}


@pytest.mark.parametrize("has_account", [True, False], ids=["with", "without"])
async def test_an_external_account_is_asked_for_where_it_is_wanted(
    has_account: bool,  # noqa: FBT001  pytest's own way
    options: CaOptions,
    responder: LiveResponder,
) -> None:
    """RFC 8555, section 7.3.4: bound by the right HMAC key, refused without."""
    options = msgspec.structs.replace(options, external_accounts={"kid-1": _HMAC})
    bound = ExternalAccount(key_id="kid-1", hmac_key=SecretText(_HMAC)) if has_account else None
    shop = wish("shop.example.com")
    async with (
        serving(responder, http_port=options.http_port, tls_port=options.tls_port),
        running_ca(options) as ca,
    ):
        issuer = Issuer(
            name="ca", directory=ca.directory, ca_pem=ca.root_pem, external_account=bound
        )
        async with tended([issuer], [shop], responder=responder) as world:
            if has_account:
                await world.issued(shop)
            else:
                await world.until(
                    lambda: (s := world.state(shop)) is not None and s.phase == "refused"
                )
                state = world.state(shop)
                assert state is not None
                assert "externalAccountRequired" in state.last_error
        bindings = [account.external for account in ca.book.accounts.values()]
        assert bindings == (["kid-1"] if has_account else [])


@pytest.mark.parametrize("profile", ["short", "long"])
async def test_a_profile_says_how_long_a_certificate_lives(
    profile: str, options: CaOptions, responder: LiveResponder
) -> None:
    """As the directory lists them; one that it does not list is refused."""
    short = Profile("for people who watch", 3600.0)
    options = msgspec.structs.replace(options, profiles={"short": short})
    shop = wish("shop.example.com")
    async with (
        serving(responder, http_port=options.http_port, tls_port=options.tls_port),
        running_ca(options) as ca,
    ):
        issuer = Issuer(name="ca", directory=ca.directory, ca_pem=ca.root_pem, profile=profile)
        async with tended([issuer], [shop], responder=responder) as world:
            await world.until(lambda: _is_decided(world.state(shop)))
            state = world.state(shop)
        assert state is not None
        if profile == "long":
            assert "invalidProfile" in state.last_error
            return
        assert state.issued_not_after is not None
        assert state.issued_not_before is not None
        assert state.issued_not_after - state.issued_not_before == 3599


def _is_decided(state: State | None) -> bool:
    return state is not None and state.phase in {"valid", "refused"}
