"""From Envoy's counters to shares of traffic."""

from pathlib import Path
from typing import Final

import msgspec

from onehop.control.explain.explanation import Explanation, Refusal
from onehop.control.explain.journey import explain
from onehop.control.explain.traffic import with_traffic
from onehop.driver import EndpointCount
from onehop.driver.envoy.admin import EnvoyAdmin
from onehop.driver.envoy.counts import count_members, read_counts
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.pool import BackendProtocol, Pool
from tests.explain.known import as_tree, facts_of_story

SAID: Final = {
    "cluster_statuses": [
        {
            "name": "shop/web:80",
            "host_statuses": [
                {
                    "address": {"socket_address": {"address": "10.0.0.1", "port_value": 8080}},
                    "stats": [
                        {"name": "cx_total", "value": "2"},
                        {"name": "rq_error", "value": "1"},
                        {"name": "rq_total", "value": "40"},
                        {"name": "rq_active", "type": "GAUGE", "value": "3"},
                    ],
                    "health_status": {"eds_health_status": "HEALTHY"},
                    "weight": 1,
                },
                {
                    "address": {"socket_address": {"address": "10.0.0.2", "port_value": 8080}},
                    "stats": [{"name": "rq_total"}, {"name": "cx_total", "value": "7"}],
                    "health_status": {
                        "eds_health_status": "HEALTHY",
                        "failed_outlier_check": True,
                    },
                },
            ],
        }
    ]
}
"""As Envoy 1.40 says it, shortened: a figure of zero has no value."""


def test_envoys_figures_are_read_by_host() -> None:
    """Requests where there are any, else connections; failures of health by their names."""
    counts = read_counts(msgspec.json.encode(SAID))

    assert counts[PoolId("shop/web:80")] == (
        EndpointCount(
            address=IpAddr("10.0.0.1"), port=8080, requests=40, failed=1, active=3, health="healthy"
        ),
        EndpointCount(
            address=IpAddr("10.0.0.2"), port=8080, requests=7, health="unhealthy: outlier check"
        ),
    )


async def test_nobody_is_asked_about_udp(tmp_path: Path) -> None:
    """Envoy counts no datagrams by host: better no figure than a zero."""
    dns = ObjectRef("Service", "shop", "dns")
    pool = Pool(id=PoolId("shop/dns:53"), service=dns, port=53, protocol=BackendProtocol.UDP)

    assert await count_members(EnvoyAdmin(tmp_path / "nobody.sock"), [pool]) == {}


def test_shares_of_traffic_are_those_of_what_was_counted() -> None:
    """By rung; endpoints that are not counted yet have none."""
    answer = explain(facts_of_story("ladder-direct-where-proven"), "shop/web")
    assert isinstance(answer, Explanation)
    name = PoolId(answer.pools[0].id)

    counted = with_traffic(
        answer,
        {
            name: (
                EndpointCount(address=IpAddr("10.244.1.5"), port=8080, requests=30),
                EndpointCount(address=IpAddr("192.168.0.3"), port=30080, requests=10, failed=2),
            )
        },
    )

    assert isinstance(counted, Explanation)
    (pool,) = counted.pools
    assert [rung.traffic_percent for rung in pool.rungs] == [75.0, 0.0, 25.0]
    assert [m.traffic.requests if m.traffic else None for m in pool.members] == [30, None, None, 10]
    assert "75 % of traffic so far" in as_tree(counted)
    assert "2 failed" in as_tree(counted)


def test_without_traffic_there_are_no_shares() -> None:
    """Nothing of nothing is not a percentage; and a refusal stays one."""
    answer = explain(facts_of_story("ladder-all-direct"), "shop/web")
    refusal = Refusal(message="no")
    assert isinstance(answer, Explanation)
    name = PoolId(answer.pools[0].id)

    idle = with_traffic(answer, {name: (EndpointCount(address=IpAddr("10.244.1.5"), port=8080),)})

    assert isinstance(idle, Explanation)
    assert {rung.traffic_percent for rung in idle.pools[0].rungs} == {None}
    assert with_traffic(answer, {}) == answer
    assert with_traffic(refusal, {}) is refusal
