"""What Envoy has counted for each host of a cluster: its admin's `/clusters?format=json`.

envoy/admin/v3/clusters.proto. A figure that is zero has no value there, a figure is a string
(int64 of proto3 JSON), and a host's health is a set of failures.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from onehop.driver.driver import EndpointCount
from onehop.driver.envoy.admin import EnvoyAdmin
from onehop.model.address import IpAddr
from onehop.model.ident import PoolId
from onehop.model.pool import BackendProtocol, Pool

_ASKED_AT_ONCE: Final = 50
"""Pools in one question: their names stand in its URL."""


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


async def count_members(
    admin: EnvoyAdmin, pools: Iterable[Pool]
) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
    """Ask for the figures of some pools; those of UDP are left out, for Envoy counts none by host.

    Raises:
        DriverUnavailable: Envoy's admin does not answer.
    """
    names = sorted(pool.id for pool in pools if pool.protocol is not BackendProtocol.UDP)
    counts: dict[PoolId, tuple[EndpointCount, ...]] = {}
    for start in range(0, len(names), _ASKED_AT_ONCE):
        counts |= read_counts(await admin.clusters(names[start : start + _ASKED_AT_ONCE]))
    return counts


def read_counts(body: bytes) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
    """Return the figures of every host by cluster."""
    said = msgspec.json.decode(body, type=_Clusters)
    return {
        PoolId(cluster.name): tuple(_count(host) for host in cluster.host_statuses)
        for cluster in said.cluster_statuses
    }


def _count(host: _Host) -> EndpointCount:
    figures = {stat.name: int(stat.value) for stat in host.stats}
    # A TCP proxy opens connections and sends no requests.
    unit = "rq" if figures.get("rq_total") else "cx"
    failed = figures.get("rq_error", 0) + figures.get("cx_connect_fail", 0)
    return EndpointCount(
        address=IpAddr(host.address.socket_address.address),
        port=host.address.socket_address.port_value,
        requests=figures.get(f"{unit}_total", 0),
        failed=failed,
        active=figures.get(f"{unit}_active", 0),
        health=_health(host.health_status),
    )


def _health(status: Mapping[str, Any]) -> str:
    failures = [name.removeprefix("failed_") for name, value in status.items() if value is True]
    if failures:
        return "unhealthy: " + ", ".join(name.replace("_", " ") for name in sorted(failures))
    return str(status.get("eds_health_status", "HEALTHY")).lower()
