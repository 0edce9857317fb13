"""The plan of a lab: who there is, and at which addresses. A pure function of the spec.

Two networks, joined by a router: clients on one side; load balancers, nodes and the API on the
other. Pods have addresses of their node's part of the Pod network; VIPs are of neither network.
"""

from ipaddress import ip_network
from typing import Final

import msgspec

from onehop.lab.world.spec import Spec
from onehop.model.address import Cidr, IpAddr

CLIENT_NET: Final = ("10.110.0.0/24", "fd00:110::/64")
NODE_NET: Final = ("10.111.0.0/24", "fd00:111::/64")
POD_NET: Final = ("10.244.0.0/16", "fd00:244::/48")
VIP_NET: Final = ("203.0.113.0/24", "2001:db8:113::/64")

NODE_ASN: Final = 64512
"""Calico's default."""
ROUTER_ASN: Final = 64514
API_PORT: Final = 6443

_ROUTER, _FIRST_LB, _API, _FIRST_NODE, _CLIENT = 1, 2, 5, 11, 10
_SHARED = 10
_FIRST_POD = 2
_BLOCK_LENGTH = {4: 26, 6: 122}  # Calico's defaults
_CIDR_LENGTH = {4: 24, 6: 64}  # kube-controller-manager's defaults
_FIRST_LB_RANGE = 201  # of the Pod network, behind those of the nodes


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of the lab: a network namespace.

    Attributes:
        name: unique in the lab, such as `node1`.
        addresses: on its network, at most one of each family, IPv4 first.
        gateways: the router on that network, one for each of `addresses`.
    """

    name: str
    addresses: tuple[IpAddr, ...] = ()
    gateways: tuple[IpAddr, ...] = ()


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the cluster.

    Attributes:
        pod_cidrs: what Node.spec.podCIDRs says.
        blocks: its Calico blocks, each within one of `pod_cidrs`.
    """

    host: Host
    pod_cidrs: tuple[Cidr, ...]
    blocks: tuple[Cidr, ...]

    @property
    def name(self) -> str:
        """Its name, which is its host's."""
        return self.host.name


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """A Pod: a namespace of its own, joined to its node's.

    Attributes:
        link: the name of the node's end of its link.
    """

    name: str
    node: str
    addresses: tuple[IpAddr, ...]
    link: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody in a lab."""

    spec: Spec
    client: Host
    router: Host
    api: Host
    lbs: tuple[Host, ...]
    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...]

    @property
    def families(self) -> tuple[int, ...]:
        """The places of the families in pairs of networks: 0 is IPv4, 1 is IPv6."""
        return (0, 1) if self.spec.ipv6 else (0,)

    @property
    def shared(self) -> tuple[IpAddr, ...]:
        """The address of all Ingresses, of each family."""
        return tuple(_address(VIP_NET[family], _SHARED) for family in self.families)

    def node(self, name: str) -> Node:
        """Return the node of a name; KeyError if there is none."""
        return {node.name: node for node in self.nodes}[name]

    def end_ranges(self, lb: str) -> tuple[Cidr, ...]:
        """Return the ranges of a load balancer that is an end of the overlay; no node has them."""
        number = [host.name for host in self.lbs].index(lb)
        return tuple(_part(POD_NET[family], _FIRST_LB_RANGE + number) for family in self.families)

    def namespace(self, who: str) -> str:
        """Return the name of the network namespace of a host or a Pod."""
        return f"{self.spec.name}-{who}"

    def everybody(self) -> tuple[str, ...]:
        """Return the names of all namespaces, without the lab's own name before them."""
        hosts = (self.client, self.router, self.api, *self.lbs, *(n.host for n in self.nodes))
        return ("switch", *(host.name for host in hosts), *(pod_space(p.name) for p in self.pods))


def pod_space(pod: str) -> str:
    """Return who a Pod is among the hosts."""
    return f"pod-{pod}"


def make_plan(spec: Spec) -> Plan:
    """Return the plan of a lab that is to be built."""
    families = (0, 1) if spec.ipv6 else (0,)
    nodes = tuple(make_node(number, families) for number in range(1, spec.nodes + 1))
    plan = Plan(
        spec=spec,
        client=_host("client", CLIENT_NET, _CLIENT, families),
        router=_host("router", NODE_NET, _ROUTER, families),
        api=_host("api", NODE_NET, _API, families),
        lbs=tuple(
            _host(f"lb{number + 1}", NODE_NET, _FIRST_LB + number, families)
            for number in range(spec.lbs)
        ),
        nodes=nodes,
        pods=(),
    )
    for _ in range(spec.pods):
        plan = with_pod(plan)
    return plan


def make_node(number: int, families: tuple[int, ...]) -> Node:
    """Return the node of a number, from 1."""
    cidrs = tuple(_part(POD_NET[family], number) for family in families)
    return Node(
        host=_host(f"node{number}", NODE_NET, _FIRST_NODE + number - 1, families),
        pod_cidrs=cidrs,
        blocks=tuple(_block(cidr) for cidr in cidrs),
    )


def with_node(plan: Plan) -> Plan:
    """Return the plan with one node more; the lowest free number is taken."""
    taken = {node.name for node in plan.nodes}
    number = next(n for n in range(1, len(taken) + 2) if f"node{n}" not in taken)
    nodes = sorted((*plan.nodes, make_node(number, plan.families)), key=_number)
    return msgspec.structs.replace(plan, nodes=tuple(nodes))


def without_node(plan: Plan, name: str) -> Plan:
    """Return the plan without a node and its Pods."""
    return msgspec.structs.replace(
        plan,
        nodes=tuple(node for node in plan.nodes if node.name != name),
        pods=tuple(pod for pod in plan.pods if pod.node != name),
    )


def with_pod(plan: Plan, node: str | None = None) -> Plan:
    """Return the plan with one Pod more, on the node that has the fewest, or on a certain one.

    Raises:
        ValueError: the node has no address left.
    """
    count = {each.name: 0 for each in plan.nodes}
    for pod in plan.pods:
        count[pod.node] += 1
    chosen = plan.node(node or min(count, key=lambda name: count[name]))
    taken = {pod.name for pod in plan.pods}
    number = next(n for n in range(1, len(taken) + 2) if f"echo-{n}" not in taken)
    used = {address for pod in plan.pods for address in pod.addresses}
    addresses = tuple(_free(block, used) for block in chosen.blocks)
    pod = Pod(name=f"echo-{number}", node=chosen.name, addresses=addresses, link=f"cali{number}")
    return msgspec.structs.replace(plan, pods=(*plan.pods, pod))


def without_pod(plan: Plan, name: str) -> Plan:
    """Return the plan without a Pod."""
    pods = tuple(pod for pod in plan.pods if pod.name != name)
    return msgspec.structs.replace(plan, pods=pods)


def _number(node: Node) -> int:
    return int(node.name.removeprefix("node"))


def _host(name: str, nets: tuple[str, str], number: int, families: tuple[int, ...]) -> Host:
    return Host(
        name=name,
        addresses=tuple(_address(nets[family], number) for family in families),
        gateways=tuple(_address(nets[family], _ROUTER) for family in families),
    )


def _address(net: str, number: int) -> IpAddr:
    return IpAddr(str(ip_network(net)[number]))


def _part(net: str, number: int) -> Cidr:
    """Return the numbered part of the Pod network, of the length that nodes get."""
    whole = ip_network(net)
    step = 1 << (whole.max_prefixlen - _CIDR_LENGTH[whole.version])
    return Cidr(f"{whole[number * step]}/{_CIDR_LENGTH[whole.version]}")


def _block(cidr: Cidr) -> Cidr:
    whole = ip_network(cidr)
    return Cidr(f"{whole.network_address}/{_BLOCK_LENGTH[whole.version]}")


def _free(block: Cidr, used: set[IpAddr]) -> IpAddr:
    whole = ip_network(block)
    for number in range(_FIRST_POD, whole.num_addresses):
        address = IpAddr(str(whole[number]))
        if address not in used:
            return address
    raise ValueError(f"no address is left in {block}")
