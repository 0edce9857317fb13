"""The wiring of a lab, as lines for `ip -batch`; pure.

Every cable is a veth pair whose ends are born in their namespaces: the machine's own network never
has a device, an address or a route of the lab.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.lab.world.plan import Host, Node, Plan, Pod, pod_space
from onehop.lab.world.spec import Underlay
from onehop.model.address import IpAddr, is_ipv6

UPLINK: Final = "eth0"
BRIDGE: Final = "br0"

_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
_GATEWAY: Final = ("169.254.1.1", "fe80::ecee:eeff:feee:eeee")
_GATEWAY_MAC: Final = "ee:ee:ee:ee:ee:ee"
"""Calico's: every Pod has the same gateway, which is its node's end of its link."""

_SETTINGS: Final = (
    # Before any link is there: addresses are used at once, nobody else can have them.
    "net/ipv6/conf/default/accept_dad=0",
    "net/ipv4/conf/all/rp_filter=0",
    "net/ipv4/conf/default/rp_filter=0",
    # Several load balancers are several next hops of a VIP: whole connections are spread.
    "net/ipv4/fib_multipath_hash_policy=1",
    "net/ipv6/fib_multipath_hash_policy=1",
    # An IPv6 address stays when its link goes down, as an IPv4 address does.
    "net/ipv6/conf/default/keep_addr_on_down=1",
)
_FORWARDING: Final = ("net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1")


class Wiring(msgspec.Struct, frozen=True):
    """What is done in a namespace once it exists: settings first, then lines."""

    who: str
    settings: tuple[str, ...]
    lines: tuple[str, ...]


def wirings(plan: Plan) -> tuple[tuple[Wiring, ...], ...]:
    """Return all wiring, in stages; those of a stage do not depend on each other."""
    hosts = (plan.api, *plan.lbs, *(node.host for node in plan.nodes))
    cables = [line for host in (plan.router, *hosts) for line in _cable(plan, host)]
    bridge = f"link add {BRIDGE} type bridge mcast_snooping 0"
    first = (
        Wiring("switch", _SETTINGS, ("link set lo up", bridge, f"link set {BRIDGE} up", *cables)),
        Wiring("client", _SETTINGS, ("link set lo up", _client_cable(plan))),
        *(
            Wiring(who, (*_SETTINGS, *(_FORWARDING if _forwards(who) else ())), ("link set lo up",))
            for who in plan.everybody()
            if who not in {"switch", "client"}
        ),
    )
    return (
        first,
        (
            Wiring("client", (), tuple(_uplink(plan.client))),
            Wiring("router", (), tuple(_router(plan))),
            *(Wiring(host.name, (), tuple(_uplink(host))) for host in hosts),
        ),
        tuple(Wiring(node.name, (), tuple(_node(plan, node))) for node in plan.nodes),
        tuple(Wiring(pod_space(pod.name), (), pod_lines(pod)) for pod in plan.pods),
    )


def host_wirings(plan: Plan, node: Node) -> tuple[Wiring, ...]:
    """Return the wiring of a node that comes later, in order."""
    host = node.host
    return (
        Wiring(host.name, (*_SETTINGS, *_FORWARDING), ("link set lo up",)),
        Wiring("switch", (), _cable(plan, host)),
        Wiring(host.name, (), tuple(_uplink(host))),
        Wiring(host.name, (), tuple(_node(plan, node))),
    )


def pod_wirings(plan: Plan, pod: Pod) -> tuple[Wiring, ...]:
    """Return the wiring of a Pod that comes later, in order."""
    space = pod_space(pod.name)
    return (
        Wiring(space, _SETTINGS, ("link set lo up",)),
        Wiring(pod.node, (), tuple(_pod_cable(plan, pod))),
        Wiring(space, (), pod_lines(pod)),
    )


def pod_lines(pod: Pod) -> tuple[str, ...]:
    """Return what a Pod's own network has: its addresses, and one way out."""
    lines = [f"link set {UPLINK} up"]
    for address in pod.addresses:
        gateway = _GATEWAY[is_ipv6(address)]
        lines += [
            _single(address),
            f"neighbour replace {gateway} lladdr {_GATEWAY_MAC} dev {UPLINK} nud permanent",
            f"route add {_EVERYWHERE[is_ipv6(address)]} via {gateway} dev {UPLINK} onlink",
        ]
    return tuple(lines)


def _forwards(who: str) -> bool:
    return who.startswith(("router", "node", "lb"))


def _cable(plan: Plan, host: Host) -> tuple[str, ...]:
    """Return the lines, for the switch, that join a host to it."""
    space = plan.namespace(host.name)
    return (
        f"link add {host.name} type veth peer name {UPLINK} netns {space}",
        f"link set {host.name} master {BRIDGE} up",
    )


def _client_cable(plan: Plan) -> str:
    space = plan.namespace("router")
    return f"link add {UPLINK} type veth peer name client netns {space}"


def _router(plan: Plan) -> Iterator[str]:
    router = plan.router
    yield from _up(UPLINK, router.addresses)
    yield from _up("client", plan.client.gateways)


def _uplink(host: Host) -> Iterator[str]:
    yield from _up(UPLINK, host.addresses)
    for gateway in host.gateways:
        yield f"route add {_EVERYWHERE[is_ipv6(gateway)]} via {gateway}"


def _up(device: str, addresses: tuple[IpAddr, ...]) -> Iterator[str]:
    yield f"link set {device} up"
    for address in addresses:
        if is_ipv6(address):
            yield f"address add {address}/64 dev {device} nodad"
        else:
            yield f"address add {address}/24 dev {device}"


def _node(plan: Plan, node: Node) -> Iterator[str]:
    ranges = node.pod_cidrs if plan.spec.network is not Underlay.CALICO else ()
    # What no Pod has is nobody's: without this it would go back to the router, and come again.
    for prefix in ranges:
        yield f"route add blackhole {prefix}"
    for pod in plan.pods:
        if pod.node == node.name:
            yield from _pod_cable(plan, pod)


def _pod_cable(plan: Plan, pod: Pod) -> Iterator[str]:
    space = plan.namespace(pod_space(pod.name))
    yield (f"link add {pod.link} address {_GATEWAY_MAC} type veth peer name {UPLINK} netns {space}")
    yield f"link set {pod.link} up"
    for address in pod.addresses:
        yield f"route add {address} dev {pod.link}"


def _single(address: IpAddr) -> str:
    length = "128" if is_ipv6(address) else "32"
    return f"address add {address}/{length} dev {UPLINK}{' nodad' if is_ipv6(address) else ''}"
