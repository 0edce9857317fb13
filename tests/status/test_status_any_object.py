"""Properties of `decide` over any report and any live object."""

import random
from datetime import timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from onehop.cluster.service import Condition, IngressAddress, LoadBalancerStatus, PortStatus
from onehop.compile.service import FINALIZER
from onehop.compile.verdict import ServiceRelease
from onehop.model.problem import Reason, Severity
from onehop.status import PatchStatus, Report, decide
from onehop.status.condition import ACCEPTED, PROGRAMMED
from tests.status.objects import (
    WEB,
    carried_out,
    changes,
    ingress,
    ingress_report,
    listener,
    moment,
    problem,
    service,
    verdict,
)

IPS = ("203.0.113.10", "203.0.113.11", "2001:db8::1")
PORTS = (80, 443)

ip_sets = st.lists(st.sampled_from(IPS), unique=True, max_size=3).map(tuple)
port_sets = st.lists(st.sampled_from(PORTS), unique=True, min_size=1).map(tuple)
listener_sets = st.frozensets(
    st.builds(listener, st.sampled_from(PORTS), st.sampled_from(IPS)), max_size=4
)
problems = st.builds(
    problem,
    st.sampled_from(Reason),
    st.text(max_size=12),
    st.sampled_from(Severity),
)
verdicts = st.one_of(
    st.builds(lambda ips, ports: verdict(*ips, ports=ports), ip_sets, port_sets),
    st.builds(ServiceRelease, st.just(WEB), st.booleans()),
)
reports = st.builds(
    Report,
    verdict=verdicts,
    uid=st.just("u1"),
    generation=st.sampled_from((0, 3)),
    problems=st.lists(problems, max_size=3).map(tuple),
    served=listener_sets,
    refused=listener_sets,
    is_acknowledged=st.booleans(),
    has_endpoints=st.booleans(),
)
entries = st.builds(
    IngressAddress,
    ip=st.sampled_from((*IPS, "198.51.100.66", None)),
    hostname=st.sampled_from((None, "lb.example")),
    ip_mode=st.sampled_from((None, "VIP", "Proxy")),
    ports=st.one_of(
        st.none(),
        st.lists(
            st.builds(PortStatus, port=st.sampled_from(PORTS), protocol=st.just("TCP")), max_size=2
        ).map(tuple),
    ),
)
load_balancers = st.builds(
    LoadBalancerStatus, st.one_of(st.none(), st.lists(entries, max_size=3).map(tuple))
)
conditions = st.lists(
    st.builds(
        Condition,
        type=st.sampled_from((ACCEPTED, PROGRAMMED, "other.example/Ready", "Other")),
        status=st.sampled_from(("True", "False", "Unknown")),
        reason=st.just("Was"),
        last_transition_time=st.sampled_from(("", "2025-01-01T00:00:00Z")),
    ),
    max_size=4,
    unique_by=lambda condition: condition.type,
).map(tuple)
services = st.builds(
    lambda finalizers, shown, conditions, deleted: service(
        finalizers=finalizers, shown=shown, conditions=conditions, deleted=deleted
    ),
    st.sampled_from((None, (), (FINALIZER,), ("x/y",), ("x/y", FINALIZER))),
    load_balancers,
    st.one_of(st.none(), conditions),
    st.sampled_from((None, "2026-01-01T00:00:00Z")),
)


@given(report=reports, live=services, is_patient=st.booleans())
def test_writing_what_was_decided_leaves_nothing_to_write(
    report: Report, live: object, *, is_patient: bool
) -> None:
    """One round is enough, and a minute later there is still nothing to do."""
    assert isinstance(live, type(service()))
    decided = decide(report, live, now=moment(), is_patient=is_patient)

    after = carried_out(live, decided)

    later = moment() + timedelta(minutes=1)
    assert changes(decide(report, after, now=later, is_patient=is_patient)) == ()


@given(report=reports, live=services)
def test_only_what_is_ours_is_ever_changed(report: Report, live: object) -> None:
    """Finalizers and conditions of others survive every write, in their order."""
    assert isinstance(live, type(service()))

    after = carried_out(live, decide(report, live, now=moment()))

    assert isinstance(after, type(live))
    ours = {ACCEPTED, PROGRAMMED}
    for read in (live, after):
        assert [each for each in read.metadata.finalizers or () if each != FINALIZER] == [
            each for each in live.metadata.finalizers or () if each != FINALIZER
        ]
        assert [each for each in read.status.conditions or () if each.type not in ours] == [
            each for each in live.status.conditions or () if each.type not in ours
        ]


@given(report=reports, live=services)
def test_no_address_is_shown_that_is_not_ours(report: Report, live: object) -> None:
    """Whatever is patched in, what we leave in the status is wanted or served."""
    assert isinstance(live, type(service()))

    decided = decide(report, live, now=moment())

    wanted = getattr(report.verdict, "status", LoadBalancerStatus()).ingress or ()
    ours = {entry.ip for entry in wanted} | {each.rpartition("@")[2] for each in report.served}
    for write in decided:
        if isinstance(write, PatchStatus) and write.load_balancer is not None:
            assert {entry.ip for entry in write.load_balancer.ingress or ()} <= ours


@given(report=reports, live=services, seed=st.integers())
def test_the_order_of_problems_does_not_matter(report: Report, live: object, seed: int) -> None:
    """Equal meaning is equal writes."""
    assert isinstance(live, type(service()))
    shuffled = list(report.problems)
    random.Random(seed).shuffle(shuffled)  # noqa: S311  an order, no secret
    other = msgspec.structs.replace(report, problems=tuple(shuffled))

    assert decide(report, live, now=moment()) == decide(other, live, now=moment())


@given(wanted=ip_sets, shown=load_balancers, is_acknowledged=st.booleans())
def test_an_ingress_needs_one_round_too(
    wanted: tuple[str, ...], shown: LoadBalancerStatus, *, is_acknowledged: bool
) -> None:
    """Writing what was decided leaves nothing to write."""
    report = msgspec.structs.replace(ingress_report(*wanted), is_acknowledged=is_acknowledged)
    live = ingress(shown)

    after = carried_out(live, decide(report, live, now=moment()))

    assert decide(report, after, now=moment()) == ()
