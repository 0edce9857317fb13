"""Entries of routes by parent and controller: ours are kept up to date, others' left alone."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.cluster import BackendTLSPolicy, HTTPRoute
from onehop.cluster.gateway_backendtls import (
    BackendTlsPolicySpec,
    BackendValidation,
    PolicyTarget,
)
from onehop.cluster.gateway_ref import ParentRef
from onehop.cluster.gateway_status import PolicyStatus, RouteParentStatus, RouteStatus
from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.cluster.meta import Meta
from onehop.model.problem import Severity
from onehop.status import Report
from onehop.status.gateway_decide import decide_gateway
from tests.status_gateway.objects import (
    EARLY,
    EDGE_PARENT,
    LATER,
    OURS,
    RESOLVED,
    THEIRS,
    condition,
    entry,
    refused,
    route,
    route_report,
)

HTTPS = ParentRef(name="edge", namespace="infra", section_name="https")
HTTP = ParentRef(name="edge", namespace="infra", section_name="http")
NOT_ALLOWED = Saying("Accepted", Truth.FALSE, "NotAllowedByListeners", "not from this namespace")


def parents_after(report: Report, live: HTTPRoute) -> tuple[RouteParentStatus, ...]:
    """Return the entries as they are once everything is written."""
    for write in decide_gateway(report, live, LATER):
        assert isinstance(write.status, RouteStatus)
        return write.status.parents
    return live.status.parents


def test_each_parent_of_ours_gets_an_entry_that_names_it_as_the_route_does() -> None:
    """By section and port: two listeners of one Gateway are two entries."""
    parents = parents_after(route_report(HTTP, HTTPS), route())

    assert [(each.parent_ref, each.controller_name) for each in parents] == [
        (HTTP, OURS),
        (HTTPS, OURS),
    ]
    assert [(c.type, c.status, c.observed_generation) for c in parents[0].conditions] == [
        ("Accepted", "True", 1),
        ("ResolvedRefs", "True", 1),
    ]


def test_entries_of_other_controllers_stay_as_they_are() -> None:
    """Even for the very same parent; order, content and place."""
    theirs = (entry(THEIRS, EDGE_PARENT), entry("third.example/controller", HTTP))

    parents = parents_after(
        route_report(EDGE_PARENT), route(theirs[0], entry(OURS, HTTP), theirs[1])
    )

    assert parents[:2] == theirs
    assert [(each.parent_ref, each.controller_name) for each in parents[2:]] == [
        (EDGE_PARENT, OURS)
    ]


def test_our_entry_goes_when_the_parent_ref_goes() -> None:
    """And nothing else does; without any parent of ours, there is nothing left to write."""
    live = route(entry(THEIRS), entry(OURS, HTTP), entry(OURS, HTTPS))

    assert [each.parent_ref for each in parents_after(route_report(HTTPS), live)] == [
        EDGE_PARENT,
        HTTPS,
    ]
    assert parents_after(route_report(), live) == (entry(THEIRS),)
    assert decide_gateway(route_report(), route(entry(THEIRS)), LATER) == ()


def test_a_transition_keeps_its_time_until_the_next() -> None:
    """Only `Accepted`, whose status differs, gets the time of now."""
    live = route(entry(OURS, EDGE_PARENT, condition(), condition("ResolvedRefs")))
    report = route_report(EDGE_PARENT, sayings=(NOT_ALLOWED, RESOLVED), generation=2)

    (parent,) = parents_after(report, live)

    assert [(each.type, each.status, each.last_transition_time) for each in parent.conditions] == [
        ("Accepted", "False", LATER),
        ("ResolvedRefs", "True", EARLY),
    ]
    assert {each.observed_generation for each in parent.conditions} == {2}


def test_what_somebody_said_twice_is_said_once() -> None:
    """Two entries of ours for one parent become one."""
    parents = parents_after(route_report(HTTP), route(entry(OURS, HTTP), entry(OURS, HTTP)))

    assert len(parents) == 1


def test_a_route_that_the_data_plane_refuses_at_first_sight_is_not_accepted() -> None:
    """`UnsupportedValue`, with the data plane's words."""
    (parent,) = parents_after(route_report(EDGE_PARENT, problems=(refused(),)), route())

    accepted = parent.conditions[0]
    assert (accepted.status, accepted.reason) == ("False", "UnsupportedValue")
    assert accepted.message == "no regular expressions here"


def test_an_edit_that_the_data_plane_refuses_falls_back_to_the_last_good_form() -> None:
    """`Accepted` keeps that form's generation, and `PartiallyInvalid` begins with "Fall Back"."""
    live = route(entry(OURS, EDGE_PARENT, condition(generation=4)))
    report = route_report(EDGE_PARENT, problems=(refused(),), generation=5)

    (parent,) = parents_after(report, live)

    told = {each.type: each for each in parent.conditions}
    assert (told["Accepted"].status, told["Accepted"].observed_generation) == ("True", 4)
    assert told["PartiallyInvalid"].status == "True"
    assert told["PartiallyInvalid"].message.startswith("Fall Back: ")
    assert told["PartiallyInvalid"].observed_generation == 5


def test_rules_that_are_served_in_part_are_dropped_rules() -> None:
    """`Accepted` is true of the newest generation."""
    report = route_report(EDGE_PARENT, problems=(refused(Severity.WARNING),), generation=5)

    (parent,) = parents_after(report, route())

    told = {each.type: each for each in parent.conditions}
    assert (told["Accepted"].status, told["Accepted"].observed_generation) == ("True", 5)
    assert told["PartiallyInvalid"].message.startswith("Dropped Rule: ")


def test_partial_validity_is_only_said_of_accepted_routes() -> None:
    """It "MUST NOT be set if a Route is fully valid, fully invalid, or not accepted"."""
    report = route_report(EDGE_PARENT, sayings=(NOT_ALLOWED,), problems=(refused(),))

    (parent,) = parents_after(report, route())

    assert [each.type for each in parent.conditions] == ["Accepted"]


def test_a_list_that_others_have_filled_is_not_added_to() -> None:
    """32 entries; the API would refuse one more, and with it all."""
    full = tuple(entry(f"c{n}.example/controller") for n in range(32))

    assert decide_gateway(route_report(EDGE_PARENT), route(*full), LATER) == ()


def test_policies_have_ancestors_by_the_same_rules() -> None:
    """`status.ancestors`, of which there are 16 at most."""
    policy = BackendTLSPolicy(
        metadata=Meta(name="web", namespace="shop", uid="u1", generation=1),
        spec=BackendTlsPolicySpec(
            target_refs=(PolicyTarget(group="", kind="Service", name="web"),),
            validation=BackendValidation(hostname="web.example.com"),
        ),
    )
    (write,) = decide_gateway(route_report(EDGE_PARENT), policy, LATER)

    assert isinstance(write.status, PolicyStatus)
    (ancestor,) = write.status.ancestors
    assert (ancestor.ancestor_ref, ancestor.controller_name) == (EDGE_PARENT, OURS)
    after = msgspec.structs.replace(policy, status=write.status)
    assert decide_gateway(route_report(EDGE_PARENT), after, LATER) == ()


PARENTS = (EDGE_PARENT, HTTP, HTTPS)
entries = st.lists(
    st.builds(
        entry,
        st.sampled_from((OURS, THEIRS, "third.example/controller")),
        st.sampled_from(PARENTS),
        st.builds(
            condition,
            st.sampled_from(("Accepted", "a.example/B")),
            st.sampled_from(("True", "False")),
        ),
    ),
    max_size=6,
)
route_reports = st.builds(
    msgspec.structs.replace,
    st.lists(st.sampled_from(PARENTS), unique=True).map(lambda each: route_report(*each)),
    problems=st.sampled_from(((), (refused(),), (refused(Severity.WARNING),))),
)


@given(live=entries, report=route_reports)
def test_whatever_is_there_one_write_is_enough(
    live: list[RouteParentStatus], report: Report
) -> None:
    """Others' entries come out as they went in, in their order; deciding again gives nothing."""
    before = route(*live)

    after = parents_after(report, before)

    others = [each for each in live if each.controller_name != OURS]
    assert [each for each in after if each.controller_name != OURS] == others
    assert decide_gateway(report, route(*after), LATER) == ()


@pytest.mark.parametrize("controller", [THEIRS, "third.example/controller"])
def test_routes_of_other_classes_cost_no_write(controller: str) -> None:
    """Whoever has no parent of ours and no entry of ours is left alone."""
    assert decide_gateway(route_report(), route(entry(controller)), LATER) == ()
