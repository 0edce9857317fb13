"""What Envoy has counted for each host of a cluster: its admin's `/clusters?format=json`.

envoy/admin/v3/clusters.proto. A figure that is zero has no value there, a figure is a string
(int64 of proto3 JSON), and a host's health is a set of failures.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from onehop.driver.driver import EndpointCount
from onehop.model.address import IpAddr
from onehop.model.ident import PoolId


class _SocketAddress(msgspec.Struct, frozen=True):
    address: str = ""
    port_value: int = 0


class _Address(msgspec.Struct, frozen=True):
    socket_address: _SocketAddress = _SocketAddress()


class _Stat(msgspec.Struct, frozen=True):
    name: str
    value: str = "0"


class _Host(msgspec.Struct, frozen=True):
    address: _Address = _Address()
    stats: tuple[_Stat, ...] = ()
    health_status: Mapping[str, Any] = {}


class _Cluster(msgspec.Struct, frozen=True):
    name: str
    host_statuses: tuple[_Host, ...] = ()


class _Clusters(msgspec.Struct, frozen=True):
    cluster_statuses: tuple[_Cluster, ...] = ()


def read_counts(body: bytes) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
    """Return the figures of every host by cluster."""
    said = msgspec.json.decode(body, type=_Clusters)
    return {
        PoolId(cluster.name): tuple(_count(host) for host in cluster.host_statuses)
        for cluster in said.cluster_statuses
    }


def _count(host: _Host) -> EndpointCount:
    figures = {stat.name: int(stat.value) for stat in host.stats}
    # A TCP proxy and a UDP proxy open connections, and send no requests.
    requests = figures.get("rq_total") or figures.get("cx_total", 0)
    failed = figures.get("rq_error", 0) + figures.get("cx_connect_fail", 0)
    return EndpointCount(
        address=IpAddr(host.address.socket_address.address),
        port=host.address.socket_address.port_value,
        requests=requests,
        failed=failed,
        active=figures.get("rq_active") or figures.get("cx_active", 0),
        health=_health(host.health_status),
    )


def _health(status: Mapping[str, Any]) -> str:
    failures = [name.removeprefix("failed_") for name, value in status.items() if value is True]
    if failures:
        return "unhealthy: " + ", ".join(name.replace("_", " ") for name in sorted(failures))
    return str(status.get("eds_health_status", "HEALTHY")).lower()
