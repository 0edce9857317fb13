"""Service: defaults, allocation and what can be wrong with one.

Kubernetes `pkg/apis/core/v1/defaults.go` (SetDefaults_Service), `pkg/registry/core/service`
(storage/alloc.go, strategy.go) and `pkg/apis/core/validation/validation.go` (ValidateService).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from onehop.lab.api.check import items, part
from onehop.lab.api.kind.service_check import service_faults
from onehop.lab.api.printing import AGE, NAME, joined
from onehop.lab.api.refusal import FieldFault, Json, invalid, unprocessable
from onehop.lab.api.resource import (
    METADATA_LISTS,
    Column,
    Key,
    ListRule,
    Merging,
    Resource,
    World,
)

WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
CLIENT_IP_TIMEOUT_S = 10800
"""Three hours: v1.DefaultClientIPServiceAffinitySeconds."""


class ServiceRules:
    """Defaults, allocations and checks of a Service."""

    def default(self, obj: Json, old: Json | None, world: World) -> None:
        """Fill in what the API would, and give out addresses and ports."""
        spec = obj["spec"] = dict(part(obj, "spec"))
        _default_fields(spec)
        if old is not None:
            _keep_allocated(spec, part(old, "spec"))
            _drop_of_other_types(spec, part(old, "spec"))
        if spec["type"] == "ExternalName":
            for name in ("ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
                spec.pop(name, None)
        elif not any(service_faults(obj, old, world)):  # allocate nothing for what will be refused
            _allocate_addresses(spec, world)
            _allocate_ports(obj, spec, world)
        obj["status"] = _default_status(part(obj, "status"))

    def faults(self, obj: Json, old: Json | None, world: World) -> Iterator[FieldFault]:
        """Yield what the API would refuse."""
        yield from service_faults(obj, old, world)

    def committed(self, key: Key, obj: Json | None, world: World) -> None:
        """Hold, or give back, what was allocated."""
        spec = part(obj or {}, "spec")
        ports = {port["nodePort"] for port in items(spec, "ports") if port.get("nodePort")}
        if spec.get("healthCheckNodePort"):
            ports.add(spec["healthCheckNodePort"])
        addresses = frozenset(each for each in items(spec, "clusterIPs") if each != "None")
        world.allocation.hold(key, frozenset(ports), addresses)


def _default_status(status: Json) -> Json:
    balancer = dict(part(status, "loadBalancer"))
    if ingress := items(balancer, "ingress"):
        # KEP-1860: what was written before there was an ipMode, and what says none, is a VIP.
        balancer["ingress"] = [
            {"ipMode": "VIP"} | each if each.get("ip") else each for each in ingress
        ]
    return {**status, "loadBalancer": balancer}


def needs_node_ports(spec: Json) -> bool:
    """Return whether each port of the Service gets a node port."""
    kind: str = spec["type"]
    if kind == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts", True) is not False
    return kind == "NodePort"


def needs_health_check_port(spec: Json) -> bool:
    """Return whether the Service gets a healthCheckNodePort."""
    return spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _default_fields(spec: Json) -> None:
    spec["ports"] = [dict(port) for port in items(spec, "ports")]
    for port in spec["ports"]:
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, 0, "") and "port" in port:
            port["targetPort"] = port["port"]
    if not spec["ports"]:
        del spec["ports"]
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "ClientIP":
        config = spec["sessionAffinityConfig"] = dict(part(spec, "sessionAffinityConfig"))
        client_ip = config["clientIP"] = dict(part(config, "clientIP"))
        client_ip.setdefault("timeoutSeconds", CLIENT_IP_TIMEOUT_S)
    else:
        spec.pop("sessionAffinityConfig", None)
    if spec["type"] in WITH_NODE_PORTS:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")


def _keep_allocated(spec: Json, old: Json) -> None:
    """Take over what was allocated and the update leaves out (Go: patchAllocatedValues)."""
    if "ExternalName" not in (spec["type"], old.get("type")):
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if name in old and not spec.get(name):
                spec[name] = old[name]
    if needs_node_ports(spec):
        had = {
            (port.get("protocol"), port.get("port")): port["nodePort"]
            for port in items(old, "ports")
            if port.get("nodePort")
        }
        told = {port["nodePort"] for port in items(spec, "ports") if port.get("nodePort")}
        for port in items(spec, "ports"):
            kept = had.get((port.get("protocol"), port.get("port")))
            if kept and not port.get("nodePort") and kept not in told:
                port["nodePort"] = kept
    if needs_health_check_port(spec) and old.get("healthCheckNodePort"):
        spec.setdefault("healthCheckNodePort", old["healthCheckNodePort"])


def _drop_of_other_types(spec: Json, old: Json) -> None:
    """Drop what only the old type can have and the update left (Go: dropTypeDependentFields)."""

    def drop(name: str) -> None:
        if spec.get(name) == old.get(name):
            spec.pop(name, None)

    if old.get("type") in WITH_NODE_PORTS and spec["type"] not in WITH_NODE_PORTS:
        had = {port.get("nodePort") for port in items(old, "ports")}
        for port in items(spec, "ports"):
            if port.get("nodePort") in had:
                port.pop("nodePort", None)
        drop("externalTrafficPolicy")
    if not needs_health_check_port(spec):
        drop("healthCheckNodePort")
    if spec["type"] != "LoadBalancer":
        drop("allocateLoadBalancerNodePorts")
        drop("loadBalancerClass")
    if spec["type"] == "ExternalName" != old.get("type"):
        drop("clusterIP")
        drop("clusterIPs")


def _allocate_addresses(spec: Json, world: World) -> None:
    asked: list[str] = items(spec, "clusterIPs") or [
        each for each in [spec.get("clusterIP")] if each
    ]
    families = (
        list(items(spec, "ipFamilies"))
        or ["IPv6" if ":" in each else "IPv4" for each in asked if each != "None"]
        or ["IPv4"]
    )
    policy = spec.setdefault(
        "ipFamilyPolicy", "RequireDualStack" if len(families) > 1 else "SingleStack"
    )
    if policy != "SingleStack" and len(families) == 1:
        families.append("IPv4" if families[0] == "IPv6" else "IPv6")
    if policy == "SingleStack":
        del families[1:]
    spec["ipFamilies"] = families
    if asked == ["None"]:
        addresses = asked
    else:
        by_family = {"IPv6" if ":" in each else "IPv4": each for each in asked}
        addresses = [
            by_family.get(family) or world.allocation.free_address(family, world.rng)
            for family in families
        ]
    spec["clusterIP"] = addresses[0]
    spec["clusterIPs"] = addresses


def _allocate_ports(obj: Json, spec: Json, world: World) -> None:
    taken = {port["nodePort"] for port in items(spec, "ports") if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        taken.add(spec["healthCheckNodePort"])

    def allocate() -> int:
        port = world.allocation.free_port(world.rng, besides=frozenset(taken))
        if port is None:
            fault = invalid("spec.ports", None, "failed to allocate a nodePort: range is full")
            raise unprocessable(obj["metadata"].get("name", ""), [fault], kind="Service", group="")
        taken.add(port)
        return port

    if needs_node_ports(spec):
        for port in items(spec, "ports"):
            if not port.get("nodePort"):
                port["nodePort"] = allocate()
    if needs_health_check_port(spec) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = allocate()


def _external_ip(obj: Json, _now: datetime) -> str:
    spec = part(obj, "spec")
    told = [
        each.get("ip") or each.get("hostname", "")
        for each in items(part(part(obj, "status"), "loadBalancer"), "ingress")
    ]
    addresses = [*told, *items(spec, "externalIPs")]
    match spec.get("type"):
        case "ExternalName":
            return str(spec.get("externalName", ""))
        case "LoadBalancer":
            return ",".join(addresses) or "<pending>"
        case _:
            return joined(items(spec, "externalIPs"))


def _ports(obj: Json, _now: datetime) -> str:
    def shown(port: dict[str, Any]) -> str:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{node_port}/{port['protocol']}"

    return joined([shown(port) for port in items(part(obj, "spec"), "ports")])


def _selector(obj: Json, _now: datetime) -> str:
    return joined([f"{k}={v}" for k, v in sorted(part(part(obj, "spec"), "selector").items())])


SERVICE = Resource(
    group="",
    version="v1",
    plural="services",
    singular="service",
    kind="Service",
    short_names=("svc",),
    categories=("all",),
    has_status=True,
    selectable=(("spec.clusterIP", ("spec", "clusterIP")), ("spec.type", ("spec", "type"))),
    empty=b'{"spec":{},"status":{"loadBalancer":{}}}',
    columns=(
        NAME,
        Column("Type", lambda obj, _: part(obj, "spec").get("type", "")),
        Column("Cluster-IP", lambda obj, _: part(obj, "spec").get("clusterIP") or "<none>"),
        Column("External-IP", _external_ip),
        Column("Port(s)", _ports),
        AGE,
        Column("Selector", _selector, priority=1),
    ),
    merging=Merging(
        lists=(
            *METADATA_LISTS,
            ListRule(
                ("spec", "ports"), keys=(("port", None), ("protocol", "TCP")), patch_key="port"
            ),
            ListRule(("status", "conditions"), keys=(("type", None),), patch_key="type"),
        ),
        atomic=frozenset({("spec", "selector")}),
    ),
    rules=ServiceRules(),
)
