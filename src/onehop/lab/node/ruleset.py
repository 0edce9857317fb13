"""The rules that do to a Service's packets what kube-proxy does to them; pure.

It is not kube-proxy. The rules follow those of its nftables mode (kubernetes `pkg/proxy/nftables`,
its README.md and proxier.go), chain by chain and under the same names, so that what is learnt from
`nft list ruleset` here holds there:

* `nat-prerouting` sends what is addressed to a node port, an external address or a cluster address
  to the Service's chain, which picks one endpoint at random (`numgen random`) and rewrites the
  destination. Only a connection's first packet comes by; conntrack treats the others alike.
* With `externalTrafficPolicy: Cluster` the packet is marked, and `nat-postrouting` gives it the
  node's own address as its source, so that the answer comes back this way. With `Local` only this
  node's endpoints are picked and the source is kept.
* Without an endpoint a packet is rejected; without a local one under the policy `Local`, dropped.

What kube-proxy has not: named counters. `arrived-...` counts packets to a node port,
`connections-...` the connections of a Service port from outside, `endpoint-...` those of each
endpoint, `second-hop` the packets that come in from the network only to leave to it again.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from onehop.lab.node.choice import Choice, Target
from onehop.lab.node.table import Chain, Lookup, Memory, Table

MARK: Final = "0x4000"
"""kube-proxy's default, `--iptables-masquerade-bit 14`."""
SECOND_HOP: Final = "second-hop"
MASQUERADED: Final = "masqueraded"
DROPPED: Final = "dropped"
REJECTED: Final = "rejected"
INVALID: Final = "invalid"
_COUNTERS: Final = (SECOND_HOP, MASQUERADED, DROPPED, REJECTED, INVALID)
_LONGEST: Final = 200
"""Of a name; the kernel's NFT_NAME_MAXLEN is 256."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rules are to work, in one address family.

    Attributes:
        addresses: the node's own, on which node ports are served (`--nodeport-addresses`).
        pod_networks: what the cluster's Pods have addresses of (`--cluster-cidr`).
        uplink: the device to the network of the nodes.
    """

    family: int
    addresses: tuple[str, ...]
    pod_networks: tuple[str, ...]
    uplink: str


def make_table(choices: Sequence[Choice], place: Place) -> Table:
    """Return the table for these Service ports, each chosen for the place's family."""
    ip = "ip" if place.family == 4 else "ip6"  # noqa: PLR2004  a family
    kind = "ipv4_addr" if place.family == 4 else "ipv6_addr"  # noqa: PLR2004
    services = [_Service(choice, place, ip) for choice in choices]
    service_ips, nodeports, no_services, no_nodeports, firewall, arrivals = _elements(services)
    port, service = "inet_proto . inet_service", f"{kind} . inet_proto . inet_service"
    return Table(
        family=ip,
        chains=(
            *_filter_chains(ip, place),
            *_nat_chains(ip),
            *(c for s in services for c in s.chains()),
        ),
        lookups=(
            Lookup("nodeport-ips", kind, place.addresses),
            Lookup("service-ips", f"{service} : verdict", tuple(service_ips)),
            Lookup("service-nodeports", f"{port} : verdict", tuple(nodeports)),
            Lookup("no-endpoint-services", f"{service} : verdict", tuple(no_services)),
            Lookup("no-endpoint-nodeports", f"{port} : verdict", tuple(no_nodeports)),
            Lookup("firewall-ips", f"{service} : verdict", tuple(firewall)),
            Lookup("arrivals", f"{port} : counter", tuple(arrivals)),
        ),
        memories=tuple(
            Memory(s.affinity(target), kind, s.choice.affinity_s)
            for s in services
            if s.choice.affinity_s
            for target in s.targets
        ),
        counters=(*_COUNTERS, *(name for s in services for name in s.counters())),
    )


def counter_name(what: str, label: str) -> str:
    """Return a counter's name, as in `counter_name("connections", choice.label)`."""
    return _named(what, label)


def _named(what: str, label: str) -> str:
    """Return a name that is unique for the label however it is cut, and says what it is for."""
    digest = hashlib.sha256(label.encode()).hexdigest()[:8]
    return f"{what}-{digest}-{label.replace(':', '.')}"[:_LONGEST].rstrip("/.-")


def _filter_chains(ip: str, place: Place) -> Iterator[Chain]:
    """Yield what counts packets, and refuses those that nobody serves."""
    check = "ct state new jump"
    yield Chain(
        "count-arrivals",
        (f"{ip} daddr @nodeport-ips counter name meta l4proto . th dport map @arrivals",),
        "type filter hook prerouting priority -300",
    )
    yield Chain(
        "filter-prerouting",
        (f"ct state new {ip} daddr . meta l4proto . th dport vmap @firewall-ips",),
        "type filter hook prerouting priority -110",
    )
    checks = (f"{check} nodeport-endpoints-check", f"{check} service-endpoints-check")
    yield Chain("filter-input", checks, "type filter hook input priority -110")
    second = f'iifname "{place.uplink}" oifname "{place.uplink}" ct status dnat counter name'
    yield Chain(
        "filter-forward",
        (
            f"ct state invalid counter name {INVALID} drop",
            checks[1],
            f"{second} {SECOND_HOP}",
        ),
        "type filter hook forward priority -110",
    )
    yield Chain("filter-output", checks[1:], "type filter hook output priority -110")
    yield Chain("drop-chain", (f"counter name {DROPPED} drop",))
    yield Chain("reject-chain", (f"counter name {REJECTED} reject",))
    yield Chain(
        "nodeport-endpoints-check",
        (f"{ip} daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports",),
    )
    yield Chain(
        "service-endpoints-check",
        (f"{ip} daddr . meta l4proto . th dport vmap @no-endpoint-services",),
    )


def _nat_chains(ip: str) -> Iterator[Chain]:
    """Yield what leads new connections to the Services' chains, and gives them our address."""
    yield Chain("nat-prerouting", ("jump services",), "type nat hook prerouting priority -100")
    yield Chain("nat-output", ("jump services",), "type nat hook output priority -100")
    yield Chain(
        "nat-postrouting",
        (
            f"meta mark & {MARK} == 0 return",
            f"meta mark set meta mark ^ {MARK}",
            f"counter name {MASQUERADED} masquerade fully-random",
        ),
        "type nat hook postrouting priority 100",
    )
    yield Chain(
        "services",
        (
            f"{ip} daddr . meta l4proto . th dport vmap @service-ips",
            f"{ip} daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports",
        ),
    )
    yield Chain("mark-for-masquerade", (f"meta mark set meta mark | {MARK}",))


def _elements(services: Iterable["_Service"]) -> tuple[list[str], ...]:
    """Return the elements of the maps, in the order in which `make_table` names them."""
    service_ips: list[str] = []
    nodeports: list[str] = []
    no_services: list[str] = []
    no_nodeports: list[str] = []
    firewall: list[str] = []
    arrivals: list[str] = []
    for service in services:
        choice = service.choice
        if choice.cluster_ip:
            at = service.at(choice.cluster_ip)
            if choice.internal:
                service_ips.append(f"{at} : goto {service.internal}")
            else:
                no_services.append(f"{at} : goto {_refusal(choice.is_internal_local, choice)}")
        for vip in choice.vips:
            at = service.at(vip)
            if choice.external:
                service_ips.append(f"{at} : goto {service.external}")
            else:
                no_services.append(f"{at} : goto {_refusal(choice.is_external_local, choice)}")
            if choice.source_ranges and vip in choice.balancer_vips:
                firewall.append(f"{at} : goto {service.firewall}")
        if choice.node_port:
            at = f"{choice.protocol.lower()} . {choice.node_port}"
            arrivals.append(f'{at} : "{service.arrived}"')
            if choice.external:
                nodeports.append(f"{at} : goto {service.external}")
            else:
                no_nodeports.append(f"{at} : goto {_refusal(choice.is_external_local, choice)}")
    return service_ips, nodeports, no_services, no_nodeports, firewall, arrivals


def _refusal(is_local: bool, choice: Choice) -> str:  # noqa: FBT001  the one question there is
    return "drop-chain" if is_local and choice.cluster else "reject-chain"


class _Service:
    """The chains of one Service port.

    `service-` serves by policy Cluster and `local-` by policy Local, for whichever traffic has it;
    `external-` is where what comes from outside enters.
    """

    def __init__(self, choice: Choice, place: Place, ip: str) -> None:
        self.choice = choice
        self.targets = tuple(sorted({*choice.cluster, *choice.local}))
        self.external = _named("external", choice.label)
        self.firewall = _named("firewall", choice.label)
        self.arrived = _named("arrived", choice.label)
        self.connections = _named("connections", choice.label)
        self.everywhere = _named("service", choice.label)
        self.local = _named("local", choice.label)
        self.internal = self.local if choice.is_internal_local else self.everywhere
        self._place = place
        self._ip = ip

    def at(self, address: str) -> str:
        """Return the key of an address in the maps."""
        return f"{address} . {self.choice.protocol.lower()} . {self.choice.port}"

    def endpoint(self, target: Target) -> str:
        """Return the name of an endpoint's chain, and of its counter."""
        return _named("endpoint", f"{self.choice.label}__{target.address}/{target.port}")

    def affinity(self, target: Target) -> str:
        """Return the name of the set of an endpoint's clients."""
        label = f"{self.choice.label}__{target.address}/{target.port}"
        return _named(f"affinity-{self.choice.affinity_s}s", label)

    def counters(self) -> Iterator[str]:
        """Yield the names of the counters."""
        yield self.arrived
        yield self.connections
        yield from (self.endpoint(target) for target in self.targets)

    def chains(self) -> Iterator[Chain]:
        """Yield the chains, those that nothing can lead to included."""
        choice = self.choice
        yield Chain(self.external, tuple(self._external_rules()))
        yield Chain(self.everywhere, tuple(self._internal_rules(choice.cluster)))
        yield Chain(self.local, tuple(self._internal_rules(choice.local)))
        yield from (
            Chain(self.endpoint(target), tuple(self._endpoint_rules(target)))
            for target in self.targets
        )
        if choice.source_ranges:
            ranges = ", ".join(choice.source_ranges)
            rule = f"{self._ip} saddr != {{ {ranges} }} goto drop-chain"
            yield Chain(self.firewall, (rule,))

    def _external_rules(self) -> Iterator[str]:
        yield f"counter name {self.connections}"
        if not self.choice.is_external_local:
            yield "jump mark-for-masquerade"
            yield f"goto {self.everywhere}"
            return
        # What is of the cluster itself is not bound to this node (KEP-1669's "short-circuit").
        for network in self._place.pod_networks:
            yield f"{self._ip} saddr {network} goto {self.everywhere}"
        yield "fib saddr type local jump mark-for-masquerade"
        yield f"fib saddr type local goto {self.everywhere}"
        yield f"goto {self.local}"

    def _internal_rules(self, targets: Sequence[Target]) -> Iterator[str]:
        choice, ip = self.choice, self._ip
        if choice.cluster_ip and self._place.pod_networks:
            networks = ", ".join(self._place.pod_networks)
            yield (
                f"{ip} daddr {choice.cluster_ip} {ip} saddr != {{ {networks} }} "
                f"jump mark-for-masquerade"
            )
        if choice.affinity_s:
            for target in targets:
                yield f"{ip} saddr @{self.affinity(target)} goto {self.endpoint(target)}"
        if targets:
            cases = ", ".join(f"{n} : goto {self.endpoint(t)}" for n, t in enumerate(targets))
            yield f"numgen random mod {len(targets)} vmap {{ {cases} }}"

    def _endpoint_rules(self, target: Target) -> Iterator[str]:
        ip, choice = self._ip, self.choice
        # A Pod that is sent to itself must believe that another speaks to it.
        yield f"{ip} saddr {target.address} jump mark-for-masquerade"
        if choice.affinity_s:
            yield f"update @{self.affinity(target)} {{ {ip} saddr }}"
        shown = f"[{target.address}]" if ip == "ip6" else target.address
        yield f"counter name {self.endpoint(target)}"
        yield f"meta l4proto {choice.protocol.lower()} dnat to {shown}:{target.port}"
