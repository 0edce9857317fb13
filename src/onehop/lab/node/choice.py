"""Which endpoints a Service port has on this node: kube-proxy's judgment, pure.

The model is kubernetes `pkg/proxy/topology.go` (CategorizeEndpoints): ready endpoints count; where
there are none, those that are terminating and still serve do (KEP-1669). With a traffic policy
`Local` both steps look at this node's endpoints only. Topology hints are not implemented.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from onehop.lab.node.object import EndpointSlice, Service, ServicePort

FAMILIES: Final[Mapping[int, str]] = {4: "IPv4", 6: "IPv6"}
PROTOCOLS: Final = frozenset({"TCP", "UDP"})


class Target(msgspec.Struct, frozen=True, order=True):
    """A Pod's socket."""

    address: str
    port: int


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A Service port, for one address family, as this node shall treat it.

    Attributes:
        name: of the port; "" if the Service has one unnamed port.
        node_port: 0 for none.
        cluster_ip: "" for none in this family.
        vips: externalIPs and the addresses of a load balancer whose ipMode is VIP.
        balancer_vips: of these, the load balancer's: `source_ranges` hold for them only.
        cluster: the endpoints that a policy `Cluster` may use.
        local: the endpoints that a policy `Local` may use.
        affinity_s: how long a client stays with its endpoint; 0 is off.
    """

    namespace: str
    service: str
    name: str
    protocol: str
    port: int
    node_port: int
    cluster_ip: str
    vips: tuple[str, ...]
    balancer_vips: tuple[str, ...]
    source_ranges: tuple[str, ...]
    is_external_local: bool
    is_internal_local: bool
    cluster: tuple[Target, ...]
    local: tuple[Target, ...]
    affinity_s: int

    @property
    def label(self) -> str:
        """The port in text: `shop/web/tcp/http`."""
        return f"{self.namespace}/{self.service}/{self.protocol.lower()}/{self.name}"

    @property
    def external(self) -> tuple[Target, ...]:
        """The endpoints of traffic from outside the cluster."""
        return self.local if self.is_external_local else self.cluster

    @property
    def internal(self) -> tuple[Target, ...]:
        """The endpoints of traffic to the cluster address."""
        return self.local if self.is_internal_local else self.cluster


class HealthCheck(msgspec.Struct, frozen=True, order=True):
    """What a healthCheckNodePort answers: how many ready endpoints this node has."""

    port: int
    namespace: str
    service: str
    local_endpoints: int


def choose(
    services: Iterable[Service], slices: Iterable[EndpointSlice], *, node: str, family: int
) -> tuple[Choice, ...]:
    """Return every Service port of a family (4, 6), sorted by label."""
    by_service = _by_service(slices)
    found = [
        _choice(service, port, by_service.get(_key(service), ()), node=node, family=family)
        for service in services
        if service.spec.type != "ExternalName" and service.spec.cluster_ips != ("None",)
        for port in service.spec.ports
        if port.protocol in PROTOCOLS
    ]
    return tuple(sorted(found, key=lambda choice: choice.label))


def health_checks(
    services: Iterable[Service], slices: Iterable[EndpointSlice], *, node: str, family: int
) -> tuple[HealthCheck, ...]:
    """Return the healthCheckNodePorts, sorted by port; each family counts its own endpoints.

    Only ready endpoints count, terminating ones never: a load balancer shall leave the node while
    it still serves (KEP-1669, "health check node port").
    """
    by_service = _by_service(each for each in slices if each.address_type == FAMILIES[family])
    return tuple(
        sorted(
            HealthCheck(
                service.spec.health_check_node_port,
                service.metadata.namespace,
                service.metadata.name,
                _count_ready(by_service.get(_key(service), ()), node),
            )
            for service in services
            if service.spec.health_check_node_port
        )
    )


def _key(service: Service) -> tuple[str, str]:
    return service.metadata.namespace, service.metadata.name


def _by_service(slices: Iterable[EndpointSlice]) -> dict[tuple[str, str], list[EndpointSlice]]:
    found: dict[tuple[str, str], list[EndpointSlice]] = {}
    for each in slices:
        found.setdefault(each.service, []).append(each)
    return found


def _count_ready(slices: Iterable[EndpointSlice], node: str) -> int:
    return len(
        {
            endpoint.addresses
            for each in slices
            for endpoint in each.endpoints or ()
            if endpoint.conditions.ready is not False and endpoint.node_name == node
        }
    )


def _choice(
    service: Service,
    port: ServicePort,
    slices: Iterable[EndpointSlice],
    *,
    node: str,
    family: int,
) -> Choice:
    spec = service.spec
    mine = [each for each in slices if each.address_type == FAMILIES[family]]
    has_vips = spec.type == "LoadBalancer"
    balancer_vips = tuple(
        each.ip
        for each in service.status.load_balancer.ingress
        if has_vips and each.ip_mode == "VIP" and family_of(each.ip) == family
    )
    external_ips = tuple(ip for ip in spec.external_ips if family_of(ip) == family)
    return Choice(
        namespace=service.metadata.namespace,
        service=service.metadata.name,
        name=port.name,
        protocol=port.protocol,
        port=port.port,
        node_port=port.node_port,
        cluster_ip=next((ip for ip in spec.cluster_ips if family_of(ip) == family), ""),
        vips=tuple(dict.fromkeys((*external_ips, *balancer_vips))),
        balancer_vips=balancer_vips,
        source_ranges=tuple(each for each in spec.source_ranges if family_of(each) == family),
        is_external_local=spec.external_traffic_policy == "Local",
        is_internal_local=spec.internal_traffic_policy == "Local",
        cluster=_usable(mine, port, ""),
        local=_usable(mine, port, node),
        affinity_s=(
            spec.session_affinity_config.client_ip.timeout_seconds
            if spec.session_affinity == "ClientIP"
            else 0
        ),
    )


def family_of(address: str) -> int:
    """Return 4 or 6, or 0 for nothing."""
    return 0 if not address else 6 if ":" in address else 4


def _usable(slices: Iterable[EndpointSlice], port: ServicePort, node: str) -> tuple[Target, ...]:
    """Return the endpoints that are ready, or else those that serve to their end.

    Args:
        slices: of the Service and of one family.
        port: of the Service; a slice's port belongs to it by name and protocol.
        node: only this node's; "" for all.
    """
    ready: set[Target] = set()
    ending: set[Target] = set()
    for each in slices:
        number = next(
            (
                known.port
                for known in each.ports or ()
                if (known.name or "", known.protocol or "TCP") == (port.name, port.protocol)
            ),
            None,
        )
        if number is None:
            continue
        for endpoint in each.endpoints or ():
            if node and endpoint.node_name != node:
                continue
            target = Target(endpoint.addresses[0], number)
            conditions = endpoint.conditions
            is_ready = conditions.ready is not False
            if is_ready:
                ready.add(target)
            serves = is_ready if conditions.serving is None else conditions.serving
            if serves and conditions.terminating:
                ending.add(target)
    return tuple(sorted(ready or ending))
