"""What is written to a Service, decided from its report and its live form."""

import msgspec
import pytest

from onehop.cluster.service import IngressAddress, LoadBalancerStatus, PortStatus, Service
from onehop.compile.service import FINALIZER
from onehop.compile.verdict import ServiceRelease, ServiceVerdict
from onehop.model.problem import Reason
from onehop.status import AddFinalizer, PatchStatus, RemoveFinalizer, Report, decide
from tests.status.objects import (
    FOREIGN,
    OTHER_VIP,
    VIP,
    WEB,
    addresses,
    carried_out,
    changes,
    listener,
    moment,
    only_patch,
    problem,
    reasons,
    served_report,
    service,
    verdict,
)

HELD_BY_ANOTHER = "example.com/other"


def brought(report: Report, live: Service) -> Service:
    """Return the Service after everything decided has been written."""
    after = carried_out(live, decide(report, live, now=moment()))
    assert isinstance(after, Service)
    return after


def test_the_finalizer_is_claimed_before_anything_is_served_and_keeps_those_of_others() -> None:
    """A Service that waits for its finalizer gets it, and no status until that is seen."""
    waiting = Report(verdict=ServiceVerdict(WEB, LoadBalancerStatus(), ()), uid="u1")
    live = service(finalizers=(HELD_BY_ANOTHER,))

    decided = decide(waiting, live, now=moment(), is_patient=True)

    assert decided[0] == AddFinalizer(WEB, (HELD_BY_ANOTHER, FINALIZER))
    assert reasons(decided) == ["EnsuringLoadBalancer"]
    assert len(decided) == 2


def test_a_served_service_shows_its_address_as_proxied_with_its_ports() -> None:
    """The ipMode is Proxy (KEP-1860), each port has a status (KEP-1435), the event is sent."""
    decided = decide(served_report(), service(), now=moment())

    entry = IngressAddress(ip=VIP, ip_mode="Proxy", ports=(PortStatus(port=80, protocol="TCP"),))
    assert only_patch(decided).load_balancer == LoadBalancerStatus((entry,))
    assert reasons(decided) == ["EnsuredLoadBalancer"]


def test_nothing_is_written_when_the_service_says_it_already() -> None:
    """A restart with an unchanged cluster writes nothing."""
    live = brought(served_report(), service())

    assert decide(served_report(), live, now=moment(30)) == ()


def test_nothing_is_said_of_another_object_of_the_same_name() -> None:
    """A report on a Service that was deleted and made anew does not touch the new one."""
    report = msgspec.structs.replace(served_report(), uid="the one before")

    assert decide(report, service(), now=moment()) == ()
    assert decide(report, None, now=moment()) == ()


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(
            LoadBalancerStatus(tuple(reversed(addresses(VIP, OTHER_VIP).ingress or ()))),
            id="another order",
        ),
        pytest.param(
            LoadBalancerStatus(
                tuple(
                    msgspec.structs.replace(entry, ip_mode=None)
                    for entry in addresses(VIP, OTHER_VIP).ingress or ()
                )
            ),
            id="a server without ipMode",
        ),
    ],
)
def test_an_equal_meaning_in_another_form_is_left_alone(shown: LoadBalancerStatus) -> None:
    """Order and fields that a server does not know are no difference."""
    report = served_report(VIP, OTHER_VIP)
    live = brought(report, service())
    same = msgspec.structs.replace(
        live, status=msgspec.structs.replace(live.status, load_balancer=shown)
    )

    assert changes(decide(report, same, now=moment())) == ()


def test_two_spellings_of_an_ipv6_address_are_one() -> None:
    """The API keeps the spelling that was written."""
    report = served_report("2001:db8::1")
    live = brought(report, service())
    shouted = addresses("2001:DB8:0::1")
    same = msgspec.structs.replace(
        live, status=msgspec.structs.replace(live.status, load_balancer=shouted)
    )

    assert changes(decide(report, same, now=moment())) == ()


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(LoadBalancerStatus(), id="address removed"),
        pytest.param(addresses("198.51.100.66"), id="address replaced"),
        pytest.param(addresses(VIP, "198.51.100.66"), id="address added"),
        pytest.param(
            LoadBalancerStatus((IngressAddress(hostname="evil.example"),)), id="host name"
        ),
        pytest.param(LoadBalancerStatus((IngressAddress(ip=VIP, ip_mode="VIP"),)), id="ipMode VIP"),
    ],
)
def test_a_foreign_patch_of_our_addresses_is_undone(shown: LoadBalancerStatus) -> None:
    """Whoever may patch a status must not redirect clients (CVE-2020-8554)."""
    good = brought(served_report(), service())
    patched = msgspec.structs.replace(
        good, status=msgspec.structs.replace(good.status, load_balancer=shown)
    )

    after = brought(served_report(), patched)

    assert after.status.load_balancer == addresses(VIP)


def test_a_foreign_address_is_taken_out_even_while_the_data_plane_is_silent() -> None:
    """Before the first acknowledgement nothing of ours is shown, and nothing of others either."""
    pending = Report(verdict=verdict(VIP), uid="u1")

    after = brought(pending, service(shown=addresses("198.51.100.66")))

    assert after.status.load_balancer == LoadBalancerStatus()


def test_an_address_is_shown_only_after_the_data_plane_has_acknowledged_it() -> None:
    """Neither the address nor Programmed comes from our own word."""
    pending = Report(verdict=verdict(VIP), uid="u1")

    assert decide(pending, service(), now=moment(), is_patient=True) == ()
    after = brought(pending, service())
    assert after.status.load_balancer == LoadBalancerStatus()
    assert [(each.type, each.status, each.reason) for each in after.status.conditions or ()] == [
        ("onehop.dev/Accepted", "True", "Accepted"),
        ("onehop.dev/Programmed", "False", "Pending"),
    ]


def test_an_address_that_was_shown_stays_while_the_data_plane_is_silent() -> None:
    """A restart must not blink: DNS controllers delete records of addresses that vanish."""
    live = brought(served_report(), service())
    pending = Report(
        verdict=verdict(VIP, ports=(80, 443)), uid="u1", served=frozenset([listener()])
    )

    assert brought(pending, live).status.load_balancer == addresses(VIP)


def test_the_old_address_is_shown_until_the_new_one_is_served() -> None:
    """Make before break, in the status too."""
    live = brought(served_report(VIP), service())
    moving = Report(verdict=verdict(OTHER_VIP), uid="u1", served=frozenset([listener()]))
    moved = served_report(OTHER_VIP)

    between = brought(moving, live)
    assert between.status.load_balancer == addresses(VIP)
    assert brought(moved, between).status.load_balancer == addresses(OTHER_VIP)


def test_a_refused_port_carries_an_error_and_the_other_port_is_shown() -> None:
    """One bad listener harms only itself, and says so where its owner looks (KEP-1435)."""
    refused = problem(Reason.DATA_PLANE_REFUSED, "cannot bind: address in use")
    report = Report(
        verdict=verdict(VIP, ports=(80, 443)),
        uid="u1",
        problems=(refused,),
        served=frozenset([listener(80)]),
        refused=frozenset([listener(443)]),
    )

    decided = decide(report, service(), now=moment())
    patch = only_patch(decided)

    assert patch.load_balancer is not None
    (entry,) = patch.load_balancer.ingress or ()
    assert [(port.port, port.error) for port in entry.ports or ()] == [
        (80, None),
        (443, "onehop.dev/DataPlaneRefused"),
    ]
    programmed = (patch.conditions or ())[1]
    assert (programmed.status, programmed.reason) == ("False", "DataPlaneRefused")
    assert "cannot bind" in programmed.message
    assert "SyncLoadBalancerFailed" in reasons(decided)


def test_an_address_whose_new_form_is_refused_stays_as_it_was() -> None:
    """The data plane goes on with what it had, so clients are not sent away."""
    live = brought(served_report(), service())
    report = Report(verdict=verdict(VIP), uid="u1", refused=frozenset([listener()]))

    after = brought(report, live)

    assert after.status.load_balancer == addresses(VIP)
    assert [each.status for each in after.status.conditions or ()] == ["True", "False"]


def test_a_service_without_an_address_says_why() -> None:
    """An exhausted pool is the owner's answer to EXTERNAL-IP <pending>."""
    report = Report(
        verdict=ServiceVerdict(WEB, LoadBalancerStatus(), ()), uid="u1", problems=(problem(),)
    )

    decided = decide(report, service(shown=addresses(VIP)), now=moment())
    patch = only_patch(decided)

    assert patch.load_balancer == LoadBalancerStatus()
    assert [(each.status, each.reason) for each in patch.conditions or ()] == [
        ("False", "PoolExhausted"),
        ("False", "Invalid"),
    ]
    assert (patch.conditions or ())[0].message == "spec: no address is free"
    assert reasons(decided) == ["SyncLoadBalancerFailed", "PoolExhausted"]


def test_conditions_of_others_are_kept_where_they_are() -> None:
    """A merge patch replaces the whole list, so it must hold theirs."""
    after = brought(served_report(), service(conditions=(FOREIGN,)))

    assert (after.status.conditions or ())[0] == FOREIGN
    assert len(after.status.conditions or ()) == 3


def test_the_transition_time_changes_only_with_the_status() -> None:
    """metav1.Condition, lastTransitionTime: another reason is no transition."""
    good = brought(served_report(), service())
    warned = msgspec.structs.replace(served_report(), problems=(problem(),))
    silent = Report(verdict=verdict(VIP), uid="u1", is_acknowledged=False)

    reworded = only_patch(decide(warned, good, now=moment(7))).conditions or ()
    turned = only_patch(decide(silent, good, now=moment(7))).conditions or ()

    start, later = "2026-01-01T12:00:00Z", "2026-01-01T12:00:07Z"
    assert [(each.reason, each.last_transition_time) for each in reworded] == [
        ("PoolExhausted", start),
        ("Programmed", start),
    ]
    assert [each.last_transition_time for each in turned] == [start, later]


def test_the_order_in_which_problems_are_found_is_no_difference() -> None:
    """Two equal sets of problems make one text."""
    problems = (problem(message="a"), problem(message="b"), problem(message="c"))
    one = msgspec.structs.replace(served_report(), problems=problems)
    other = msgspec.structs.replace(served_report(), problems=tuple(reversed(problems)))

    live = brought(one, service())

    assert changes(decide(other, live, now=moment())) == ()


def test_many_problems_are_told_in_part_and_counted() -> None:
    """A condition's message has a limit (32768), and a reader has one too."""
    problems = tuple(problem(message=f"fault {number:02}") for number in range(20))
    report = msgspec.structs.replace(served_report(), problems=problems)

    (accepted, _) = only_patch(decide(report, service(), now=moment())).conditions or ()

    assert accepted.message.startswith("spec: fault 00; spec: fault 01")
    assert accepted.message.endswith("spec: fault 15; and 4 more")


def test_a_condition_says_which_generation_it_speaks_of() -> None:
    """For kinds that count one; the real API's Services do not."""
    report = msgspec.structs.replace(served_report(), generation=7)

    conditions = only_patch(decide(report, service(), now=moment())).conditions or ()

    assert [each.observed_generation for each in conditions] == [7, 7]


def test_a_service_is_let_go_only_after_the_data_plane_has_let_go() -> None:
    """The finalizer's whole purpose (cloud-provider, service controller)."""
    live = brought(served_report(), service(finalizers=(HELD_BY_ANOTHER, FINALIZER), deleted="now"))
    release = ServiceRelease(WEB, clears_status=False)
    still = Report(verdict=release, uid="u1", served=frozenset([listener()]))
    gone = Report(verdict=release, uid="u1")

    assert reasons(decide(still, live, now=moment())) == ["DeletingLoadBalancer"]
    assert changes(decide(still, live, now=moment())) == ()
    decided = decide(gone, live, now=moment())
    assert RemoveFinalizer(WEB, (HELD_BY_ANOTHER,)) in decided
    assert reasons(decided) == ["DeletingLoadBalancer", "DeletedLoadBalancer"]
    assert not [write for write in decided if isinstance(write, PatchStatus)]


def test_a_service_that_lives_on_without_us_loses_our_marks_before_the_finalizer() -> None:
    """Once the finalizer is gone nobody would know that the rest is to be taken away."""
    live = brought(served_report(), service(conditions=(FOREIGN,)))
    report = Report(verdict=ServiceRelease(WEB, clears_status=True), uid="u1")

    decided = changes(decide(report, live, now=moment()))

    patch = PatchStatus(ref=WEB, load_balancer=LoadBalancerStatus(), conditions=(FOREIGN,))
    assert decided[:2] == (patch, RemoveFinalizer(WEB, ()))


def test_a_service_that_is_being_deleted_is_not_claimed_again() -> None:
    """The API refuses new finalizers then (validation of ObjectMeta updates)."""
    live = service(finalizers=(HELD_BY_ANOTHER,), deleted="now")

    assert changes(decide(served_report(), live, now=moment())) == ()


def test_a_service_with_nothing_behind_it_is_told_unavailable() -> None:
    """The reason that scripts know from cloud-provider."""
    report = msgspec.structs.replace(served_report(), has_endpoints=False)

    assert "UnAvailableLoadBalancer" in reasons(decide(report, service(), now=moment()))


def test_a_refused_update_of_what_is_served_is_told_as_such() -> None:
    """Listeners run on, something behind them was refused."""
    report = msgspec.structs.replace(
        served_report(), problems=(problem(Reason.DATA_PLANE_REFUSED, "pool refused"),)
    )

    assert "UpdateLoadBalancerFailed" in reasons(decide(report, service(), now=moment()))
