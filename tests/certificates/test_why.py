"""The stories of hosts, as a person reviewed them."""

from pathlib import Path
from typing import Final

import pytest

from onehop.acme.finding import Finding
from onehop.acme.state import Phase, State
from onehop.control.certificates.report import HostStory, Leader
from onehop.control.certificates.why import tell
from onehop.model.ident import ObjectRef
from tests.certificates.known import AWAY, DAY_S, NOW, printed, scene_of_story
from tests.golden import check_golden

GOLDEN: Final = Path(__file__).parent / "golden"

CASES: Final = {
    "nobody-has-it": ("ingress-classes", "nobody.test"),
    "almost-somebodys": ("ingress-classes", "feld.example.com"),
    "of-another-class": ("ingress-classes", "theirs.example.com"),
    "without-tls": ("ingress-classes", "field.example.com"),
    "valid": ("tls-by-server-name", "shop.example.com"),
    "by-wildcard": ("tls-by-server-name", "b.example.com"),
    "by-no-name": ("tls-by-server-name", "x.test"),
    "operators-default": ("tls-default-certificate", "*"),
    "not-valid-for-it": ("tls-certificates-that-are-bad", "stranger.example.com"),
    "ended": ("tls-certificates-that-are-bad", "expired.example.com"),
    "wrong-key": ("tls-certificates-that-are-bad", "mixed.example.com"),
    "not-there": ("tls-certificates-that-are-bad", "missing.example.com"),
    "clients-must": ("client-certificates", "staff.example.com"),
    "clients-unverifiable": ("client-certificates-in-vain", "missing.example.com"),
    "passed-through": ("tls-passthrough", "db.example.com"),
    "asked": ("certificate-demands", "default.example.com"),
    "asked-by-class": ("certificate-demands", "by-class.example.com"),
    "of-two-namespaces": ("certificate-demands-of-two-namespaces", "shop.example.com"),
    "wildcard-without-dns": (
        "certificate-demands-that-cannot-be-had",
        "*.wildcard.example.com",
    ),
    "unknown-issuer": ("certificate-demands-that-cannot-be-had", "unknown.example.com"),
    "unknown-by-class": (
        "certificate-demands-that-cannot-be-had",
        "unknown-by-class.example.com",
    ),
    "listener-valid": ("gateway-acme-there", "shop.example.com"),
    "listener-uncovered": ("gateway-acme-there", "new.example.com"),
    "listener-asked": ("gateway-acme", "www.shop.example.com"),
    "listener-by-class": ("gateway-acme-by-class", "set.example.com"),
    "listener-by-mistaken-class": ("gateway-acme-by-class", "mistaken.example.com"),
    "listener-granted": ("gateway-acme-in-vain", "granted.example.com"),
    "listener-passed-through": ("gateway-tls-passthrough", "a.example.com"),
    "listener-by-no-name": ("gateway-acme-in-vain", "plain.example.com"),
    "of-an-ingress-and-a-listener": ("gateway-acme-of-several", "three.example.com"),
    "no-issuers": ("certificate-demands-without-issuers", "asks.example.com"),
}
"""Name of the golden file: the story, and the host that is asked about."""
GOOD: Final = frozenset(
    (
        "valid",
        "by-wildcard",
        "operators-default",
        "passed-through",
        "listener-valid",
        "listener-passed-through",
    )
)

ASKED: Final = ObjectRef("Secret", "shop", "default")
HOSTS: Final = ("default.example.com", "www.default.example.com")
ELSEWHERE: Final = Finding(
    host="default.example.com",
    check="address",
    is_good=False,
    said="leads to 198.51.100.7, which is not this load balancer",
    advice="let its A and AAAA records say 203.0.113.80, and nothing else",
)
ADMITTED: Final = Finding(
    host="default.example.com", check="CAA", is_good=True, said="no CAA records"
)


def _story(phase: Phase, **more: object) -> HostStory:
    known = State(secret=ASKED, hosts=HOSTS, issuer="letsencrypt", phase=phase, **more)  # type: ignore[arg-type]  # fields by name
    scene = scene_of_story("certificate-demands", states={ASKED: known})
    return tell(scene, "default.example.com")


@pytest.mark.parametrize("case", CASES)
def test_a_host_has_the_story_that_its_golden_file_tells(case: str) -> None:
    """From who claims it to what happens next; good only if clients see a valid certificate."""
    story, host = CASES[case]
    told = tell(scene_of_story(story), host)

    check_golden(GOLDEN / f"{case}.txt", printed(told))
    assert told.is_good is (case in GOOD)


def led_elsewhere() -> HostStory:
    """Return the story of a host that leads to somebody else."""
    return _story(
        Phase.REFUSED,
        next_at=NOW + 720,
        last_error=str(ELSEWHERE),
        advice=ELSEWHERE.advice,
        failures=3,
        findings=(ADMITTED, ELSEWHERE),
    )


def test_a_host_that_is_found_elsewhere_says_where() -> None:
    """What was looked at, what the outcome is, and what to do."""
    story = led_elsewhere()

    check_golden(GOLDEN / "led-elsewhere.txt", printed(story))
    assert not story.is_good


def test_a_host_that_a_ca_looks_at_just_now_is_patient() -> None:
    """Nothing is wrong yet, and clients see nothing yet."""
    story = _story(Phase.PROVING, findings=(ADMITTED,))

    check_golden(GOLDEN / "being-proven.txt", printed(story))
    assert story.says == "there is no certificate yet: letsencrypt is looking at the hosts"


def test_a_host_tells_of_the_leader_where_another_one_leads() -> None:
    """What is shown is known everywhere, how the order goes is not."""
    story = tell(scene_of_story("certificate-demands", leader=AWAY), "default.example.com")

    check_golden(GOLDEN / "led-by-another.txt", printed(story))
    assert story.needs_leader


def test_a_host_that_nobody_orders_for_needs_no_leader() -> None:
    """Every host of the balancer knows all of it."""
    story = tell(scene_of_story("tls-by-server-name", leader=AWAY), "shop.example.com")

    assert story.is_good
    assert not story.needs_leader


def test_nobody_leads_for_a_moment() -> None:
    """Just after the start, or when the API is gone."""
    nobody = Leader(is_here=False)
    story = tell(scene_of_story("certificate-demands", leader=nobody), "default.example.com")

    assert "no host leads just now" in printed(story)


def test_a_certificate_of_the_future_is_not_valid() -> None:
    """Clients refuse it as they do one of the past."""
    story = tell(scene_of_story("tls-by-server-name", now=-DAY_S), "shop.example.com")

    assert not story.is_good
    assert "its time is yet to come" in printed(story)


@pytest.mark.parametrize("text", ["Shop.Example.COM", "shop.example.com."])
def test_a_host_is_known_however_it_is_written(text: str) -> None:
    """DNS names have no case, and may end in a dot (RFC 1034, section 3.1)."""
    assert tell(scene_of_story("tls-by-server-name"), text).is_good
