"""What the API refuses in a Service.

Kubernetes `pkg/apis/core/validation/validation.go`: ValidateService and ValidateServiceUpdate,
and the allocators' own refusals (`pkg/registry/core/service/storage/alloc.go`).
"""

from collections.abc import Iterator

from onehop.lab.api.allocation import NODE_PORTS
from onehop.lab.api.check import (
    address_faults,
    cidr_faults,
    is_port,
    items,
    label_name_faults,
    part,
    port_faults,
    port_label_faults,
    port_name_faults,
)
from onehop.lab.api.refusal import (
    FieldFault,
    Json,
    duplicate,
    forbidden,
    invalid,
    required,
    unsupported,
)
from onehop.lab.api.resource import World

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")


def service_faults(obj: Json, old: Json | None, world: World) -> Iterator[FieldFault]:
    """Yield everything that is wrong with a Service whose defaults are filled in."""
    spec = part(obj, "spec")
    if old is None:
        yield from label_name_faults("metadata.name", obj["metadata"].get("name", "x"))
    if spec["type"] not in TYPES:
        yield unsupported("spec.type", spec["type"], TYPES)
        return
    yield from _ports_faults(spec)
    yield from _policy_faults(spec)
    yield from _load_balancer_faults(spec)
    yield from _change_faults(spec, part(old, "spec") if old else None)
    yield from _taken_faults(obj, spec, world)


def _ports_faults(spec: Json) -> Iterator[FieldFault]:
    ports = items(spec, "ports")
    is_headless = spec.get("clusterIP") == "None"
    if not ports and not is_headless and spec["type"] != "ExternalName":
        yield required("spec.ports")
    names: set[str] = set()
    numbers: set[tuple[object, object]] = set()
    node_ports: set[tuple[object, object]] = set()
    for index, port in enumerate(ports):
        field = f"spec.ports[{index}]"
        yield from _port_faults(field, port, needs_name=len(ports) > 1)
        name, protocol = port.get("name"), port.get("protocol")
        if name and name in names:
            yield duplicate(f"{field}.name", name)
        names.add(name or "")
        if (protocol, port.get("port")) in numbers:
            yield duplicate(field, {"protocol": protocol, "port": port.get("port")})
        numbers.add((protocol, port.get("port")))
        if node_port := port.get("nodePort"):
            if spec["type"] in ("ClusterIP", "ExternalName"):
                yield forbidden(
                    f"{field}.nodePort", f"may not be used when `type` is '{spec['type']}'"
                )
            if (protocol, node_port) in node_ports:
                yield duplicate(f"{field}.nodePort", node_port)
            node_ports.add((protocol, node_port))


def _port_faults(field: str, port: Json, *, needs_name: bool) -> Iterator[FieldFault]:
    name = port.get("name", "")
    if needs_name and not name:
        yield required(f"{field}.name")
    elif name:
        yield from port_label_faults(f"{field}.name", name)
    yield from port_faults(f"{field}.port", port.get("port", 0))
    if port.get("protocol") not in PROTOCOLS:
        yield unsupported(f"{field}.protocol", port.get("protocol"), PROTOCOLS)
    target = port.get("targetPort")
    if isinstance(target, str):
        yield from port_name_faults(f"{field}.targetPort", target)
    elif is_port(port.get("port")):
        yield from port_faults(f"{field}.targetPort", target)


def _policy_faults(spec: Json) -> Iterator[FieldFault]:
    if spec["sessionAffinity"] not in ("ClientIP", "None"):
        yield unsupported("spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None"))
    timeout = part(part(spec, "sessionAffinityConfig"), "clientIP").get("timeoutSeconds", 1)
    if not isinstance(timeout, int) or not 0 < timeout <= 86400:  # noqa: PLR2004  one day
        field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        yield invalid(field, timeout, "must be greater than 0 and less than 86400")
    yield from _traffic_faults(spec)
    yield from _address_faults(spec)
    if spec["type"] == "ExternalName":
        if not spec.get("externalName"):
            yield required("spec.externalName")
        if spec.get("clusterIP"):
            yield forbidden("spec.clusterIPs", "may not be set for ExternalName services")


def _traffic_faults(spec: Json) -> Iterator[FieldFault]:
    policy = spec.get("externalTrafficPolicy")
    is_external = spec["type"] in ("NodePort", "LoadBalancer") or items(spec, "externalIPs")
    if policy and not is_external:
        why = "may only be set for externally-accessible services"
        yield invalid("spec.externalTrafficPolicy", policy, why)
    elif policy and policy not in ("Cluster", "Local"):
        yield unsupported("spec.externalTrafficPolicy", policy, ("Cluster", "Local"))
    internal = spec.get("internalTrafficPolicy", "Cluster")
    if internal not in ("Cluster", "Local"):
        yield unsupported("spec.internalTrafficPolicy", internal, ("Cluster", "Local"))


def _address_faults(spec: Json) -> Iterator[FieldFault]:
    for index, family in enumerate(items(spec, "ipFamilies")):
        if family not in ("IPv4", "IPv6"):
            yield unsupported(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6"))
    for index, address in enumerate(items(spec, "clusterIPs")):
        if address != "None":
            yield from address_faults(f"spec.clusterIPs[{index}]", address)
    for index, address in enumerate(items(spec, "externalIPs")):
        yield from address_faults(f"spec.externalIPs[{index}]", address)


def _load_balancer_faults(spec: Json) -> Iterator[FieldFault]:
    is_load_balancer = spec["type"] == "LoadBalancer"
    for index, source in enumerate(items(spec, "loadBalancerSourceRanges")):
        field = f"spec.loadBalancerSourceRanges[{index}]"
        if not is_load_balancer:
            yield forbidden(
                "spec.loadBalancerSourceRanges", "may only be used when `type` is 'LoadBalancer'"
            )
            break
        yield from cidr_faults(field, source)
    for name in ("loadBalancerClass", "allocateLoadBalancerNodePorts"):
        if spec.get(name) is not None and not is_load_balancer:
            yield forbidden(f"spec.{name}", "may only be used when `type` is 'LoadBalancer'")
    port = spec.get("healthCheckNodePort")
    if port and not (is_load_balancer and spec.get("externalTrafficPolicy") == "Local"):
        why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield invalid("spec.healthCheckNodePort", port, why)


def _change_faults(spec: Json, old: Json | None) -> Iterator[FieldFault]:
    if old is None:
        return
    if spec["type"] == old.get("type") == "LoadBalancer":
        new_class, old_class = spec.get("loadBalancerClass"), old.get("loadBalancerClass")
        if new_class != old_class:  # KEP-1959
            why = "may not change once set"
            yield invalid("spec.loadBalancerClass", new_class, why)
    had = old.get("clusterIP")
    if (
        "ExternalName" not in (spec["type"], old.get("type"))
        and had
        and spec.get("clusterIP") != had
    ):
        yield invalid("spec.clusterIPs[0]", spec.get("clusterIP"), "may not change once set")
    port, old_port = spec.get("healthCheckNodePort"), old.get("healthCheckNodePort")
    if port and old_port and port != old_port:
        yield invalid("spec.healthCheckNodePort", port, "field is immutable")


def _taken_faults(obj: Json, spec: Json, world: World) -> Iterator[FieldFault]:
    """Yield ports and addresses that another Service holds or that are out of range."""
    this = (obj["metadata"].get("namespace", ""), obj["metadata"].get("name", ""))
    for index, port in enumerate(items(spec, "ports")):
        number = port.get("nodePort")
        if not number:
            continue
        field = f"spec.ports[{index}].nodePort"
        if number not in NODE_PORTS:
            why = (
                "provided port is not in the valid range. The range of valid ports is "
                f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
            )
            yield invalid(field, number, why)
        elif world.allocation.holder_of_port(number) not in (None, this):
            yield invalid(field, number, "provided port is already allocated")
    for index, address in enumerate(items(spec, "clusterIPs") or [spec.get("clusterIP")]):
        if address and world.allocation.holder_of_address(address) not in (None, this):
            field = f"spec.clusterIPs[{index}]"
            yield invalid(field, address, "failed to allocate IP: provided IP is already allocated")
