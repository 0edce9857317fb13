"""Whose a Secret is, and that nothing but ours is ever written."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from onehop.acme.port import Absent, Foreign, Held
from onehop.acme.quota import DAY_S, Deed, DeedKind
from onehop.acme.saved import Account, Saved
from onehop.base.errors import TransientError
from onehop.control.issuing.mark import ISSUED_BY, MANAGED_BY
from onehop.control.issuing.name import account_name, record_name
from onehop.control.issuing.secrets import ApiSecrets, secret_ref
from onehop.control.issuing.vault import SecretVault
from onehop.kube import Client
from onehop.lab.api.faults import Fault, Hang, ServerError, Throttled, Truncated
from onehop.model.certificate import SecretText
from onehop.model.ident import ObjectRef
from tests.issuing.stage import NAMESPACE, OURS, WEB_TLS, Cluster, Place

NOW = 1_800_000_000.0
BUNDLE = Held("CHAIN\n", SecretText("KEY\n"))
OTHER = Held("OTHER CHAIN\n", SecretText("OTHER KEY\n"))
TLS = {"type": "kubernetes.io/tls"}
THEIRS = {"data": {"tls.crt": b"theirs", "tls.key": b"theirs"}, **TLS}
EMPTY = {"data": {"tls.crt": b"", "tls.key": b""}, **TLS}
ACCOUNT = Account(directory="https://ca.example/dir", key_pem=SecretText("ACCOUNT KEY"))


def vault_of(client: Client) -> SecretVault:
    return SecretVault(ApiSecrets(client), NAMESPACE, NAMESPACE, now=lambda: NOW)


@pytest.fixture
def vault(client: Client) -> SecretVault:
    return vault_of(client)


def deed(at: float) -> Deed:
    return Deed(DeedKind.ORDER, "https://ca.example/dir", at, ("shop.example.com",))


async def test_a_bundle_comes_back_from_any_process(place: Place) -> None:
    """And the one that is stored later takes its place."""
    vault = SecretVault(place.process(), NAMESPACE, NAMESPACE)
    assert await vault.look(WEB_TLS) == Absent()

    assert await vault.store(WEB_TLS, BUNDLE) is None
    assert await SecretVault(place.process(), NAMESPACE, NAMESPACE).look(WEB_TLS) == BUNDLE

    assert await vault.store(WEB_TLS, OTHER) is None
    assert await vault.look(WEB_TLS) == OTHER


async def test_records_and_accounts_come_back_from_any_process(place: Place) -> None:
    """Each of its own Secret or issuer, and the newest."""
    vault = SecretVault(place.process(), NAMESPACE, NAMESPACE)
    assert await vault.load(WEB_TLS) is None
    assert await vault.load_account("ca") is None

    await vault.save_account("ca", ACCOUNT)
    for at in (1.0, 2.0, 3.0):
        await vault.save(WEB_TLS, Saved(deeds=(deed(at),)))

    other = SecretVault(place.process(), NAMESPACE, NAMESPACE)
    assert await other.load(WEB_TLS) == Saved(deeds=(deed(3.0),))
    assert await other.load(ObjectRef("Secret", "shop", "web")) is None
    assert await other.load_account("ca") == ACCOUNT
    assert await other.load_account("ca-2") is None


async def test_what_somebody_else_made_stays_as_it_is(place: Place) -> None:
    """Whatever its marks say, if it stands in the user's folder."""
    place.put_foreign(WEB_TLS, "theirs")
    store = place.process()
    vault = SecretVault(store, NAMESPACE, NAMESPACE)

    assert isinstance(await vault.look(WEB_TLS), Foreign)
    assert isinstance(await vault.store(WEB_TLS, BUNDLE), Foreign)

    found = await store.find(WEB_TLS)
    assert found is not None
    assert found.data == {"text": b"theirs"}


async def test_a_stored_secret_is_what_everybody_expects(
    cluster: Cluster, vault: SecretVault
) -> None:
    """Of type kubernetes.io/tls, with both marks; made in one write."""
    await vault.store(WEB_TLS, BUNDLE)

    secret = cluster.secret(WEB_TLS)
    assert secret["type"] == "kubernetes.io/tls"
    assert secret["data"] == {"tls.crt": "CHAIN\n", "tls.key": "KEY\n"}
    assert secret["metadata"]["labels"] == {MANAGED_BY: "onehop"}
    assert secret["metadata"]["annotations"] == {ISSUED_BY: NAMESPACE}
    assert cluster.writes == 1


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "renewed"])
async def test_a_secret_that_was_looked_at_is_stored_by_one_request(
    cluster: Cluster, vault: SecretVault, *, is_there: bool
) -> None:
    """Clients wait for it: the API itself refuses to write what is not as it was seen."""
    if is_there:
        await vault.store(WEB_TLS, OTHER)
    await vault.look(WEB_TLS)
    cluster.server.requests.clear()

    assert await vault.store(WEB_TLS, BUNDLE) is None

    assert cluster.server.requests.count(agent="onehop") == 1
    assert await vault.look(WEB_TLS) == BUNDLE


@pytest.mark.parametrize("is_there", [False, True], ids=["made", "taken over"])
async def test_what_became_somebody_elses_after_our_look_is_not_written(
    cluster: Cluster, vault: SecretVault, *, is_there: bool
) -> None:
    """However long ago we looked."""
    if is_there:
        await vault.store(WEB_TLS, OTHER)
    await vault.look(WEB_TLS)
    cluster.put_secret(WEB_TLS, **TLS, data={"tls.crt": b"theirs", "tls.key": b"theirs"})

    assert isinstance(await vault.store(WEB_TLS, BUNDLE), Foreign)

    assert cluster.secret(WEB_TLS)["data"] == {"tls.crt": "theirs", "tls.key": "theirs"}


async def test_what_is_stored_already_is_not_written_again(
    cluster: Cluster, vault: SecretVault
) -> None:
    """After a crash between the write and the note of it, nobody needs to know."""
    await vault.store(WEB_TLS, BUNDLE)
    cluster.server.requests.clear()

    assert await vault.store(WEB_TLS, BUNDLE) is None

    assert cluster.writes == 0


FOREIGN: dict[str, tuple[dict[str, Any], str]] = {
    "no marks": (THEIRS, "no label"),
    "cert-manager's": (
        {**THEIRS, "metadata": {"labels": {MANAGED_BY: "cert-manager"}}},
        "says cert-manager",
    ),
    "the label alone": ({**THEIRS, "metadata": {"labels": OURS["labels"]}}, "no annotation"),
    "the annotation alone": (
        {**THEIRS, "metadata": {"annotations": OURS["annotations"]}},
        "no label",
    ),
    "another onehop's": (
        {**THEIRS, "metadata": {**OURS, "annotations": {ISSUED_BY: "edge"}}},
        "onehop of namespace edge",
    ),
    "of another type": ({"type": "Opaque", "metadata": OURS}, "its type is Opaque"),
    "empty, but not ours": (EMPTY, "no label"),
}


@pytest.mark.parametrize("case", FOREIGN)
async def test_what_does_not_carry_both_marks_is_foreign(
    case: str, cluster: Cluster, vault: SecretVault
) -> None:
    """It is told by what that is known, and not one request to write is sent."""
    more, why = FOREIGN[case]
    cluster.put_secret(WEB_TLS, **more)
    before = cluster.secret(WEB_TLS)

    looked = await vault.look(WEB_TLS)
    stored = await vault.store(WEB_TLS, BUNDLE)

    assert isinstance(looked, Foreign)
    assert why in looked.why
    assert stored == looked
    assert cluster.secret(WEB_TLS) == before
    assert cluster.writes == 0


@pytest.mark.parametrize(
    "data",
    [
        {"tls.crt": b"", "tls.key": b""},
        {"tls.crt": b"CHAIN", "tls.key": b""},
        {"tls.crt": b"\xff\xfe", "tls.key": b"KEY"},
    ],
)
async def test_a_secret_of_ours_without_a_whole_bundle_is_absent(
    data: dict[str, bytes], cluster: Cluster, vault: SecretVault
) -> None:
    """Somebody may make it, empty, to have it filled; what else is in it stays."""
    cluster.put_secret(WEB_TLS, metadata=OURS, data=data | {"ca.crt": b"CA"}, **TLS)

    assert await vault.look(WEB_TLS) == Absent()
    assert await vault.store(WEB_TLS, BUNDLE) is None

    expected = {"tls.crt": "CHAIN\n", "tls.key": "KEY\n", "ca.crt": "CA"}
    assert cluster.secret(WEB_TLS)["data"] == expected


async def test_somebody_who_creates_it_between_our_look_and_our_write_keeps_it(
    cluster: Cluster, vault: SecretVault
) -> None:
    """The create is a conflict; the second look says whose it is."""
    cluster.once("create", lambda: cluster.put_secret(WEB_TLS, **THEIRS))

    stored = await vault.store(WEB_TLS, BUNDLE)

    assert isinstance(stored, Foreign)
    assert cluster.secret(WEB_TLS)["data"] == {"tls.crt": "theirs", "tls.key": "theirs"}


async def test_somebody_who_takes_it_over_between_our_look_and_our_write_keeps_it(
    cluster: Cluster, vault: SecretVault
) -> None:
    """The label is gone when our patch arrives, so the patch changes nothing."""
    await vault.store(WEB_TLS, BUNDLE)
    takeover = {"metadata": {"labels": {MANAGED_BY: None}}}
    cluster.once("patch", lambda: cluster.patch(WEB_TLS, takeover))

    stored = await vault.store(WEB_TLS, OTHER)

    assert isinstance(stored, Foreign)
    assert cluster.secret(WEB_TLS)["data"]["tls.crt"] == "CHAIN\n"


async def test_an_edit_of_something_else_costs_a_second_look_only(
    cluster: Cluster, vault: SecretVault
) -> None:
    """What they wrote stays, what we wrote arrives."""
    await vault.store(WEB_TLS, BUNDLE)
    edit = {"metadata": {"annotations": {"team": "shop"}}}
    cluster.once("patch", lambda: cluster.patch(WEB_TLS, edit))

    assert await vault.store(WEB_TLS, OTHER) is None

    secret = cluster.secret(WEB_TLS)
    assert secret["data"]["tls.crt"] == "OTHER CHAIN\n"
    assert secret["metadata"]["annotations"]["team"] == "shop"


async def test_a_deletion_between_our_look_and_our_write_makes_it_anew(
    cluster: Cluster, vault: SecretVault
) -> None:
    """The Ingress still asks for it."""
    await vault.store(WEB_TLS, BUNDLE)
    cluster.once("patch", lambda: cluster.remove_secret(WEB_TLS))

    assert await vault.store(WEB_TLS, OTHER) is None

    assert await vault.look(WEB_TLS) == OTHER


async def test_somebody_who_never_stops_writing_is_left_for_later(
    cluster: Cluster, vault: SecretVault
) -> None:
    """A few attempts, then the engine's own patience."""
    await vault.store(WEB_TLS, BUNDLE)
    await vault.save(WEB_TLS, Saved())
    cluster.restless(WEB_TLS, secret_ref(NAMESPACE, record_name(WEB_TLS)))

    for work in (vault.store(WEB_TLS, OTHER), vault.save(WEB_TLS, Saved(directory="new"))):
        cluster.server.requests.clear()
        with pytest.raises(TransientError, match="all the time"):
            await work
        assert cluster.writes <= 5


async def test_a_secret_that_is_being_deleted_is_waited_for(
    cluster: Cluster, vault: SecretVault
) -> None:
    """Ours or not: when it is gone, there is room for another."""
    cluster.put_secret(WEB_TLS, metadata={**OURS, "finalizers": ["example.com/hold"]}, **EMPTY)
    cluster.remove_secret(WEB_TLS)

    with pytest.raises(TransientError, match="being deleted"):
        await vault.look(WEB_TLS)
    with pytest.raises(TransientError, match="being deleted"):
        await vault.store(WEB_TLS, BUNDLE)


VERBS: dict[str, Callable[[SecretVault], Any]] = {
    "get": lambda vault: vault.look(WEB_TLS),
    "create": lambda vault: vault.store(WEB_TLS, BUNDLE),
    "list": lambda vault: vault.sweep(frozenset()),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_missing_right_is_named_in_plain_words(
    verb: str, cluster: Cluster, vault: SecretVault
) -> None:
    """With the namespace, and the file that grants it; granted, it works at once."""
    cluster.denied.add((verb, "secrets"))
    place = NAMESPACE if verb == "list" else "shop"

    with pytest.raises(TransientError) as caught:
        await VERBS[verb](vault)

    assert f"no right to {verb} secrets in namespace {place}" in str(caught.value)
    assert "deploy/rbac-acme.yaml" in str(caught.value)
    cluster.denied.clear()
    await VERBS[verb](vault)


async def test_a_namespace_that_is_not_there_is_named(vault: SecretVault) -> None:
    """Whoever makes it is not waited for in vain."""
    with pytest.raises(TransientError, match="is namespace nowhere there"):
        await vault.store(ObjectRef("Secret", "nowhere", "web-tls"), BUNDLE)


async def test_a_secret_that_may_not_change_says_so(cluster: Cluster, vault: SecretVault) -> None:
    """`immutable: true`: the API server's own words reach the owner."""
    cluster.put_secret(WEB_TLS, metadata=OURS, **EMPTY, immutable=True)

    with pytest.raises(TransientError, match="immutable"):
        await vault.store(WEB_TLS, BUNDLE)


@pytest.mark.parametrize("fault", [ServerError(), ServerError(code=503), Throttled()])
async def test_an_api_server_in_trouble_is_a_reason_to_try_again(
    fault: Fault, cluster: Cluster, vault: SecretVault
) -> None:
    """Each port, each time; and afterwards everything is as it was meant to be."""
    verbs = {"get", "create", "patch"}
    for work in (
        lambda: vault.look(WEB_TLS),
        lambda: vault.store(WEB_TLS, BUNDLE),
        lambda: vault.save(WEB_TLS, Saved(deeds=(deed(NOW),))),
        lambda: vault.save_account("ca", ACCOUNT),
    ):
        cluster.server.faults.arm(fault, "secrets", verbs=verbs, times=1)
        with pytest.raises(TransientError):
            await work()
        await work()

    assert await vault.look(WEB_TLS) == BUNDLE
    assert await vault.load(WEB_TLS) == Saved(deeds=(deed(NOW),))
    assert await vault.load_account("ca") == ACCOUNT


async def test_a_write_whose_answer_was_lost_is_found_again(
    cluster: Cluster, vault: SecretVault
) -> None:
    """A crash just after it is the same: another process looks, and finds it done."""
    for verb, work in (
        ("create", vault.store(WEB_TLS, BUNDLE)),
        ("patch", vault.store(WEB_TLS, OTHER)),
        ("create", vault.save(WEB_TLS, Saved(directory="one"))),
        ("patch", vault.save(WEB_TLS, Saved(directory="two"))),
    ):
        cluster.server.faults.arm(Truncated(), "secrets", verbs={verb}, times=1)
        with pytest.raises(TransientError):
            await work

    assert cluster.secret(WEB_TLS)["data"]["tls.crt"] == "OTHER CHAIN\n"
    assert await vault.load(WEB_TLS) == Saved(directory="two")
    await vault.save(WEB_TLS, Saved(directory="three"))
    assert await vault.load(WEB_TLS) == Saved(directory="three")


async def test_a_leader_that_lost_the_lead_writes_nothing(cluster: Cluster, client: Client) -> None:
    """It may read; the lead is asked for before each write."""
    leads = True
    store = ApiSecrets(client, lambda: leads)
    vault = SecretVault(store, NAMESPACE, NAMESPACE, now=lambda: NOW)
    await vault.save(WEB_TLS, Saved())
    cluster.server.requests.clear()

    leads = False
    for work in (
        vault.store(WEB_TLS, BUNDLE),
        vault.save(WEB_TLS, Saved(directory="x")),
        vault.save_account("ca", ACCOUNT),
    ):
        with pytest.raises(TransientError, match="does not lead"):
            await work

    assert await vault.load(WEB_TLS) == Saved()
    assert cluster.writes == 0


async def test_of_two_leaders_the_later_write_counts_and_none_is_torn(
    cluster: Cluster, vault: SecretVault
) -> None:
    """What one of them saw last is no longer so, so it looks again; both go on."""
    async with cluster.client() as another:
        other = vault_of(another)
        await vault.save(WEB_TLS, Saved(directory="one"))
        await other.save(WEB_TLS, Saved(directory="two"))
        await vault.save(WEB_TLS, Saved(directory="three"))

        assert await other.load(WEB_TLS) == Saved(directory="three")
        assert await vault.store(WEB_TLS, BUNDLE) is None
        assert await other.store(WEB_TLS, OTHER) is None
        assert await vault.look(WEB_TLS) == OTHER


async def test_a_record_costs_one_request_once_it_is_known(
    cluster: Cluster, vault: SecretVault
) -> None:
    """An order is several saves, the first of which makes it."""
    await vault.load(WEB_TLS)
    cluster.server.requests.clear()

    for number in range(5):
        await vault.save(WEB_TLS, Saved(directory=str(number)))

    assert cluster.server.requests.count(agent="onehop") == 5


async def test_a_secret_in_the_way_of_our_own_is_not_touched(
    cluster: Cluster, vault: SecretVault
) -> None:
    """Somebody else's that happens to have the name: said, and left alone."""
    for name in (account_name("ca"), record_name(WEB_TLS)):
        cluster.put_secret(secret_ref(NAMESPACE, name), data={"json": b"theirs"})

    for work in (
        vault.load_account("ca"),
        vault.save_account("ca", ACCOUNT),
        vault.load(WEB_TLS),
        vault.save(WEB_TLS, Saved()),
    ):
        with pytest.raises(TransientError, match="in our way: it has no label"):
            await work

    assert cluster.writes == 0


async def test_a_damaged_record_begins_anew(cluster: Cluster, vault: SecretVault) -> None:
    """And so does an account; the next save mends it."""
    await vault.save(WEB_TLS, Saved())
    await vault.save_account("ca", ACCOUNT)
    for name in cluster.names():
        cluster.put_secret(
            secret_ref(NAMESPACE, name), metadata=OURS, data={"json": b"{"}, type=_type(name)
        )

    assert await vault.load(WEB_TLS) is None
    assert await vault.load_account("ca") is None
    await vault.save(WEB_TLS, Saved(directory="new"))
    assert await vault.load(WEB_TLS) == Saved(directory="new")


def _type(name: str) -> str:
    return "onehop.dev/acme-account" if "account" in name else "onehop.dev/acme-record"


async def test_a_sweep_takes_records_that_nobody_needs(place: Place) -> None:
    """Not wished for, and its last deed older than any CA counts; accounts always stay."""
    now = NOW
    store = place.process()
    vault = SecretVault(store, NAMESPACE, NAMESPACE, now=lambda: now)
    old, recent, wished, idle = (ObjectRef("Secret", "shop", f"tls-{n}") for n in range(4))
    await vault.save(old, Saved(deeds=(deed(NOW - 30 * DAY_S), deed(NOW - 7 * DAY_S))))
    await vault.save(recent, Saved(deeds=(deed(NOW - 1 * DAY_S),)))
    await vault.save(wished, Saved(deeds=(deed(NOW - 30 * DAY_S),)))
    await vault.save(idle, Saved())
    await vault.save_account("ca", ACCOUNT)

    assert await vault.sweep(frozenset({wished})) == 0
    now = NOW + 2 * DAY_S
    assert await vault.sweep(frozenset({wished})) == 1
    assert await vault.load(old) is None
    assert await vault.load(recent) is not None
    now = NOW + 30 * DAY_S
    assert await vault.sweep(frozenset({wished})) == 2

    assert await vault.load(wished) is not None
    assert await vault.load_account("ca") == ACCOUNT
    await vault.save(old, Saved(directory="again"))
    assert await vault.load(old) == Saved(directory="again")


async def test_a_sweep_leaves_another_onehops_records_alone(
    cluster: Cluster, client: Client, vault: SecretVault
) -> None:
    """Should two of them ever share a namespace."""
    other = SecretVault(ApiSecrets(client), NAMESPACE, "edge", now=lambda: NOW)
    await other.save(WEB_TLS, Saved(deeds=(deed(NOW - 30 * DAY_S),)))

    assert await vault.sweep(frozenset()) == 0

    assert cluster.names() == [record_name(WEB_TLS)]


async def test_a_record_that_is_written_while_it_is_swept_stays(
    cluster: Cluster, vault: SecretVault
) -> None:
    """Somebody wished for it again in this very moment."""
    await vault.save(WEB_TLS, Saved(deeds=(deed(NOW - 30 * DAY_S),)))
    ref = secret_ref(NAMESPACE, record_name(WEB_TLS))
    edit = {"metadata": {"annotations": {"edited": "now"}}}
    cluster.once("delete", lambda: cluster.patch(ref, edit))

    assert await vault.sweep(frozenset()) == 0

    assert await vault.load(WEB_TLS) is not None


async def test_a_wait_for_an_answer_can_be_cancelled(cluster: Cluster, vault: SecretVault) -> None:
    """The engine's task can be cancelled while it waits."""
    cluster.server.faults.arm(Hang(), "secrets")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await vault.look(WEB_TLS)


@pytest.mark.parametrize("issuer", ["le", "Let's Encrypt", "a" * 300, "-x", "é"])
def test_every_name_is_one_that_kubernetes_takes(issuer: str) -> None:
    """Two that differ stay two."""
    long = ObjectRef("Secret", "n" * 63, "s" * 253)
    names = [account_name(issuer), account_name(issuer + "2"), record_name(long)]

    assert len(set(names)) == 3
    assert all(len(name) <= 253 and name == name.lower() and name.isascii() for name in names)
