"""A node of a VXLAN overlay, as flannel makes it: Pods' packets travel inside UDP (RFC 7348).

The model is flannel `pkg/backend/vxlan` (vxlan.go, vxlan_network.go). Each node writes its end of
the tunnels on its own Node object; every other node makes, of each Node object, a neighbour entry
(the end's inner address has that MAC), a forwarding entry (that MAC is behind the node's address)
and a route (the podCIDR is behind the inner address). Nothing is learnt from traffic.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from onehop.kube import Change, Client
from onehop.lab.node.choice import family_of
from onehop.lab.node.command import CommandFailed, run
from onehop.lab.node.object import NODES, Node
from onehop.lab.node.route import Route

VNI: Final = 1
PORT: Final = 8472
DEVICES: Final[Mapping[int, str]] = {4: "flannel.1", 6: "flannel-v6.1"}
_PREFIX: Final = "flannel.alpha.coreos.com/"
_KEYS: Final = {4: ("backend-data", "public-ip"), 6: ("backend-v6-data", "public-ipv6")}


class _Data(msgspec.Struct, frozen=True, rename={"vni": "VNI", "mac": "VtepMAC"}):
    """The text of `backend-data`."""

    vni: int
    mac: str


class End(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A node's end of the tunnels, in one family.

    Attributes:
        outer: where encapsulated packets go.
        inner: the address of its tunnel device: the first of its podCIDR.
        prefix: its podCIDR.
    """

    family: int
    mac: str
    outer: str
    inner: str
    prefix: str

    @property
    def route(self) -> Route:
        """The way to the Pods behind it."""
        return Route(self.prefix, self.inner, f"dev {DEVICES[self.family]} onlink")


def own_ends(node: Node) -> tuple[End, ...]:
    """Return what this node's ends shall be, from its podCIDRs and InternalIPs."""
    return tuple(
        End(
            family=family_of(cidr),
            mac=_mac(node.metadata.name, family_of(cidr)),
            outer=outer,
            inner=cidr.partition("/")[0],
            prefix=cidr,
        )
        for cidr in node.spec.pod_cidrs
        for outer in [ip for ip in node.internal_ips if family_of(ip) == family_of(cidr)][:1]
    )


def annotations(ends: Iterable[End]) -> dict[str, str]:
    """Return what flanneld writes on its node."""
    found = {f"{_PREFIX}backend-type": "vxlan", f"{_PREFIX}kube-subnet-manager": "true"}
    for end in ends:
        data, address = _KEYS[end.family]
        text = msgspec.json.encode(_Data(VNI, end.mac)).decode()
        found |= {f"{_PREFIX}{data}": text, f"{_PREFIX}{address}": end.outer}
    return found


def other_ends(nodes: Iterable[Node], me: str) -> tuple[End, ...]:
    """Return the ends that other nodes have written down, sorted."""
    return tuple(sorted(e for n in nodes if n.metadata.name != me for e in _told(n)))


class Overlay:
    """This node's devices of the overlay, and what leads to the other ends."""

    def __init__(self, client: Client, uplink: str) -> None:
        self._client = client
        self._uplink = uplink
        self._own: tuple[End, ...] = ()
        self._had: frozenset[End] = frozenset()

    async def join(self, me: Node) -> bool:
        """Make our ends, and tell of them; return whether a device is new, and without routes.

        Raises:
            TransientError: the kernel or the API refuses, for now.
        """
        ends = own_ends(me)
        is_new = ends != self._own
        if is_new:
            for end in ends:
                await self._make_device(end)
            self._own = ends
        noted = annotations(ends)
        if not noted.items() <= me.metadata.annotations.items():
            change = Change(patch={"metadata": {"annotations": noted}})
            await self._client.merge_patch(NODES, "", me.metadata.name, change)
        return is_new

    async def lead_to(self, ends: Iterable[End]) -> None:
        """Make the entries of these ends, and of no others; routes come after."""
        families = {end.family for end in self._own}
        wanted = frozenset(end for end in ends if end.family in families)
        for end in sorted(self._had - wanted):
            device = DEVICES[end.family]
            if end.inner not in {each.inner for each in wanted}:
                await run("ip", "neighbour", "del", end.inner, "dev", device)
            if end.mac not in {each.mac for each in wanted}:
                await run("bridge", "fdb", "del", end.mac, "dev", device, "dst", end.outer)
        for end in sorted(wanted - self._had):
            device = DEVICES[end.family]
            to = ("lladdr", end.mac, "nud", "permanent", "dev", device)
            await run("ip", "neighbour", "replace", end.inner, *to)
            await run("bridge", "fdb", "replace", end.mac, "dev", device, "dst", end.outer)
        self._had = wanted

    async def _make_device(self, end: End) -> None:
        device = DEVICES[end.family]
        with contextlib.suppress(CommandFailed):  # there may be none
            await run("ip", "link", "del", device)
        options = ("id", str(VNI), "local", end.outer, "dev", self._uplink)
        port = ("dstport", str(PORT), "nolearning")
        await run("ip", "link", "add", device, "address", end.mac, "type", "vxlan", *options, *port)
        length = "32" if end.family == 4 else "128"  # noqa: PLR2004  a family
        await run("ip", "address", "add", f"{end.inner}/{length}", "dev", device)
        await run("ip", "link", "set", device, "up")
        self._had = frozenset(each for each in self._had if each.family != end.family)


def _told(node: Node) -> Iterator[End]:
    notes = node.metadata.annotations
    if notes.get(f"{_PREFIX}backend-type") != "vxlan":
        return
    for cidr in node.spec.pod_cidrs:
        family = family_of(cidr)
        data, address = (f"{_PREFIX}{key}" for key in _KEYS[family])
        if data in notes and address in notes:
            try:
                mac = msgspec.json.decode(notes[data], type=_Data).mac
            except msgspec.DecodeError:
                continue  # flanneld logs it and passes over the node
            inner = cidr.partition("/")[0]
            yield End(family=family, mac=mac, outer=notes[address], inner=inner, prefix=cidr)


def _mac(node: str, family: int) -> str:
    """Return a MAC that stays the node's own; locally administered (bit 1 of the first byte)."""
    digest = hashlib.sha256(f"{node}/{family}".encode()).hexdigest()
    return ":".join(("02", *(digest[at : at + 2] for at in range(0, 10, 2))))
