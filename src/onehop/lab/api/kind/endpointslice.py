"""EndpointSlice: where a Service's Pods are.

Kubernetes `pkg/apis/discovery/validation/validation.go`. One deviation: loopback addresses are
accepted, because the lab's own Pods may be processes of this machine.
"""

from collections.abc import Iterator
from datetime import datetime

from onehop.lab.api.check import address_faults, immutable_faults, items
from onehop.lab.api.kind.core import shortened
from onehop.lab.api.printing import AGE, NAME, joined
from onehop.lab.api.refusal import FieldFault, Json, duplicate, invalid, required, unsupported
from onehop.lab.api.resource import Column, NoRules, Resource, World

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS = 1000
MAX_ADDRESSES = 100


class EndpointSliceRules(NoRules):
    """Defaults and checks of an EndpointSlice."""

    def default(self, obj: Json, old: Json | None, world: World) -> None:  # noqa: ARG002  the protocol has them
        """Name the protocol of each port, and write absent lists as null as Go does."""
        obj.setdefault("endpoints", None)
        obj.setdefault("ports", None)
        if obj["ports"]:
            obj["ports"] = [{"name": "", "protocol": "TCP"} | port for port in obj["ports"]]

    def faults(self, obj: Json, old: Json | None, world: World) -> Iterator[FieldFault]:  # noqa: ARG002  the protocol has them
        """Yield what the API would refuse."""
        kind = obj.get("addressType")
        if not kind:
            yield required("addressType")
            return
        if kind not in ADDRESS_TYPES:
            yield unsupported("addressType", kind, ADDRESS_TYPES)
        if old is not None:
            yield from immutable_faults("addressType", kind, old.get("addressType"))
        yield from _endpoints_faults(obj, kind)
        names: set[object] = set()
        for index, port in enumerate(items(obj, "ports")):
            if port.get("name") in names:
                yield duplicate("ports", port.get("name"))
            names.add(port.get("name"))
            if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
                field = f"ports[{index}].protocol"
                yield unsupported(field, port.get("protocol"), ("SCTP", "TCP", "UDP"))


def _endpoints_faults(obj: Json, kind: str) -> Iterator[FieldFault]:
    endpoints = items(obj, "endpoints")
    if len(endpoints) > MAX_ENDPOINTS:
        yield invalid("endpoints", len(endpoints), f"must have at most {MAX_ENDPOINTS} items")
    for index, endpoint in enumerate(endpoints):
        field = f"endpoints[{index}].addresses"
        addresses = items(endpoint, "addresses")
        if not addresses:
            yield required(field, "must contain at least 1 address")
        elif len(addresses) > MAX_ADDRESSES:
            yield invalid(field, len(addresses), f"must have at most {MAX_ADDRESSES} items")
        elif kind != "FQDN":
            for place, address in enumerate(addresses):
                yield from address_faults(f"{field}[{place}]", address, kind)


def _ports(obj: Json, _now: datetime) -> str:
    ports = items(obj, "ports")
    if obj.get("ports") is None:
        return "<unset>"
    return joined([each.get("port", "*") for each in ports])


def _endpoints(obj: Json, _now: datetime) -> str:
    addresses = [item for each in items(obj, "endpoints") for item in items(each, "addresses")]
    return shortened(addresses) if addresses else "<unset>"


ENDPOINT_SLICE = Resource(
    group="discovery.k8s.io",
    version="v1",
    plural="endpointslices",
    singular="endpointslice",
    kind="EndpointSlice",
    has_generation=True,
    empty=b'{"addressType":"","endpoints":null,"ports":null}',
    columns=(
        NAME,
        Column("AddressType", lambda obj, _: obj.get("addressType", "")),
        Column("Ports", _ports),
        Column("Endpoints", _endpoints),
        AGE,
    ),
    rules=EndpointSliceRules(),
)
