"""Counting what one machine hides: hops, packets on the network, address translations.

All hosts of a lab are one kernel, so a hop takes no time in it. Between machines it does. So
packets are counted where they pass, by nftables, in a load of its own: the timed rounds run without
these counters.

A hop is an arrival at an address that the packet was sent to: a node port, the Pod of the proxy
inside the cluster, a Pod; or at a second node that kube-proxy has chosen. A node that only routes
is none, as in the drawing of the four ways: it is counted as a link.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from onehop.lab.bench.way import EDGE_HTTP_PORT, EDGE_TCP_PORT, POD_PORT, Way
from onehop.lab.node.nft import read_counters
from onehop.lab.world.command import inside, run
from onehop.lab.world.link import UPLINK

if TYPE_CHECKING:
    from onehop.lab.world import World

_TABLE: Final = "onehop_bench"
_EDGE_PORTS: Final = (EDGE_HTTP_PORT, EDGE_TCP_PORT)
_PREFIX: Final = "bench-"
_REMOVED: Final = f"table inet {_TABLE} {{ }}\ndelete table inet {_TABLE}\n"
"""Whether or not it was there: the first of the two lines makes it if it was not."""


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """Packets of a load, all but `wire` of the direction from the client to the Pod.

    None is counted before the load balancer: its way to the client is the same for all.

    Attributes:
        sent: by the load balancer, or where there is none, by the router, to nodes or Pods.
        node_port: arrived at a node port.
        second: came in from the network and went out to it again, to another node's Pod.
        edge_in: delivered to the proxy inside the cluster.
        edge_out: sent by it.
        edge_link: of these, those that left its node.
        pod_in: delivered to Pods.
        masqueraded: with a source address that was replaced by a node's.
        wire: all packets on the nodes' network, both directions.
    """

    sent: int = 0
    node_port: int = 0
    second: int = 0
    edge_in: int = 0
    edge_out: int = 0
    edge_link: int = 0
    pod_in: int = 0
    masqueraded: int = 0
    wire: int = 0

    def hops(self, *, has_edge: bool) -> float:
        """Return how many hops a packet takes on average, from the load balancer to the Pod.

        Args:
            has_edge: whether the proxy inside the cluster is on the way.
        """
        last = self.edge_out if has_edge else self.sent
        edge = _share(self.edge_in, self.sent) if has_edge else 0.0
        return _share(self.node_port + self.second, self.sent) + edge + _share(self.pod_in, last)

    def links(self, *, has_edge: bool) -> float:
        """Return how often it crosses the network between machines, on average."""
        edge = _share(self.edge_link, self.edge_out) if has_edge else 0.0
        return _share(self.sent + self.second, self.sent) + edge

    @property
    def translations(self) -> float:
        """How often one of its addresses is rewritten, on average."""
        return _share(self.node_port + self.masqueraded, self.sent)


def added(counts: Iterable[Count]) -> Count:
    """Return the sum of counts."""
    total = dict.fromkeys(Count.__struct_fields__, 0)
    for count in counts:
        for name in total:
            total[name] += getattr(count, name)
    return Count(**total)


class Counters:
    """The counters of a lab, in the networks of its nodes and of who sends to them."""

    def __init__(self, world: "World") -> None:
        plan = world.plan
        self._senders = [
            plan.namespace(who) for who in ("router", *(host.name for host in plan.lbs))
        ]
        self._nodes = [plan.namespace(node.name) for node in plan.nodes]

    async def start(self, way: Way) -> None:
        """Make all of them, at zero, for the connections of a way; others are not counted."""
        senders = dict.fromkeys(self._senders, sender_rules(way.entry_ports))
        await _everywhere(senders | dict.fromkeys(self._nodes, node_rules(way.ports)))

    async def stop(self) -> None:
        """Remove them."""
        await _everywhere(dict.fromkeys((*self._senders, *self._nodes), _REMOVED))

    async def read(self) -> Count:
        """Return what they have counted since they were started."""
        async with asyncio.TaskGroup() as tasks:
            readings = [
                tasks.create_task(read_counters(inside(space)))
                for space in (*self._senders, *self._nodes)
            ]
        fields = Count.__struct_fields__
        return added(
            Count(**{name: _packets(reading.result(), name) for name in fields})
            for reading in readings
        )


def sender_rules(ports: Sequence[int]) -> str:
    """Return the rules of who sends to nodes and Pods: a load balancer, or the router."""
    mine = f'oifname "{UPLINK}" tcp dport {_set(ports)}'
    return _table(
        _chain("postrouting", 300, (f"{mine} {_add('sent')} {_add('wire')}",)),
        names=("sent", "wire"),
    )


def node_rules(ports: Sequence[int]) -> str:
    """Return the rules of a node: what it forwards of connections that were opened to ports."""
    uplink, pod = f'"{UPLINK}"', '"cali*"'
    ours = f"meta l4proto tcp ct original proto-dst {_set(ports)}"
    edge = _set(_EDGE_PORTS)
    forward = (
        f"{ours} oifname {uplink} {_add('wire')}",
        f"{ours} ct direction reply return",
        f"{ours} iifname {uplink} ct status dnat {_add('node_port')}",
        f"{ours} iifname {uplink} oifname {uplink} {_add('second')}",
        # Only the proxy inside the cluster opens connections from a Pod.
        f"{ours} iifname {pod} {_add('edge_out')}",
        f"{ours} iifname {pod} oifname {uplink} {_add('edge_link')}",
        f"{ours} oifname {pod} tcp dport {edge} {_add('edge_in')}",
        f"{ours} oifname {pod} tcp dport {POD_PORT} {_add('pod_in')}",
    )
    # Behind the masquerading, which is done at 100. `ct status snat` would say too much: conntrack
    # also replaces a source port that an older connection to the same Pod still holds.
    behind = (f"{ours} ct direction original fib saddr type local {_add('masqueraded')}",)
    names = tuple(name for name in Count.__struct_fields__ if name != "sent")
    return _table(_chain("forward", 0, forward), _chain("postrouting", 300, behind), names=names)


async def _everywhere(rules: Mapping[str, str]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for space, text in rules.items():
            tasks.create_task(run(*inside(space, "nft", "-f", "-"), told=text))


def _table(*chains: str, names: Sequence[str]) -> str:
    counters = "".join(f"  counter {_PREFIX}{name} {{ }}\n" for name in names)
    return f"{_REMOVED}table inet {_TABLE} {{\n{counters}{''.join(chains)}}}\n"


def _chain(hook: str, priority: int, rules: Iterable[str]) -> str:
    lines = "".join(f"    {rule}\n" for rule in rules)
    return f"  chain {hook} {{\n    type filter hook {hook} priority {priority};\n{lines}  }}\n"


def _add(name: str) -> str:
    return f"counter name {_PREFIX}{name}"


def _set(ports: Iterable[int]) -> str:
    return f"{{ {', '.join(str(port) for port in sorted(set(ports)))} }}"


def _packets(reading: Mapping[str, object], name: str) -> int:
    found = reading.get(f"{_PREFIX}{name}")
    return getattr(found, "packets", 0)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
