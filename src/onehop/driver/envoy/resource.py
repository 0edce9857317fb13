"""The resource types we serve, and how one resource lies on the wire.

A delta response is nothing but the concatenation of its resources (protobuf: encoded messages
concatenate, and repeated fields append), so each one is framed once and joined as bytes. That is
what keeps the cost of a change independent of everything that did not change.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from onehop.driver.envoy.proto import AnyMessage, Resource, encode
from onehop.driver.envoy.wire import bytes_field


class ResourceType(StrEnum):
    """The type URLs, in the order in which pending ones are sent: endpoints before all else."""

    ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105
    LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
    ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
    HOST = "type.googleapis.com/envoy.config.route.v3.VirtualHost"


class ResourceKey(NamedTuple):
    """Which resource."""

    type: ResourceType
    name: str


_RESOURCES_FIELD: Final = 2  # envoy/service/discovery/v3/discovery.proto, DeltaDiscoveryResponse


def frame(key: ResourceKey, version: int, body: bytes) -> bytes:
    """Return one entry of a DeltaDiscoveryResponse's `resources`, ready to be joined."""
    resource = Resource(
        name=key.name,
        version=str(version),
        resource=AnyMessage(type_url=key.type.value, value=body),
    )
    return bytes_field(_RESOURCES_FIELD, encode(resource))
