"""Limits, waits, windows and words: what needs no CA to be tested."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.acme.backoff import BackoffTimes, before_look_s
from onehop.acme.caa import Asker, CaaRecord, forbidden_by
from onehop.acme.issuer import CertificateWish, Issuer
from onehop.acme.leaf import Leaf
from onehop.acme.protocol.pause import read_retry_after
from onehop.acme.quota import LETS_ENCRYPT, Deed, DeedKind, first_hold, registered_domain
from onehop.acme.refusal import Refusal, printable
from onehop.acme.renewal import ask_again_after, due_at
from onehop.acme.saved import Saved, Window, decode_saved, encode_saved
from onehop.model.ident import ObjectRef

NOW = 1_800_000_000.0
DAY_S = 86400.0


def leaf_of(days: float, fingerprint: str = "8" * 64) -> Leaf:
    return Leaf(
        hosts=("shop.example.com",),
        key_type=None,
        not_before=NOW,
        not_after=NOW + days * DAY_S,
        renewal_id="a.b",
        fingerprint=fingerprint,
        der="",
        chain_top="",
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), (" 0 ", 0.0), ("soon", None), ("-3", None), (None, None), ("٣", None)],
)
def test_retry_after_is_seconds(text: str | None, seconds: float | None) -> None:
    """Nonsense is no pause."""
    assert read_retry_after(text, now=NOW) == seconds


def test_retry_after_is_a_date() -> None:
    """A date that has passed is no wait; one beyond reason is cut to a month."""
    assert read_retry_after(formatdate(NOW + 60, usegmt=True), now=NOW) == 60
    assert read_retry_after(formatdate(NOW - 60, usegmt=True), now=NOW) == 0
    assert read_retry_after("9" * 30, now=NOW) == 30 * DAY_S


@given(failures=st.integers(1, 10_000), dice=st.floats(0, 1, exclude_max=True))
def test_backoff_stays_within_its_bounds(failures: int, dice: float) -> None:
    """From half the first wait up to the longest, whatever comes."""
    assert 0.5 <= BackoffTimes(1.0, 60.0).wait_s(failures, dice) <= 60.0


@given(dice=st.floats(0, 1, exclude_max=True))
def test_a_ca_is_looked_at_soon_and_then_without_haste(dice: float) -> None:
    """One that is done at once is not waited for; one that takes three seconds sees eight looks."""
    waits = [before_look_s(looks, dice) for looks in range(8)]

    assert waits == sorted(waits)
    assert waits[0] <= 0.010
    assert sum(waits) > 3.0


def deeds(count: int, *hosts: str, kind: DeedKind = DeedKind.ORDER) -> list[Deed]:
    return [Deed(kind, "https://ca/dir", NOW - 60 * (number + 1), hosts) for number in range(count)]


def test_the_sixth_order_for_the_same_hosts_waits_for_a_week_to_pass() -> None:
    """Let's Encrypt: five certificates per exact set of identifiers within seven days."""
    hosts = ("shop.example.com",)
    assert first_hold(LETS_ENCRYPT, deeds(4, *hosts), hosts, now=NOW, is_renewal=False) is None
    hold = first_hold(LETS_ENCRYPT, deeds(5, *hosts), hosts, now=NOW, is_renewal=False)
    assert hold is not None
    assert hold.until == NOW - 300 + 7 * DAY_S
    assert "5 orders per exact set of hosts (shop.example.com) within 168 h" in str(hold)


def test_renewals_are_not_counted_but_failures_are() -> None:
    """An order that names what it replaces is exempt from all but the limit of failures."""
    hosts = ("shop.example.com",)
    assert first_hold(LETS_ENCRYPT, deeds(300, *hosts), hosts, now=NOW, is_renewal=True) is None
    failed = deeds(5, *hosts, kind=DeedKind.FAILURE)
    hold = first_hold(LETS_ENCRYPT, failed, hosts, now=NOW, is_renewal=True)
    assert hold is not None
    assert hold.until <= NOW + 3600


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("a.b.example.com", "example.com"),
        ("*.example.com", "example.com"),
        ("www.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("localhost", "localhost"),
    ],
)
def test_a_registered_domain_is_told_by_rule_of_thumb(host: str, domain: str) -> None:
    """Two labels, or three below what countries use as a second level."""
    assert registered_domain(host) == domain


@given(fingerprint=st.text("0123456789abcdef", min_size=64, max_size=64), days=st.floats(1, 400))
def test_renewal_is_due_within_the_window_or_after_its_share(fingerprint: str, days: float) -> None:
    """In the CA's window; else between 0.61 and 2/3 of the lifetime, or around half of a short."""
    leaf = leaf_of(days, fingerprint)
    window = Window(certificate="a.b", ask_again_at=0, start=NOW + 5, end=NOW + 9)
    assert NOW + 5 <= due_at(leaf, window) <= NOW + 9
    share = (due_at(leaf, None) - NOW) / (days * DAY_S)
    top = 2 / 3 if days >= 10 else 1 / 2
    assert top - 0.0501 <= share <= top + 1e-6


def test_the_ca_is_asked_for_windows_at_most_once_a_minute_and_at_least_once_a_day() -> None:
    """RFC 9773, section 4.3.2."""
    assert [ask_again_after(wait_s) for wait_s in (None, 1, 3600, 1e9)] == [21600, 60, 3600, DAY_S]


@pytest.mark.parametrize(
    ("records", "is_wildcard", "is_forbidden"),
    [
        ([], False, False),
        ([("issue", "ca.example")], False, False),
        ([("issue", "other.example")], False, True),
        ([("issue", ";")], False, True),
        ([("issue", "ca.example"), ("issuewild", ";")], True, True),
        ([("issue", "ca.example"), ("issuewild", ";")], False, False),
        ([("iodef", "mailto:a@example.com")], False, False),
        ([("issue", "ca.example; validationmethods=dns-01")], False, True),
        ([("issue", "ca.example; validationmethods=dns-01,http-01")], False, False),
        ([("issue", "ca.example; accounturi=https://ca.example/2")], False, True),
    ],
)
def test_caa_records_admit_or_forbid(
    records: list[tuple[str, str]],
    is_wildcard: bool,  # noqa: FBT001  pytest's own way
    is_forbidden: bool,  # noqa: FBT001  pytest's own way
) -> None:
    """RFC 8659, section 4, and the parameters of RFC 8657."""
    asker = Asker(identities=("ca.example",), method="http-01", account="https://ca.example/1")
    found = [CaaRecord(0, tag, value) for tag, value in records]
    assert bool(forbidden_by(found, asker, is_wildcard=is_wildcard)) == is_forbidden


def test_a_critical_property_that_nobody_knows_forbids() -> None:
    """RFC 8659, section 4.1: the CA must not issue."""
    asker = Asker(identities=(), method="http-01")
    assert "critical" in forbidden_by([CaaRecord(128, "tbs", "x")], asker, is_wildcard=False)


def test_a_strangers_words_are_cleaned_and_cut() -> None:
    """A CA quotes what it found at a host: no control characters, no novels."""
    assert printable("a\x1b[31m\nb\u202e") == "a\ufffd[31m b\ufffd"
    assert len(printable("x" * 10_000)) == 501


def test_a_limit_concerns_whom_it_names() -> None:
    """The host, a domain above it, or the exact set; a word about the account names nobody."""
    limit = Refusal(kind="rateLimited", detail="too many certificates for example.com")
    assert limit.concerns(("www.example.com",))
    assert not limit.concerns(("www.example.org",))
    assert not Refusal(kind="rateLimited", detail="too many new orders").concerns(("a.com",))


@given(data=st.binary())
def test_a_broken_record_is_none(data: bytes) -> None:
    """Whatever lies in the Vault, decoding it never raises."""
    decode_saved(data)


def test_a_record_survives_its_encoding() -> None:
    """What is read is what was written."""
    saved = Saved(deeds=tuple(deeds(2, "a.example")), directory="https://ca/dir")
    assert decode_saved(encode_saved(saved)) == saved


@pytest.mark.parametrize(
    "hosts", [(), ("b.com", "a.com"), ("a.com", "a.com"), ("A.com",), ("a b",)]
)
def test_a_wish_is_for_sorted_hosts(hosts: tuple[str, ...]) -> None:
    """What is not a sorted set of DNS names is our own fault, found at once."""
    with pytest.raises(ValueError, match=r"hosts|DNS name"):
        CertificateWish(secret=ObjectRef("Secret", "shop", "tls"), hosts=hosts, issuer="ca")


def test_a_directory_is_https() -> None:
    """RFC 8555, section 6.1."""
    with pytest.raises(ValueError, match="not https"):
        Issuer(name="ca", directory="http://ca.example/dir")
