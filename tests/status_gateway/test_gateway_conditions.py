"""What a Gateway and its listeners say, and when nothing is written."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.cluster import GatewayClass
from onehop.cluster.gateway import (
    GatewayAddress,
    GatewayClassSpec,
    GatewayClassStatus,
    GatewayStatus,
    SupportedFeature,
)
from onehop.cluster.gateway_verdict import GatewayClassVerdict, GatewayVerdict, Saying, Truth
from onehop.cluster.meta import Meta
from onehop.model.ident import ObjectRef
from onehop.model.problem import Reason
from onehop.status import Report
from onehop.status.gateway_decide import decide_gateway
from tests.status_gateway.objects import (
    ACCEPTED,
    EARLY,
    LATER,
    NO_CERTIFICATE,
    VIP,
    condition,
    gateway,
    gateway_report,
    gateway_verdict,
    listener,
    needed,
    with_status,
)

INVALID = Saying("Programmed", Truth.FALSE, "Invalid", "its certificate is not there")


def status_of(report: Report, before: GatewayStatus = GatewayStatus()) -> GatewayStatus:  # noqa: B008  frozen
    """Return what the Gateway's status shall be."""
    (write,) = decide_gateway(report, gateway(before), LATER)
    assert isinstance(write.status, GatewayStatus)
    return write.status


def says(status: GatewayStatus, kind: str, listener_name: str = "") -> tuple[str, str]:
    """Return status and reason of a condition, of the Gateway or of one of its listeners."""
    conditions = status.conditions
    if listener_name:
        conditions = next(
            each for each in status.listeners if each.name == listener_name
        ).conditions
    (found,) = [each for each in conditions if each.type == kind]
    return found.status, found.reason


def test_a_gateway_is_programmed_once_the_data_plane_has_answered() -> None:
    """Not on our word: until then it says Pending, and shows no address."""
    verdict = gateway_verdict(listener("http", routes=3))

    waiting = status_of(Report(verdict=verdict, uid="u1", generation=1))
    served = status_of(gateway_report(verdict))

    assert says(waiting, "Accepted") == ("True", "Accepted")
    assert (
        says(waiting, "Programmed") == says(waiting, "Programmed", "http") == ("False", "Pending")
    )
    assert waiting.addresses == ()
    assert (
        says(served, "Programmed") == says(served, "Programmed", "http") == ("True", "Programmed")
    )
    assert served.addresses == (VIP,)
    assert served.listeners[0].attached_routes == 3


def test_every_condition_has_generation_and_time() -> None:
    """`observedGeneration` is the object's that was compiled."""
    status = status_of(gateway_report(gateway_verdict(), generation=7))
    conditions = (*status.conditions, *status.listeners[0].conditions)

    assert {each.observed_generation for each in conditions} == {7}
    assert {each.last_transition_time for each in conditions} == {LATER}
    assert [each.type for each in status.listeners[0].conditions] == [
        "Accepted",
        "Conflicted",
        "ResolvedRefs",
        "Programmed",
    ]


def test_the_time_is_that_of_the_last_change_of_the_status() -> None:
    """A new message or generation is no transition; another status is."""
    before = GatewayStatus(conditions=(condition("Accepted"), condition("Programmed", "False")))

    status = status_of(gateway_report(gateway_verdict(), generation=2), before)

    assert [(each.type, each.last_transition_time) for each in status.conditions] == [
        ("Accepted", EARLY),
        ("Programmed", LATER),
    ]


def test_a_listener_that_cannot_work_says_so_and_spares_the_others() -> None:
    """Its obstacle is its `Programmed`; the Gateway is programmed by the other one."""
    broken = msgspec.structs.replace(
        listener("https", obstacle=INVALID), sayings=(ACCEPTED, NO_CERTIFICATE)
    )

    status = status_of(gateway_report(gateway_verdict(listener("http"), broken)))

    assert says(status, "Programmed", "https") == ("False", "Invalid")
    assert says(status, "ResolvedRefs", "https") == ("False", "InvalidCertificateRef")
    assert says(status, "Programmed", "http") == ("True", "Programmed")
    assert says(status, "Programmed") == ("True", "Programmed")


def test_a_gateway_none_of_whose_listeners_works_is_not_programmed() -> None:
    """With the reason of all of them, if it is one."""
    status = status_of(gateway_report(gateway_verdict(listener("https", obstacle=INVALID))))

    assert says(status, "Programmed") == ("False", "Invalid")
    assert status.addresses == ()


def test_an_obstacle_of_the_whole_counts_whatever_its_listeners_say() -> None:
    """As when no address is free."""
    obstacle = Saying("Programmed", Truth.FALSE, "AddressNotAssigned", "the pool is empty")

    status = status_of(gateway_report(gateway_verdict(obstacle=obstacle)))

    assert says(status, "Programmed") == ("False", "AddressNotAssigned")


def test_what_the_data_plane_would_not_take_is_told() -> None:
    """`Programmed` is False with our reason; the listener beside it is served."""
    verdict = gateway_verdict(listener("http"), listener("odd"))
    report = msgspec.structs.replace(
        gateway_report(verdict),
        served=frozenset({needed("http")}),
        refused=frozenset({needed("odd")}),
    )

    status = status_of(report)

    assert says(status, "Programmed", "odd") == ("False", Reason.DATA_PLANE_REFUSED)
    assert says(status, "Programmed") == ("True", "Programmed")


def test_an_address_that_is_shown_stays_while_a_change_is_on_its_way() -> None:
    """A restart must not blink; one that is no longer ours goes at once."""
    gone = GatewayAddress(type="IPAddress", value="203.0.113.66")
    before = GatewayStatus(addresses=(gone, VIP))

    status = status_of(Report(verdict=gateway_verdict(), uid="u1", generation=1), before)

    assert status.addresses == (VIP,)


def test_conditions_of_others_stay_and_ours_that_are_over_go() -> None:
    """What a policy adds is the policy's, with or without a prefix."""
    policy, other = condition("policy.example/Affected"), condition("Affected")
    over = condition("OverlappingTLSConfig")
    before = GatewayStatus(conditions=(over, policy, condition("Accepted"), other))

    status = status_of(gateway_report(gateway_verdict()), before)

    assert [each.type for each in status.conditions] == [
        policy.type,
        "Accepted",
        other.type,
        "Programmed",
    ]
    assert {policy, other} <= set(status.conditions)


def test_no_more_conditions_than_the_crd_allows() -> None:
    """Eight; ours come first, for a list that is too long would be refused as a whole."""
    policies = tuple(condition(f"policy.example/Affected{n}") for n in range(8))

    status = status_of(gateway_report(gateway_verdict()), GatewayStatus(conditions=policies))

    assert [each.type for each in status.conditions] == [
        *(each.type for each in policies[:6]),
        "Accepted",
        "Programmed",
    ]


def test_of_a_listener_that_is_gone_nothing_is_said() -> None:
    """The list has the listeners of the spec, and no other."""
    before = status_of(gateway_report(gateway_verdict(listener("http"), listener("old"))))

    status = status_of(gateway_report(gateway_verdict(listener("http"))), before)

    assert [each.name for each in status.listeners] == ["http"]


@pytest.mark.parametrize(
    ("after", "is_count_only"),
    [
        (gateway_verdict(listener(routes=2)), True),
        (msgspec.structs.replace(gateway_verdict(), attached_listener_sets=4), True),
        (gateway_verdict(listener(routes=2), listener("more")), False),
        (msgspec.structs.replace(gateway_verdict(), sayings=()), False),
    ],
)
def test_a_write_knows_whether_only_numbers_differ(
    after: GatewayVerdict, *, is_count_only: bool
) -> None:
    """Those may wait; a condition may not."""
    live = gateway(status_of(gateway_report(gateway_verdict(listener(routes=1)))))

    (write,) = decide_gateway(gateway_report(after), live, LATER)

    assert write.is_count_only is is_count_only


def test_a_class_says_that_it_is_accepted_and_what_it_can_do() -> None:
    """Features are sorted, each once: "in ascending alphabetical order" (GEP-2162)."""
    live = GatewayClass(
        metadata=Meta(name="onehop", uid="u1"),
        spec=GatewayClassSpec(controller_name="onehop.dev/gateway-controller"),
        status=GatewayClassStatus(supported_features=("Old",)),
    )
    verdict = GatewayClassVerdict(
        ref=ObjectRef("GatewayClass", "", "onehop"),
        sayings=(ACCEPTED,),
        features=("HTTPRoute", "Gateway", "HTTPRoute"),
    )
    report = Report(verdict=verdict, uid="u1", generation=1)

    (write,) = decide_gateway(report, live, LATER)

    assert isinstance(write.status, GatewayClassStatus)
    assert write.status.supported_features == (
        SupportedFeature("Gateway"),
        SupportedFeature("HTTPRoute"),
    )
    assert decide_gateway(report, msgspec.structs.replace(live, status=write.status), LATER) == ()


listeners = st.lists(
    st.builds(
        listener,
        st.sampled_from(("http", "https", "more")),
        routes=st.integers(0, 3),
        obstacle=st.sampled_from((None, INVALID)),
    ),
    unique_by=lambda each: each.name,
    max_size=3,
)
reports = st.builds(
    Report,
    verdict=listeners.map(lambda each: gateway_verdict(*each)),
    uid=st.just("u1"),
    generation=st.integers(1, 3),
    served=st.frozensets(st.sampled_from(("http", "https", "more")).map(needed)),
    refused=st.frozensets(st.sampled_from(("http", "https", "more")).map(needed)),
    is_acknowledged=st.booleans(),
)


@given(before=reports, after=reports)
def test_what_was_written_is_written_once(before: Report, after: Report) -> None:
    """Whatever a status says, one write brings it to the report, and a second is never needed."""
    live = gateway()
    for report, now in ((before, EARLY), (after, LATER)):
        for write in decide_gateway(report, live, now):
            assert isinstance(write.status, GatewayStatus)
            live = with_status(live, write.status)

    assert decide_gateway(after, live, "2027-01-01T00:00:00Z") == ()
