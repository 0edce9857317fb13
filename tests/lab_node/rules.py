"""Service ports to make rules of."""

from typing import Final

import msgspec
from hypothesis import strategies as st

from onehop.lab.node.choice import Choice, Target
from onehop.lab.node.ruleset import Place

PLACES: Final = {
    4: Place(
        family=4,
        addresses=("10.111.0.11",),
        pod_networks=("10.244.0.0/16", "10.245.0.0/16"),
        uplink="eth0",
    ),
    6: Place(family=6, addresses=("fd00:111::11",), pod_networks=(), uplink="eth0"),
}
_ADDRESSES: Final = {
    4: ("10.96.0.{}", "203.0.113.{}", "10.244.0.{}", ("192.0.2.0/24", "198.51.100.7/32")),
    6: ("fd00:96::{}", "2001:db8::{}", "fd00:244::{}", ("2001:db8:1::/48",)),
}


@st.composite
def choices(draw: st.DrawFn, family: int) -> tuple[Choice, ...]:
    """Draw some Service ports, at most one for each of four names."""
    numbers = draw(st.sets(st.integers(1, 4), max_size=3))
    return tuple(draw(_choice(family, number)) for number in sorted(numbers))


@st.composite
def _choice(draw: st.DrawFn, family: int, number: int) -> Choice:
    cluster, vip, pod, ranges = _ADDRESSES[family]
    targets = draw(st.lists(st.integers(1, 5), unique=True, max_size=4))
    cluster_targets = tuple(sorted(Target(pod.format(each), 8080) for each in targets))
    vips = (vip.format(number),) if draw(st.booleans()) else ()
    return Choice(
        namespace="shop",
        service=f"a-rather-long-name-of-a-service-with-number-{number}",
        name=draw(st.sampled_from(["", "http"])),
        protocol=draw(st.sampled_from(["TCP", "UDP"])),
        port=80,
        node_port=draw(st.sampled_from([0, 30000 + number])),
        cluster_ip=draw(st.sampled_from(["", cluster.format(number)])),
        vips=vips,
        balancer_vips=vips if draw(st.booleans()) else (),
        source_ranges=draw(st.sampled_from([(), ranges])),
        is_external_local=draw(st.booleans()),
        is_internal_local=draw(st.booleans()),
        cluster=cluster_targets,
        local=tuple(t for t in cluster_targets if draw(st.booleans())),
        affinity_s=draw(st.sampled_from([0, 60])),
    )


def plain(**fields: object) -> Choice:
    """Return a Service port with two endpoints, one of them here."""
    two = (Target("10.244.0.1", 8080), Target("10.244.0.2", 8080))
    made = Choice(
        namespace="shop",
        service="web",
        name="http",
        protocol="TCP",
        port=80,
        node_port=30080,
        cluster_ip="10.96.0.10",
        vips=(),
        balancer_vips=(),
        source_ranges=(),
        is_external_local=False,
        is_internal_local=False,
        cluster=two,
        local=two[:1],
        affinity_s=0,
    )
    return msgspec.structs.replace(made, **fields)
