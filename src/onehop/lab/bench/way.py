"""What is compared: ways from a client to a Pod, and kinds of load on them."""

from typing import Final

import msgspec

from onehop.model.address import IpAddr

POD_PORT: Final = 8081
"""Where the Pods' fast responders listen."""
EDGE_HTTP_PORT: Final = 10080
EDGE_TCP_PORT: Final = 10050
"""Where the proxy inside the cluster listens."""
VIP_HTTP_PORT: Final = 80
VIP_TCP_PORT: Final = 5000


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A way from a client to a Pod.

    Attributes:
        title: for people.
        path: the annotation `onehop.dev/path` of its Service; "" where no load balancer stands.
        policy: its Service's externalTrafficPolicy.
        number: makes its VIP and its node ports its own.
        is_two_tiers: whether its Service leads to a proxy inside the cluster.
    """

    name: str
    title: str
    path: str
    policy: str = "Cluster"
    number: int
    is_two_tiers: bool = False

    @property
    def host(self) -> str:
        """The host name of its Ingress."""
        return f"{self.name}.bench.example"

    @property
    def vip(self) -> IpAddr:
        """The address of its Service."""
        return IpAddr(f"203.0.113.{20 + self.number}")

    @property
    def node_ports(self) -> tuple[int, int]:
        """The node ports of its Service: HTTP and TCP."""
        return 31000 + 10 * self.number, 31001 + 10 * self.number

    @property
    def entry_ports(self) -> tuple[int, ...]:
        """The ports that the load balancer sends to; without one, the client."""
        return (POD_PORT,) if self.path in {"pod", ""} else self.node_ports

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports that packets are sent to on this way: a second node sees the translated one."""
        edge = (EDGE_HTTP_PORT, EDGE_TCP_PORT) if self.is_two_tiers else ()
        return tuple(sorted({*self.entry_ports, *edge, POD_PORT}))


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of load.

    Attributes:
        title: for people.
        is_tcp: whether the load balancer sees bytes of a Service's port, not requests of an
            Ingress. The client and the Pods speak HTTP all the same: it is what counts requests.
        is_new: whether every request has a connection of its own.
        connections: of the client, at once.
    """

    name: str
    title: str
    is_tcp: bool = False
    is_new: bool = False
    connections: int = 16


TWO_TIERS: Final = Way(
    name="two-tiers", title="two tiers", path="node", number=1, is_two_tiers=True
)
NODE: Final = Way(name="node", title="path: node", path="node", number=2)
LOCAL: Final = Way(name="local", title="path: local", path="local", policy="Local", number=3)
DIRECT: Final = Way(name="direct", title="path: pod", path="pod", number=4)
NONE: Final = Way(name="none", title="no load balancer", path="", number=5)

BALANCED: Final = (TWO_TIERS, NODE, LOCAL, DIRECT)
WAYS: Final = (*BALANCED, NONE)

LOADS: Final = (
    Load(name="http", title="HTTP, keep-alive"),
    Load(name="http-new", title="HTTP, a new connection for each request", is_new=True),
    Load(name="tcp", title="TCP, long connections", is_tcp=True),
    Load(name="tcp-new", title="TCP, a new connection for each request", is_tcp=True, is_new=True),
    Load(name="http-one", title="HTTP, keep-alive, one connection alone", connections=1),
)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a client sends its requests.

    Attributes:
        url: an address, a port and the path /.
        host: the Host header.
    """

    url: str
    host: str


def target_of(way: Way, load: Load, *, shared: IpAddr, pod: IpAddr) -> Target:
    """Return where the client sends a load so that it takes a way.

    Args:
        way: the way.
        load: the load.
        shared: the address of all Ingresses.
        pod: the address of a Pod, for the way without a load balancer.
    """
    if way == NONE:
        return Target(url=f"http://{pod}:{POD_PORT}/", host=way.host)
    if load.is_tcp:
        return Target(url=f"http://{way.vip}:{VIP_TCP_PORT}/", host=way.host)
    return Target(url=f"http://{shared}:{VIP_HTTP_PORT}/", host=way.host)
