"""Asking for new certificates by the names that people use."""

from collections.abc import Callable

import pytest

from onehop.acme.state import Phase
from onehop.control.certificates.facts import CertificateFacts
from onehop.control.certificates.renewal import renew
from onehop.control.certificates.report import Renewal
from onehop.model.ident import ObjectRef
from tests.certificates.known import (
    AWAY,
    DAY_S,
    HOST,
    NOW,
    SECRET,
    certificate_of_story,
    facts_of,
    state,
)

GOOD = certificate_of_story("tls-by-server-name", "shop")
VALID = facts_of(
    at=state(Phase.VALID, renews_at=NOW + DAY_S, fingerprint=GOOD.fingerprint), shown=GOOD
)
STUCK = facts_of(at=state(Phase.REFUSED, next_at=NOW + 3600))


class _Engine:
    def __init__(self, *, knows: bool = True) -> None:
        self.begun: list[ObjectRef] = []
        self._knows = knows

    def begin(self, secret: ObjectRef) -> bool:
        self.begun.append(secret)
        return self._knows


def _renew(
    facts: CertificateFacts,
    *names: str,
    begin: Callable[[ObjectRef], bool] | None = None,
    spares_valid: bool = False,
) -> Renewal:
    return renew(facts, names, begin=begin or _Engine().begin, spares_valid=spares_valid)


@pytest.mark.parametrize("name", ["shop/web-tls", HOST, "SHOP.example.com."])
def test_a_secret_or_a_host_is_renewed(name: str) -> None:
    """Whatever its age."""
    engine = _Engine()

    done = _renew(VALID, name, begin=engine.begin)

    assert done.begun == ("shop/web-tls",)
    assert engine.begun == [SECRET]
    assert done.denied == ()


def test_a_host_below_a_wildcard_is_meant_as_well() -> None:
    """The certificate for all of them is its own."""
    assert _renew(facts_of(hosts=("*.example.com",)), HOST).begun == ("shop/web-tls",)


def test_all_are_renewed_when_no_name_is_said() -> None:
    """Those that onehop makes."""
    assert _renew(VALID).begun == ("shop/web-tls",)
    assert _renew(facts_of(shown=GOOD, is_asked=False)) == Renewal(leader=VALID.leader)


def test_two_names_of_one_secret_renew_it_once() -> None:
    """An order is something that CAs count."""
    engine = _Engine()

    _renew(VALID, HOST, "shop/web-tls", begin=engine.begin)

    assert engine.begun == [SECRET]


def test_issuing_spares_what_is_valid() -> None:
    """It says so if it was asked for by name, and that is no fault."""
    by_name = _renew(VALID, HOST, spares_valid=True)

    assert by_name.begun == ()
    assert [denied.is_fine for denied in by_name.denied] == [True]
    assert _renew(VALID, spares_valid=True).denied == ()
    assert _renew(STUCK, spares_valid=True).begun == ("shop/web-tls",)


@pytest.mark.parametrize(
    ("facts", "name", "why"),
    [
        (VALID, "shop/other", "no object asks for a Secret shop/other"),
        (VALID, "other.example.com", "no certificate is asked for other.example.com"),
        (facts_of(shown=GOOD, is_asked=False), HOST, "onehop does not make it"),
        (facts_of(shown=GOOD, is_asked=False), "shop/web-tls", "onehop does not make it"),
    ],
)
def test_what_onehop_does_not_make_is_denied(facts: CertificateFacts, name: str, why: str) -> None:
    """By the name that was said, with the reason."""
    (denied,) = _renew(facts, name).denied

    assert denied.name == name
    assert why in denied.why
    assert not denied.is_fine


def test_a_slip_is_answered_with_what_was_meant() -> None:
    """As everywhere."""
    (denied,) = _renew(VALID, "shop/web-tsl").denied

    assert denied.near == ("shop/web-tls",)


def test_what_the_engine_has_not_taken_in_yet_is_denied() -> None:
    """A moment after the Ingress came."""
    (denied,) = _renew(STUCK, HOST, begin=_Engine(knows=False).begin).denied

    assert "not seen to yet" in denied.why


def test_only_the_leader_renews() -> None:
    """Elsewhere nothing is begun, and the answer names who leads."""
    engine = _Engine()

    done = _renew(facts_of(leader=AWAY), begin=engine.begin)

    assert done == Renewal(leader=AWAY)
    assert engine.begun == []
