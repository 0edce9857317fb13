"""Pool members as a ClusterLoadAssignment (EDS): the hottest path of all.

A change of one endpoint in a pool of a thousand sends a thousand. The bytes of an endpoint depend
on the endpoint alone, so they are encoded once and joined: 8 times faster than building the
message (a test holds both against each other).
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, Final

from onehop.driver.envoy.proto import ClusterLoadAssignment, LbEndpoint, encode, wrapped
from onehop.driver.envoy.wire import bytes_field
from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint, Path, PoolEndpoints, Readiness
from onehop.model.pool import HealthCheck

# Field numbers of envoy/config/endpoint/v3/endpoint.proto and endpoint_components.proto.
_CLUSTER_NAME: Final = 1
_ENDPOINTS: Final = 2
_LOCALITY: Final = 1
_LB_ENDPOINTS: Final = 2
_LOCALITY_ZONE: Final = 2

_OWN_PORT: Final = 0
_REMEMBERED_ENDPOINTS: Final = 1 << 17


def render_endpoints(members: PoolEndpoints, check: HealthCheck | None = None) -> bytes:
    """Return the serialized ClusterLoadAssignment of a pool.

    Args:
        members: the pool and its endpoints.
        check: the pool's active health check, if it has one.

    Zones become localities, which Envoy shows in its statistics; without zone-aware routing they
    do not weigh. Where *all* endpoints drain they are offered as healthy, because a terminating
    Pod that still serves is better than none (KEP-1669).
    """
    parts = [bytes_field(_CLUSTER_NAME, members.pool.encode())]
    drains = has_serving(members.endpoints)
    by_zone = sorted(members.endpoints, key=_zone)
    for zone, group in groupby(by_zone, key=_zone):
        locality = bytes_field(_LOCALITY, bytes_field(_LOCALITY_ZONE, zone.encode()))
        lb_endpoints = (
            _lb_endpoint(
                endpoint.address,
                endpoint.port,
                endpoint.weight,
                drains and endpoint.readiness is Readiness.DRAINING,
                _asked_at(endpoint, check),
            )
            for endpoint in group
        )
        parts.append(bytes_field(_ENDPOINTS, b"".join((locality if zone else b"", *lb_endpoints))))
    return b"".join(parts)


def has_serving(endpoints: Sequence[Endpoint]) -> bool:
    """Tell whether any endpoint may get new work."""
    return any(endpoint.readiness is Readiness.SERVING for endpoint in endpoints)


def build_endpoints(members: PoolEndpoints, check: HealthCheck | None = None) -> Any:
    """Return the same ClusterLoadAssignment as a message."""
    message = ClusterLoadAssignment()
    message.ParseFromString(render_endpoints(members, check))
    return message


def _zone(endpoint: Endpoint) -> str:
    return endpoint.zone or ""


def _asked_at(endpoint: Endpoint, check: HealthCheck | None) -> int | None:
    """Return the port that a check asks an endpoint at; None spares it where others are asked."""
    if check is None:
        return _OWN_PORT
    if check.spares_pods and endpoint.path is Path.POD:
        return None
    return check.port or _OWN_PORT


@lru_cache(maxsize=_REMEMBERED_ENDPOINTS)
def _lb_endpoint(
    address: IpAddr,
    port: int,
    weight: int,
    is_draining: bool,  # noqa: FBT001  part of a cache key
    asked_at: int | None,
) -> bytes:
    """Return one entry of `lb_endpoints`, tag included."""
    endpoint: dict[str, Any] = {
        "address": {"socket_address": {"address": address, "port_value": port}}
    }
    if asked_at is None:
        endpoint["health_check_config"] = {"disable_active_health_check": True}
    elif asked_at != _OWN_PORT:
        endpoint["health_check_config"] = {"port_value": asked_at}
    message = LbEndpoint(
        endpoint=endpoint,
        load_balancing_weight=wrapped(weight),
        health_status="DRAINING" if is_draining else "UNKNOWN",
    )
    return bytes_field(_LB_ENDPOINTS, encode(message))
