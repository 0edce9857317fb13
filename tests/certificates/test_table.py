"""A report on each Secret, in whatever state it is."""

from typing import Final

import msgspec
import pytest

from onehop.acme.state import Phase
from onehop.control.certificates.report import CertificateList, CertificateReport, Standing
from onehop.control.certificates.table import make_list, make_reports, summarize
from onehop.model.problem import Problem, Reason, Severity
from tests.certificates.known import (
    AWAY,
    DAY_S,
    HOST,
    NOW,
    SECRET,
    WEB,
    certificate_of_story,
    facts_of,
    printed,
    scene_of_story,
    state,
)

GOOD: Final = certificate_of_story("tls-by-server-name", "shop")
ENDED: Final = certificate_of_story("tls-certificates-that-are-bad", "expired")
LIMIT: Final = "the limit of 5 orders per exact set of hosts (shop.example.com) is used up"

PHASES: Final = {
    Phase.WAITING: ("waits for its turn", Standing.ISSUING),
    Phase.CHECKING: ("checks whether letsencrypt would find the hosts", Standing.ISSUING),
    Phase.ORDERING: ("places an order with letsencrypt", Standing.ISSUING),
    Phase.PROVING: ("letsencrypt is looking at the hosts", Standing.ISSUING),
    Phase.ISSUING: ("letsencrypt is making the certificate", Standing.ISSUING),
    Phase.VALID: ("renews itself in 12 min (by its lifetime)", Standing.ISSUING),
    Phase.LIMITED: ("goes on in 12 min, when a limit of letsencrypt allows it", Standing.FAILING),
    Phase.REFUSED: ("tries again in 12 min", Standing.FAILING),
    Phase.UNAVAILABLE: ("tries again in 12 min", Standing.FAILING),
    Phase.FOREIGN: ("looks in 12 min whether the Secret was given up", Standing.FAILING),
}
"""What happens next in each phase, and how a Secret is doing that holds nothing yet."""


def _only(reports: tuple[CertificateReport, ...]) -> CertificateReport:
    (report,) = reports
    return report


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_words(phase: Phase) -> None:
    """Nobody has to know the engine to read what it does next."""
    words, standing = PHASES[phase]
    facts = facts_of(at=state(phase, next_at=NOW + 720))

    report = _only(make_reports(facts))

    assert (report.next, report.standing, report.phase) == (words, standing, phase)
    assert report.issuer == "letsencrypt"
    assert report.wanted_by == (str(WEB),)


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (-5.0, "now"),
        (40.0, "in 40 s"),
        (720.0, "in 12 min"),
        (3 * 3600.0, "in 3 h"),
        (30 * DAY_S, "on 2026-12-18"),
    ],
)
def test_a_renewal_says_when_and_who_chose_the_time(left_s: float, words: str) -> None:
    """The CA, or the certificate's own lifetime."""
    known = state(Phase.VALID, renews_at=NOW + left_s, fingerprint=GOOD.fingerprint)
    by_ca = msgspec.structs.replace(known, is_in_window=True)

    own = _only(make_reports(facts_of(at=known, shown=GOOD)))
    theirs = _only(make_reports(facts_of(at=by_ca, shown=GOOD)))

    assert own.next == f"renews itself {words} (by its lifetime)"
    assert theirs.next == f"renews itself {words} (the CA's window, RFC 9773)"
    assert own.standing is theirs.standing is Standing.VALID


@pytest.mark.parametrize(
    ("renews_in_s", "standing"), [(-1.0, Standing.FAILING), (DAY_S, Standing.VALID)]
)
def test_a_renewal_that_fails_is_loud_once_it_is_due(
    renews_in_s: float, standing: Standing
) -> None:
    """A CA that was away for a moment is no fault of a certificate that has time."""
    known = state(
        Phase.UNAVAILABLE, next_at=NOW + 8, renews_at=NOW + renews_in_s, last_error="no answer"
    )

    report = _only(make_reports(facts_of(at=known, shown=GOOD)))

    assert report.standing is standing
    assert report.last_error == "no answer"


def test_a_wish_that_grew_is_being_issued_until_it_is_refused() -> None:
    """What is shown is not valid for the new host yet."""
    hosts = (HOST, "www.example.com")
    working = facts_of(at=state(Phase.PROVING), shown=GOOD, hosts=hosts)
    refused = state(Phase.REFUSED, next_at=NOW + 60, renews_at=NOW + DAY_S, last_error="no")

    assert _only(make_reports(working)).standing is Standing.ISSUING
    assert _only(make_reports(working)).shown is not None
    stuck = facts_of(at=refused, shown=GOOD, hosts=hosts)
    assert _only(make_reports(stuck)).standing is Standing.FAILING


def test_a_secret_of_somebody_else_is_judged_by_what_it_holds() -> None:
    """The engine lets it be, and so it is as good as its certificate."""
    known = state(Phase.FOREIGN, next_at=NOW + 600, last_error="Secret/shop/web-tls is not ours")

    assert _only(make_reports(facts_of(at=known, shown=GOOD))).standing is Standing.VALID
    assert _only(make_reports(facts_of(at=known, shown=ENDED))).standing is Standing.EXPIRED


def test_a_certificate_that_nobody_asks_for_is_watched_all_the_same() -> None:
    """Who made it, until when, for whom."""
    report = _only(make_reports(facts_of(shown=GOOD, is_asked=False)))

    assert report.issuer is report.phase is None
    assert report.next == "nothing by onehop: who made it renews it before 2124-01-01"
    assert report.shown is not None
    assert report.shown.names == report.shown.hosts == (HOST,)
    assert "not by onehop" in printed(report)


def test_a_bad_secret_is_failing_though_its_last_good_form_is_shown() -> None:
    """Somebody has to mend it before that ends."""
    kept = Problem(
        subject=WEB,
        field="spec.tls[0].secretName",
        reason=Reason.CERTIFICATE_INVALID,
        message="tls.key in Secret/shop/web-tls does not belong to it; the last good one is shown",
        severity=Severity.WARNING,
    )
    facts = facts_of(shown=GOOD, is_asked=False, problems={WEB: (kept,)})

    report = _only(make_reports(facts))

    assert report.standing is Standing.FAILING
    assert report.problems == (kept,)
    assert report.last_error == kept.message


def test_problems_of_others_are_left_out() -> None:
    """Those of other objects, of other entries, and what the state says better."""
    others = (
        Problem(subject=WEB, field="spec.tls[1].hosts", reason=Reason.CONFLICT, message="other"),
        Problem(subject=WEB, field="spec.rules[0]", reason=Reason.INVALID_PATH, message="path"),
        Problem(subject=WEB, field="spec.tls", reason=Reason.CERTIFICATE_NOT_ISSUED, message="no"),
    )
    asking = Problem(
        subject=WEB,
        field="metadata.annotations[onehop.dev/acme-key-type]",
        reason=Reason.INVALID_ANNOTATION,
        message="not understood",
    )

    report = _only(make_reports(facts_of(problems={WEB: (*others, asking)})))

    assert report.problems == (asking,)


def test_where_another_host_leads_only_it_knows() -> None:
    """The list says so, and who that is."""
    led = make_list(facts_of(leader=AWAY))
    own = make_list(facts_of(shown=GOOD, is_asked=False, leader=AWAY))

    assert led.needs_leader
    assert led.certificates[0].next == "is seen to by the host that leads, lb2"
    assert not own.needs_leader


def test_the_summary_counts_and_names_who_ends_first() -> None:
    """A line of `onehop status`."""
    scene = scene_of_story("tls-certificates-that-are-bad")

    summary = summarize(make_reports(scene.facts))

    assert (summary.valid, summary.issuing, summary.failing) == (0, 0, 8)
    assert summary.next_secret == "shop/expired"
    assert summary.next_end is not None
    assert summary.next_end < NOW


def test_the_list_is_the_same_after_a_trip_as_json() -> None:
    """Commands read what the program wrote."""
    known = state(Phase.LIMITED, next_at=NOW + 720, last_error=LIMIT, failures=2)
    found = make_list(facts_of(at=known, shown=GOOD))

    assert msgspec.json.decode(msgspec.json.encode(found), type=CertificateList) == found


def test_a_line_says_what_is_in_the_way() -> None:
    """Secret, hosts, issuer, state, end, and what happens next."""
    known = state(Phase.LIMITED, next_at=NOW + 720, last_error=LIMIT)

    title, line = printed(make_list(facts_of(at=known))).splitlines()

    assert title.split() == ["secret", "hosts", "issuer", "state", "ends", "next"]
    assert line.split()[:5] == ["shop/web-tls", HOST, "letsencrypt", "failing", "-"]
    assert f"goes on in 12 min, when a limit of letsencrypt allows it: {LIMIT}" in line


def test_all_of_one_is_shown() -> None:
    """Each fact on a line with its name."""
    known = state(
        Phase.REFUSED,
        next_at=NOW + 720,
        renews_at=NOW - 60,
        last_error="the CA said no",
        advice="let it say yes",
        failures=4,
        order_url="https://ca.example.com/order/1",
        renewal_page="https://ca.example.com/why",
    )

    lines = printed(_only(make_reports(facts_of(at=known, shown=GOOD)))).splitlines()

    facts = {line[2:13].strip(): line[13:].strip() for line in lines[1:]}
    assert lines[0] == "shop/web-tls  failing"
    assert facts["issuer"] == "letsencrypt"
    assert facts["phase"] == "refused, 4 refusals in a row"
    assert facts["next"] == "tries again in 12 min"
    assert facts["last error"] == "the CA said no"
    assert facts["advice"] == "let it say yes"
    assert facts["order"] == "https://ca.example.com/order/1"
    assert facts["see"] == "https://ca.example.com/why"
    assert facts["valid for"] == HOST
    assert facts["SHA-256"] == GOOD.fingerprint


def test_nothing_to_list_is_said() -> None:
    """An empty table would look like a fault."""
    empty = msgspec.structs.replace(facts_of(), demands={}, named={})

    assert printed(make_list(empty)) == "no object names a certificate\n"


def test_the_secret_is_known_by_its_name() -> None:
    """As people type it."""
    assert _only(make_reports(facts_of())).secret == f"{SECRET.namespace}/{SECRET.name}"
