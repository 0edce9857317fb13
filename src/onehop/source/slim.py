"""Making a fresh object smaller before anybody keeps it.

A hundred thousand endpoints name the same few nodes, zones and conditions; decoding makes a string
for each. The last-applied annotation repeats a whole manifest and nothing here reads it.
"""

from typing import Final

from msgspec.structs import force_setattr

from onehop.cluster import EndpointSlice, Gateway, GRPCRoute, HTTPRoute, Ingress, Service
from onehop.cluster.kind import ClusterObject
from onehop.cluster.slice import EndpointConditions

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
MOST_NAMES: Final = 20_000
"""Names are forgotten beyond this; a cluster has at most 5,000 nodes, but they come and go."""


class Slimmer:
    """Shares what is equal. Objects are changed in place, so only ones nobody else has seen yet."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._conditions: dict[EndpointConditions, EndpointConditions] = {}

    def slim(self, item: ClusterObject) -> None:
        """Drop what nobody reads, and share what many objects say."""
        match item:
            case EndpointSlice():
                self._slim_slice(item)
            case Service() | Ingress() | Gateway() | HTTPRoute() | GRPCRoute():
                # Decoded as a dict, though nobody but us here may write to it.
                if isinstance(item.metadata.annotations, dict):
                    item.metadata.annotations.pop(LAST_APPLIED, None)
            case _:
                pass

    def _slim_slice(self, item: EndpointSlice) -> None:
        if len(self._names) > MOST_NAMES:
            self._names.clear()
        names = self._names
        conditions = self._conditions
        for endpoint in item.endpoints or ():
            if endpoint.node_name is not None:
                name = names.setdefault(endpoint.node_name, endpoint.node_name)
                force_setattr(endpoint, "node_name", name)
            if endpoint.zone is not None:
                force_setattr(endpoint, "zone", names.setdefault(endpoint.zone, endpoint.zone))
            shared = conditions.setdefault(endpoint.conditions, endpoint.conditions)
            force_setattr(endpoint, "conditions", shared)
