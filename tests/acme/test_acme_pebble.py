"""What CAs do that is within the protocol: reject nonces, reuse, ask for accounts, offer chains."""

from pathlib import Path

import pytest
from cryptography import x509

from onehop.acme.issuer import ExternalAccount, Issuer, KeyType
from onehop.acme.leaf import read_leaf
from onehop.model.certificate import SecretText
from tests.acme.pebble import Pebble, running_pebble
from tests.acme.proxy import Proxy, proxied
from tests.acme.responder import LiveResponder, serving
from tests.acme.world import issuer_of, tended, wish

_HMAC = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


async def test_a_ca_that_rejects_most_nonces_is_got_through(
    tmp_path: Path, responder: LiveResponder
) -> None:
    """Four nonces in five are rejected, and nothing is ordered twice (RFC 8555, section 6.5)."""
    shop = wish("shop.example.com", "www.example.com")
    with running_pebble(tmp_path, env={"PEBBLE_WFE_NONCEREJECT": "80"}) as pebble:
        ports = {"http_port": pebble.http_port, "tls_port": pebble.tls_port}
        async with (
            serving(responder, **ports),
            proxied(pebble) as proxy,
            tended([issuer_of(pebble, proxy.directory)], [shop], responder=responder) as world,
        ):
            await world.issued(shop)
            assert len(proxy.orders) == 1
            # Ten requests at least: that none is rejected happens once in ten million times.
            assert any(request.status == 400 for request in proxy.requests)


async def test_a_slow_ca_is_waited_for_without_haste(
    tmp_path: Path, responder: LiveResponder
) -> None:
    """While the CA sleeps before it looks, the authorization is looked at ever more seldom."""
    env = {"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "3"}
    shop = wish("shop.example.com")
    with running_pebble(tmp_path, env=env) as pebble:
        ports = {"http_port": pebble.http_port, "tls_port": pebble.tls_port}
        async with (
            serving(responder, **ports),
            proxied(pebble) as proxy,
            tended([issuer_of(pebble, proxy.directory)], [shop], responder=responder) as world,
        ):
            await world.issued(shop)
            assert len(proxy.orders) == 1
            assert len(proxy.of("authorization")) < 10


async def test_proven_hosts_are_not_proven_again(tmp_path: Path, responder: LiveResponder) -> None:
    """A CA that remembers a host is asked nothing of it: the second order goes straight on."""
    shop = wish("shop.example.com")
    with running_pebble(tmp_path, env={"PEBBLE_AUTHZREUSE": "100"}) as pebble:
        ports = {"http_port": pebble.http_port, "tls_port": pebble.tls_port}
        async with (
            serving(responder, **ports),
            tended([issuer_of(pebble)], [shop], responder=responder) as world,
        ):
            await world.issued(shop)
            first = world.held(shop)
            published = len(responder.published)
            assert world.engine.renew(shop.secret)
            await world.until(lambda: world.held(shop) != first)
            assert len(responder.published) == published
            assert world.held(shop).key_pem != first.key_pem


@pytest.mark.parametrize("has_account", [True, False], ids=["with", "without"])
async def test_an_external_account_is_bound_where_the_ca_wants_one(
    has_account: bool,  # noqa: FBT001  pytest's own way
    tmp_path: Path,
    responder: LiveResponder,
) -> None:
    """With its key an account is made; without, the state says what is missing."""
    config = {
        "externalAccountBindingRequired": True,
        "externalAccountMACKeys": {"kid-1": _HMAC},
    }
    bound = ExternalAccount(key_id="kid-1", hmac_key=SecretText(_HMAC)) if has_account else None
    shop = wish("shop.example.com")
    with running_pebble(tmp_path, config=config) as pebble:
        ports = {"http_port": pebble.http_port, "tls_port": pebble.tls_port}
        issuer = issuer_of(pebble, external_account=bound)
        async with (
            serving(responder, **ports),
            tended([issuer], [shop], responder=responder) as world,
        ):
            if has_account:
                await world.issued(shop)
                return
            await world.until(lambda: (s := world.state(shop)) is not None and bool(s.last_error))
            state = world.state(shop)
            assert state is not None
            assert "externalAccountRequired" in state.last_error
            assert "HMAC" in state.advice


async def test_the_preferred_chain_is_taken_where_it_is_offered(
    tmp_path: Path, responder: LiveResponder
) -> None:
    """Of several chains the one that ends below the root of that name; else the CA's own."""
    names = {"preferred_chain": wish("shop.example.com"), "none": wish("www.example.com")}
    with running_pebble(tmp_path, env={"PEBBLE_ALTERNATE_ROOTS": "2"}) as pebble:
        ports = {"http_port": pebble.http_port, "tls_port": pebble.tls_port}
        root = x509.load_pem_x509_certificate((await pebble.manage("roots/1")).encode())
        wanted = str(root.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
        async with serving(responder, **ports):
            for preferred, shop in ((wanted, names["preferred_chain"]), ("nobody", names["none"])):
                issuer = issuer_of(pebble, preferred_chain=preferred)
                async with tended([issuer], [shop], responder=responder) as world:
                    await world.issued(shop)
                    leaf = read_leaf(world.held(shop))
                    assert leaf is not None
                    assert (leaf.chain_top == wanted) == (preferred == wanted)


@pytest.mark.parametrize("kind", [KeyType.RSA_2048, KeyType.ECDSA_P384])
async def test_the_key_is_of_the_kind_that_is_wished(
    kind: KeyType, pebble: Pebble, responder: LiveResponder
) -> None:
    """The wish's key type wins over the issuer's."""
    shop = wish("shop.example.com", key_type=kind)
    async with tended([issuer_of(pebble)], [shop], responder=responder) as world:
        await world.issued(shop)
        leaf = read_leaf(world.held(shop))
        assert leaf is not None
        assert leaf.key_type is kind


async def test_a_host_that_fails_says_why_and_holds_up_nobody(
    pebble: Pebble, responder: LiveResponder
) -> None:
    """What the CA found at the host is quoted, with advice, and another try is due later."""
    bad, good = wish("bad.example.com"), wish("good.example.com")
    await pebble.set_dns("add-a", host="bad.example.com", addresses=["127.0.0.9"])
    async with tended([issuer_of(pebble)], [bad, good], responder=responder) as world:
        await world.issued(good)
        await world.until(lambda: (s := world.state(bad)) is not None and s.failures == 1)
        state = world.state(bad)
        assert state is not None
        assert state.phase == "refused"
        assert "bad.example.com: " in state.last_error
        assert "(connection)" in state.last_error
        assert "port 80" in state.advice
        assert state.order_url is None
    assert responder.is_clean


async def test_a_window_in_the_past_renews_at_once_and_says_what_it_replaces(
    pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """RFC 9773: the CA moves the window, the order names the certificate, with a new key."""
    proxy.directory_extra = {"renewalInfo": f"{proxy.url}/renewal-info"}
    shop = wish("shop.example.com")
    vault_issuer: Issuer = issuer_of(pebble, proxy.directory)
    async with tended([vault_issuer], [shop], responder=responder) as world:
        await world.issued(shop)
        first = world.held(shop)
        leaf = read_leaf(first)
    assert leaf is not None
    window = {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}
    proxy.windows[leaf.renewal_id] = {
        "suggestedWindow": window,
        "explanationURL": "https://ca.example/incident",
    }
    vault = world.vault
    async with tended([vault_issuer], [shop], vault=vault, responder=responder) as world:
        # The CA was asked once already, and said nothing: it is asked again with a fresh memory.
        await world.until(lambda: world.held(shop) != first)
        await world.issued(shop)
    assert [request.body.get("replaces") for request in proxy.orders] == [None, leaf.renewal_id]
    assert vault.secrets[shop.secret].key_pem != first.key_pem


async def test_a_foreign_secret_is_never_touched(
    pebble: Pebble, proxy: Proxy, responder: LiveResponder
) -> None:
    """Nothing is ordered for it, and the state says whose it is."""
    from onehop.acme.port import Foreign  # noqa: PLC0415  used here alone
    from tests.acme.vault import MemoryVault  # noqa: PLC0415  used here alone

    vault, shop = MemoryVault(), wish("shop.example.com")
    vault.foreign[shop.secret] = Foreign("cert-manager has it")
    async with tended(
        [issuer_of(pebble, proxy.directory)], [shop], vault=vault, responder=responder
    ) as world:
        await world.until(lambda: (s := world.state(shop)) is not None and s.phase == "foreign")
        state = world.state(shop)
        assert state is not None
        assert "cert-manager has it" in state.last_error
    assert proxy.requests == []
    assert vault.secrets == {}


async def test_a_certificate_is_revoked(pebble: Pebble, responder: LiveResponder) -> None:
    """The CA takes it back, and says so when it is asked to do it twice."""
    shop = wish("shop.example.com")
    async with tended([issuer_of(pebble)], [shop], responder=responder) as world:
        await world.issued(shop)
        assert await world.engine.revoke(shop.secret, "ca", reason=1) is None
        again = await world.engine.revoke(shop.secret, "ca", reason=1)
        assert again is not None
        assert again.kind == "alreadyRevoked"
