"""What the test CA refuses, and in which words: RFC 8555, sections 6 and 7."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from josepy.b64 import b64decode
from josepy.jwa import ES384, ES512, HS256, RS256
from josepy.jwk import JWK, JWKEC, JWKRSA

from onehop.acme.port import AlpnAnswer, HttpAnswer
from onehop.acme.solver.solver import alpn_answer
from onehop.lab.ca import Ca, CaOptions, running_ca
from onehop.lab.ca.nonce import Nonces
from tests.acme.responder import LiveResponder
from tests.lab_ca.client import Client, Said, b64, client_of

HOST = "shop.example.com"


@pytest.fixture
async def client(ca: Ca) -> AsyncGenerator[Client]:
    """With an account."""
    async with client_of(ca) as one:
        assert (await one.enrol(contact=["mailto:a@example.com"])).status == 201
        yield one


async def proven(client: Client, responder: LiveResponder, *hosts: str) -> Said:
    """Return an order that is ready."""
    order = await client.order(*hosts)
    for url in order.body["authorizations"]:
        shown = await client.post(client.path(url))
        http = next(each for each in shown.body["challenges"] if each["type"] == "http-01")
        host = shown.body["identifier"]["value"]
        body = client.authorization(http["token"])
        await responder.publish(HttpAnswer(host=host, token=http["token"], body=body))
        assert (await looked(client, url, http)).body["status"] == "valid"
    found = await client.post(client.path(order.location))
    assert found.body["status"] == "ready"
    return found


async def looked(client: Client, authorization: str, challenge: dict[str, Any]) -> Said:
    """Let the CA look, and return the authorization when it has."""
    taken = await client.post(client.path(challenge["url"]), {})
    assert taken.status == 200
    while True:  # the test's own deadline is the CA's patience
        shown = await client.post(client.path(authorization))
        if shown.body["status"] != "pending":
            return shown


def csr(*hosts: str, key: Any = None, common: str = "") -> x509.CertificateSigningRequest:
    name = [x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(name))
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key or ec.generate_private_key(ec.SECP256R1()), SHA256())


def der(request: x509.CertificateSigningRequest) -> str:
    return b64(request.public_bytes(Encoding.DER))


async def test_a_nonce_is_good_for_one_request(client: Client) -> None:
    """Section 6.5: neither twice, nor made up, nor none; and the answer brings a fresh one."""
    path = client.path(client.account or "")
    nonce = await client.nonce()
    assert (await client.post(path, nonce=nonce)).status == 200
    for wrong in (nonce, "bm9uY2U", None):
        said = await client.post(path, nonce=wrong)
        assert (said.status, said.kind) == (400, "badNonce")


async def test_a_replayed_request_is_refused(client: Client) -> None:
    """The very same bytes again."""
    body = client.sign(await client.header("/new-order"), _for(HOST))
    assert (await client.send("/new-order", body)).status == 201
    again = await client.send("/new-order", body)
    assert again.kind == "badNonce"
    assert len(client.ca.book.orders) == 1


async def test_a_signature_has_to_be_the_account_s(client: Client) -> None:
    """Somebody else's key, another payload, another algorithm, half a signature."""
    body = client.sign(await client.header("/new-order"), _for(HOST))
    body["payload"] = b64(b'{"identifiers":[{"type":"dns","value":"evil.example.com"}]}')
    changed = await client.send("/new-order", body)
    client.key = JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
    other = await client.post("/new-order", _for(HOST))
    for said in (changed, other):
        assert (said.status, said.kind) == (400, "malformed")
        assert "signature" in said.body["detail"]
    assert client.ca.book.orders == {}


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES384", "RS256"])
async def test_an_algorithm_has_to_fit_the_key(client: Client, algorithm: str) -> None:
    """Section 6.2: what is taken is listed."""
    said = await client.post("/new-order", _for(HOST), alg=algorithm)
    assert said.kind == "badSignatureAlgorithm"
    assert "ES256" in said.body["algorithms"]


async def test_a_request_is_for_its_url_alone(client: Client) -> None:
    """Section 6.4: a signed newOrder that is sent elsewhere is worth nothing."""
    said = await client.post("/new-order", _for(HOST), url=f"{client.ca.url}/revoke")
    assert (said.status, said.kind) == (403, "unauthorized")


async def test_a_request_is_one_flat_signed_object(client: Client) -> None:
    """Section 6.2: content type, no unprotected header, one way to name the key, no crit."""
    good = client.sign(await client.header("/new-order"), _for(HOST))
    typed = await client.send("/new-order", good, content_type="application/json")
    headed = await client.send("/new-order", good | {"header": {}})
    bare = await client.send("/new-order", b"{")
    jwk = client.key.public_key().to_json()
    both = await client.post("/new-order", _for(HOST), jwk=jwk)
    neither = await client.post("/new-order", _for(HOST), kid=None)
    critical = await client.post("/new-order", _for(HOST), crit=["b64"])
    by_key = await client.post("/new-order", _for(HOST), kid=None, jwk=jwk)
    assert typed.status == 415
    assert {s.kind for s in (typed, headed, bare, both, neither, critical, by_key)} == {"malformed"}


async def test_accounts_are_found_changed_and_given_up(client: Client) -> None:
    """Sections 7.3.1, 7.3.2, 7.3.6: a key has one account, and none after it was deactivated."""
    account, client.account = client.account, None
    again = await client.enrol(onlyReturnExisting=True)
    assert (again.status, again.location) == (200, account)
    path = client.path(account or "")
    changed = await client.post(path, {"contact": ["mailto:b@example.com"]})
    assert changed.body["contact"] == ["mailto:b@example.com"]
    assert (await client.post(path, {"contact": ["tel:1"]})).kind == "unsupportedContact"
    assert (await client.post(path, {"contact": ["mailto:@"]})).kind == "invalidContact"
    assert (await client.post(path, {"status": "revoked"})).kind == "malformed"
    assert (await client.post(path, {"status": "deactivated"})).body["status"] == "deactivated"
    assert (await client.order(HOST)).kind == "unauthorized"
    client.account = None
    assert (await client.post("/new-account", {})).kind == "unauthorized"


async def test_unknown_keys_and_accounts_are_told_so(client: Client, ca: Ca) -> None:
    """Section 7.3: accountDoesNotExist, badPublicKey; newAccount is not signed by an account."""
    assert (await client.post("/new-account", {})).kind == "malformed"
    gone = await client.post("/new-order", _for(HOST), kid=f"{ca.url}/account/none")
    assert gone.kind == "accountDoesNotExist"
    async with client_of(ca) as other:
        assert (await other.enrol(onlyReturnExisting=True)).kind == "accountDoesNotExist"
        keys: tuple[dict[str, Any], ...] = (
            {"kty": "oct", "k": "AA"},
            {"kty": []},
            {"kty": "RSA", "n": "AA", "e": "AA"},
        )
        for jwk in keys:
            assert (await other.post("/new-account", {}, jwk=jwk)).kind == "badPublicKey"


async def test_orders_are_for_hosts_that_can_be_proven(client: Client) -> None:
    """DNS names, no wildcards; dates and profiles of the client's own are refused."""
    mail = await client.post("/new-order", {"identifiers": [{"type": "ip", "value": "192.0.2.1"}]})
    assert mail.kind == "unsupportedIdentifier"
    for host in ("*.example.com", "Shop.example.com", "a..b", "-a.example", "192.0.2.1 "):
        said = await client.order(host)
        assert said.kind == "rejectedIdentifier"
        assert said.body["identifier"] == {"type": "dns", "value": host}
    assert (await client.order()).kind == "malformed"
    assert (await client.order(HOST, notAfter="2040-01-01T00:00:00Z")).kind == "malformed"
    assert (await client.order(HOST, profile="any")).kind == "invalidProfile"
    assert (await client.order(HOST, replaces="a.b")).kind == "malformed"
    assert (await client.post("/new-order", {"identifiers": "all"})).kind == "malformed"


async def test_what_is_another_account_s_is_not_there(
    client: Client, ca: Ca, responder: LiveResponder
) -> None:
    """Orders, authorizations, challenges, certificates, accounts: one cannot even tell."""
    order = await proven(client, responder, HOST)
    done = await client.post(client.path(order.body["finalize"]), {"csr": der(csr(HOST))})
    urls = (done.location, *done.body["authorizations"], done.body["certificate"])
    async with client_of(ca) as other:
        await other.enrol()
        for url in (*urls, f"{done.body['authorizations'][0]}/http-01"):
            assert (await other.post(other.path(url))).status == 404
        assert (await other.post(other.path(client.account or ""))).kind == "unauthorized"
        assert (await other.post("/new-order", _for(HOST))).status == 201
        replaces = done.body["certificate"].rpartition("/")[2]
        assert (await other.order(HOST, replaces=replaces)).kind == "malformed"


async def test_a_token_is_answered_with_the_account_s_own_thumbprint(
    client: Client, responder: LiveResponder
) -> None:
    """http-01: what another account would answer proves nothing, and the order is dead."""
    order = await client.order(HOST)
    (url,) = order.body["authorizations"]
    shown = await client.post(client.path(url))
    http = next(each for each in shown.body["challenges"] if each["type"] == "http-01")
    wrong = f"{http['token']}.{b64(bytes(32))}"
    await responder.publish(HttpAnswer(host=HOST, token=http["token"], body=wrong))
    found = await looked(client, url, http)
    (error,) = [each["error"] for each in found.body["challenges"] if "error" in each]
    assert error["type"].endswith(":unauthorized")
    assert wrong[:20] in error["detail"]
    assert (await client.post(client.path(order.location))).body["status"] == "invalid"
    assert (await client.post(f"{client.path(client.account or '')}/orders")).body["orders"] == []


@pytest.mark.parametrize("wrong", ["host", "digest", "nobody"])
async def test_a_certificate_for_tls_alpn_01_answers_this_challenge(
    wrong: str, client: Client, responder: LiveResponder
) -> None:
    """RFC 8737, section 3: one name, the host's; the digest of this token's authorization."""
    order = await client.order(HOST)
    (url,) = order.body["authorizations"]
    shown = await client.post(client.path(url))
    alpn = next(each for each in shown.body["challenges"] if each["type"] == "tls-alpn-01")
    token = "another" if wrong == "digest" else alpn["token"]
    host = "www.example.com" if wrong == "host" else HOST
    made = alpn_answer(host, client.authorization(token), now=client.ca.now())
    if wrong != "nobody":
        await responder.publish(
            AlpnAnswer(host=HOST, chain_pem=made.chain_pem, key_pem=made.key_pem)
        )
    found = await looked(client, url, alpn)
    (error,) = [each["error"] for each in found.body["challenges"] if "error" in each]
    kinds = {"tls", "connection"} if wrong == "nobody" else {"unauthorized"}
    assert error["type"].rpartition(":")[2] in kinds


async def test_a_signing_request_is_for_the_order_s_hosts(
    client: Client, responder: LiveResponder
) -> None:
    """Section 7.4: not more, not fewer, no other kinds of names; and then it is still ready."""
    order = await proven(client, responder, HOST, "www.example.com")
    finalize = client.path(order.body["finalize"])
    odd = ec.generate_private_key(ec.SECP521R1())
    flipped = bytearray(csr(HOST, "www.example.com").public_bytes(Encoding.DER))
    flipped[-1] ^= 1
    for wrong in (
        der(csr(HOST)),
        der(csr(HOST, "www.example.com", "evil.example.com")),
        der(csr(HOST, "www.example.com", common="evil.example.com")),
        der(csr()),
        der(csr(HOST, "www.example.com", key=odd)),
        der(csr(HOST, "www.example.com", key=client.key.key._wrapped)),
        b64(bytes(flipped)),
        "AAAA",
    ):
        said = await client.post(finalize, {"csr": wrong})
        assert (said.status, said.kind) == (400, "badCSR")
    done = await client.post(finalize, {"csr": der(csr("www.example.com", HOST, common=HOST))})
    assert done.body["status"] == "valid"
    assert (await client.post(finalize, {"csr": der(csr(HOST))})).kind == "orderNotReady"


async def test_nothing_is_issued_before_all_hosts_are_proven(client: Client) -> None:
    """orderNotReady; and an authorization that is given up ends its order."""
    order = await client.order(HOST)
    finalize = client.path(order.body["finalize"])
    said = await client.post(finalize, {"csr": der(csr(HOST))})
    assert (said.status, said.kind) == (403, "orderNotReady")
    authorization = client.path(order.body["authorizations"][0])
    assert (await client.post(authorization, {"status": "valid"})).kind == "malformed"
    given_up = await client.post(authorization, {"status": "deactivated"})
    assert given_up.body["status"] == "deactivated"
    assert (await client.post(client.path(order.location))).body["status"] == "invalid"


async def test_a_certificate_is_revoked_by_who_has_it_or_its_key(
    client: Client, ca: Ca, responder: LiveResponder
) -> None:
    """Section 7.6: another account may not, the certificate's key may, without an account."""
    key = ec.generate_private_key(ec.SECP256R1())
    order = await proven(client, responder, HOST)
    await client.post(client.path(order.body["finalize"]), {"csr": der(csr(HOST, key=key))})
    (issued,) = ca.book.issued.values()
    leaf = b64(issued.leaf.public_bytes(Encoding.DER))
    async with client_of(ca) as other:
        await other.enrol()
        assert (await other.post("/revoke", {"certificate": leaf})).kind == "unauthorized"
        other.account = None
        assert (await other.post("/revoke", {"certificate": leaf})).kind == "unauthorized"
        other.key = JWKEC(key=key)
        odd = await other.post("/revoke", {"certificate": leaf, "reason": 7})
        assert odd.kind == "badRevocationReason"
        done = await other.post("/revoke", {"certificate": leaf, "reason": 4})
        assert (done.status, done.body) == (200, "")
    assert issued.revoked == 4
    assert (await client.post("/revoke", {"certificate": leaf})).kind == "alreadyRevoked"
    assert (await client.post("/revoke", {"certificate": "AAAA"})).kind == "malformed"
    root = x509.load_pem_x509_certificate(ca.root_pem.encode())
    foreign = b64(root.public_bytes(Encoding.DER))
    assert (await client.post("/revoke", {"certificate": foreign})).status == 404


async def test_a_certificate_is_replaced_once(
    client: Client, ca: Ca, responder: LiveResponder
) -> None:
    """RFC 9773, section 5: 409 the second time; and a stranger's id has no window."""
    order = await proven(client, responder, HOST)
    await client.post(client.path(order.body["finalize"]), {"csr": der(csr(HOST))})
    (first,) = ca.book.issued
    assert (await client.order("other.example.com", replaces=first)).kind == "malformed"
    renewed = await client.order(HOST, replaces=first)
    assert renewed.body["replaces"] == first
    ca.book.orders[renewed.location.rpartition("/")[2]].certificate = first
    again = await client.order(HOST, replaces=first)
    assert (again.status, again.kind) == (409, "alreadyReplaced")
    window = await client.get(f"/renewal-info/{first}")
    assert window.body["suggestedWindow"]["start"] < window.body["suggestedWindow"]["end"]
    assert (await client.get("/renewal-info/a.b")).status == 404


async def test_what_waits_too_long_is_dead(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 7.1.6: an order and an authorization that nobody proves become invalid."""
    order = await client.order(HOST)
    later: Callable[[], float] = lambda: 1e10  # noqa: E731  a clock
    monkeypatch.setattr(client.ca, "now", later)
    assert (await client.post(client.path(order.location))).body["status"] == "invalid"
    shown = await client.post(client.path(order.body["authorizations"][0]))
    assert shown.body["status"] == "invalid"


@pytest.mark.parametrize("kind", ["P-384", "P-521", "RSA"])
async def test_an_account_may_have_another_kind_of_key(kind: str, ca: Ca) -> None:
    """Each signs by the algorithm that goes with it (RFC 7518)."""
    async with client_of(ca) as one:
        match kind:
            case "P-384":
                one.key = JWKEC(key=ec.generate_private_key(ec.SECP384R1()))
                one.algorithm = ES384
            case "P-521":
                one.key = JWKEC(key=ec.generate_private_key(ec.SECP521R1()))
                one.algorithm = ES512
            case _:
                one.key = JWKRSA(key=rsa.generate_private_key(65537, 2048))
                one.algorithm = RS256
        assert (await one.enrol()).status == 201
        assert (await one.order(HOST)).status == 201


async def test_a_small_rsa_key_signs_nothing(ca: Ca) -> None:
    """Below 2048 bits anybody signs."""
    async with client_of(ca) as one:
        one.key = JWKRSA(key=rsa.generate_private_key(65537, 1024))  # noqa: S505  on purpose
        one.algorithm = RS256
        assert (await one.enrol()).kind == "badPublicKey"


async def test_a_binding_is_of_this_key_by_that_secret(options: CaOptions) -> None:
    """RFC 8555, section 7.3.4: not another key, URL, key id or HMAC key, and not nothing."""
    options = msgspec.structs.replace(options, external_accounts={"kid-1": b64(b"secret")})
    async with running_ca(options) as ca, client_of(ca) as one, client_of(ca) as other:
        url = f"{ca.url}/new-account"

        def bound(
            key: JWK = one.key, *, secret: bytes = b"secret", **changed: str
        ) -> dict[str, str]:
            header = {"alg": "HS256", "kid": "kid-1", "url": url} | changed
            protected = b64(json.dumps(header).encode())
            payload = b64(json.dumps(key.public_key().to_json()).encode())
            signature = HS256.sign(secret, f"{protected}.{payload}".encode())
            return {"protected": protected, "payload": payload, "signature": b64(signature)}

        for wrong in (
            bound(other.key),
            bound(secret=b"another"),
            bound(kid="kid-2"),
            bound(alg="ES256"),
            bound(url=f"{url}s"),
            bound(nonce="a"),
            {"protected": "a"},
        ):
            said = await one.post("/new-account", {"externalAccountBinding": wrong})
            assert said.kind == "malformed"
            assert "externalAccountBinding" in said.body["detail"]
        assert (await one.post("/new-account", {})).kind == "externalAccountRequired"
        assert (await one.enrol(externalAccountBinding=bound())).status == 201
        assert (await other.get("/directory")).body["meta"]["externalAccountRequired"] is True


async def test_a_ca_that_ends_waits_for_nobody(options: CaOptions) -> None:
    """What is being looked at is given up, and asking again does not look twice."""
    looks: list[None] = []
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        looks.append(None)
        begun.set()
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", options.http_port)
    try:
        async with asyncio.timeout(4.0):  # less than the CA's patience
            async with running_ca(options) as ca, client_of(ca) as client:
                await client.enrol()
                order = await client.order(HOST)
                url = client.path(order.body["authorizations"][0])
                for _ in range(2):
                    said = await client.post(f"{url}/http-01", {})
                    assert said.body["status"] == "processing"
                assert (await client.post(f"{url}/dns-01", {})).status == 404
                await begun.wait()
    finally:
        ended.set()
        server.close()
        await server.wait_closed()
    assert len(looks) == 1


def test_a_window_is_within_the_lifetime() -> None:
    """Options that make no sense are the caller's fault."""
    with pytest.raises(ValueError, match="renew_at"):
        CaOptions(renew_at=(0.9, 0.1))


def test_old_nonces_are_forgotten() -> None:
    """There is no end of clients that ask for nonces and never use them."""
    nonces = Nonces()
    first = nonces.new()
    last = [nonces.new() for _ in range(10_000)][-1]
    assert not nonces.use(first)
    assert nonces.use(last)


async def test_every_answer_leads_to_the_directory(client: Client) -> None:
    """Section 7.1; and the directory says what there is."""
    directory = await client.get("/directory")
    assert directory.links == f'<{client.ca.directory}>;rel="index"'
    assert set(directory.body) == {
        "newNonce", "newAccount", "newOrder", "revokeCert", "renewalInfo", "meta",
    }  # fmt: skip
    assert (await client.get("/new-nonce")).status == 204
    assert 'rel="index"' in (await client.order(HOST)).links


def _for(host: str) -> dict[str, Any]:
    return {"identifiers": [{"type": "dns", "value": host}]}


def test_the_client_of_these_tests_signs_as_others_do() -> None:
    """Its base64url carries no padding (RFC 8555, section 6.1)."""
    assert b64decode(b64(b"a")) == b"a"
    assert "=" not in b64(b"a")
