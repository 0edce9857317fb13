"""EndpointSlices (discovery.k8s.io/v1): by far the most objects, so the leanest structs.

`gc=False`: these structs hold no reference cycle, so the garbage collector need not walk a hundred
thousand of them.
"""

from collections.abc import Mapping

import msgspec

SERVICE_NAME = "kubernetes.io/service-name"


class SliceMeta(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """Metadata without annotations: the API's own change on every update of a slice."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: Mapping[str, str] | None = None


class EndpointConditions(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """KEP-1672. None means unknown: `ready` unknown counts as ready, `serving` as `ready`."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class SliceEndpoint(
    msgspec.Struct, frozen=True, rename="camel", kw_only=True, gc=False, omit_defaults=True
):
    """One Pod (or other backend) of a slice."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    node_name: str | None = None
    zone: str | None = None


class SlicePort(msgspec.Struct, frozen=True, rename="camel", gc=False, omit_defaults=True):
    """A resolved target port; it belongs to the Service port of the same name.

    Attributes:
        port: None means all ports (never for a Service's own slices).
    """

    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class EndpointSlice(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """Part of a Service's endpoints; the real API sends `null` for empty lists."""

    metadata: SliceMeta
    address_type: str = "IPv4"
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[SlicePort, ...] | None = None

    @property
    def service(self) -> str | None:
        """The name of the Service in the same namespace, or None for a slice of nobody."""
        return (self.metadata.labels or {}).get(SERVICE_NAME)
