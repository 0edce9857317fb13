"""The rules of our table, as text for nft(8): they are put once, and never change.

All that differs between two listeners is in elements of maps, whose keys begin with the address,
the protocol and the port that a client asks for. So a packet's way is the same few look-ups
however many listeners there are, and a change is a handful of elements in one transaction.

A connection's first packet passes these; conntrack treats all others as it treated the first.

1. `refuse`, a filter: nobody serves this, or not for this client. It gets a RST or ICMP.
2. `service` leads to a chain by the number of slots that the listener has. There a slot is drawn
   at random; `draw` says which member has it, and `member` where that is: `dnat`.
3. `leave` gives the packet our own address as its source, unless the member answers through us.

nft has no variables for a packet. `meta priority` serves as one between two look-ups: nothing
has set it for a packet that came from outside (the kernel does later, in ip_forward()), unlike
`meta mark`, which belongs to the operator. On its way out it is 0 again.

The chains of point 2 depend on a number of slots, which nft wants as a constant; there is one for
each number in use, made when it is first needed (`Draw`).
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

TABLE: Final = "onehop_l4"
HOLD_TABLE: Final = "onehop_l4_hold"
FAMILY: Final = "inet"

MASQUERADE: Final = "masquerade-all"
KEEP_SOURCE: Final = "masquerade-own"
REFUSE: Final = "refuse"
COUNTERS: Final = ("masqueraded", "source-kept", "refused")
"""Of connections, by what becomes of them; of those refused, each try."""

_CLIENTS: Final = 1_000_000
"""How many clients are remembered; one more than that is not, and is drawn anew each time."""
_SEED: Final = 0x6F68
"""The same on every host, so that a client that comes by another one finds the same member."""


class Draw(msgspec.Struct, frozen=True, order=True):
    """How a member is chosen.

    Attributes:
        version: of IP, 4 or 6.
        slots: how many there are to draw from, at least 1.
        is_hash: whether the client's address says which slot, and not chance.
        clients: the map in which clients are remembered; empty remembers nobody.
        sticks_s: for how long after the last connection.
    """

    version: int
    slots: int
    is_hash: bool = False
    clients: str = ""
    sticks_s: int = 0

    @property
    def chain(self) -> str:
        """The name of its chain; one that remembers belongs to one listener."""
        name = f"{'hash' if self.is_hash else 'draw'}{self.version}-{self.slots}"
        return f"{name}-{self.sticks_s}s-{self.clients}" if self.clients else name


def check_source(version: int) -> str:
    """Return the chain that looks whether a client is among those that are let in."""
    return f"check-source{version}"


def render_table() -> str:
    """Return what makes the table, or renews the rules of one that is there.

    Elements stay as they are, and so do the chains of draws.
    """
    lines = [f"table {FAMILY} {TABLE} {{"]
    lines += [f"  counter {name} {{ }}" for name in COUNTERS]
    for version in (4, 6):
        lines += _maps(version)
    for name, hook in _BASE_CHAINS:
        lines += [f"  chain {name} {{", f"    type {hook}; policy accept;", "  }"]
    chains = dict(_chains())
    lines += [f"  chain {name} {{ }}" for name in chains if name not in dict(_BASE_CHAINS)]
    lines.append("}")
    lines += [f"flush chain {FAMILY} {TABLE} {name}" for name in chains]
    lines += [
        f"add rule {FAMILY} {TABLE} {name} {rule}"
        for name, rules in chains.items()
        for rule in rules
    ]
    return "\n".join(lines) + "\n"


def render_draws(draws: Iterable[Draw]) -> str:
    """Return what makes the chains of some draws, whether or not they are there."""
    lines: list[str] = []
    for draw in sorted(draws):
        where = f"{FAMILY} {TABLE} {draw.chain}"
        if draw.clients:
            lines.append(
                f"add map {FAMILY} {TABLE} {draw.clients} {{"
                f" type {_address(draw.version)} : classid;"
                f" size {_CLIENTS}; flags dynamic,timeout; }}"
            )
        lines += [f"add chain {where}", f"flush chain {where}"]
        lines += [f"add rule {where} {rule}" for rule in _draw_rules(draw)]
    return "\n".join(lines) + "\n"


def render_forgetting(chains: Iterable[str], maps: Iterable[str]) -> str:
    """Return what takes away chains that no element leads to, and then maps and sets."""
    gone = sorted(chains)
    lines = [f"flush chain {FAMILY} {TABLE} {name}" for name in gone]  # they may name each other
    lines += [f"delete chain {FAMILY} {TABLE} {name}" for name in gone]
    lines += [f"delete set {FAMILY} {TABLE} {name}" for name in sorted(maps)]
    return "\n".join(lines) + "\n"


def fixed_chains() -> frozenset[str]:
    """Return the chains that are always there."""
    return frozenset(name for name, _ in _chains())


def fixed_maps() -> frozenset[str]:
    """Return the maps and sets that are always there."""
    return frozenset(line.split()[1] for version in (4, 6) for line in _maps(version))


def render_removal() -> str:
    """Return what takes the table away, whether or not it is there."""
    return f"table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\n"


_BASE_CHAINS: Final = (
    # Before dstnat (-100) and srcnat (100): whoever translates a packet first has it.
    ("filter-prerouting", "filter hook prerouting priority -106"),
    ("filter-output", "filter hook output priority -106"),
    ("nat-prerouting", "nat hook prerouting priority -105"),
    ("nat-output", "nat hook output priority -105"),
    ("nat-postrouting", "nat hook postrouting priority 95"),
)


def _maps(version: int) -> Iterator[str]:
    address = _address(version)
    entrance = f"{address} . inet_proto . inet_service"
    socket = f"{address} . inet_service"
    # `classid` is what nft calls the type of `meta priority`: 32 bits.
    yield f"  map service{version} {{ type {entrance} : verdict; }}"
    yield f"  map refuse{version} {{ type {entrance} : verdict; }}"
    yield f"  map draw{version} {{ type {entrance} . classid : classid; }}"
    yield f"  map member{version} {{ type {entrance} . classid : {socket}; counter; }}"
    yield f"  set source{version} {{ type {entrance} . {address}; flags interval; }}"
    yield f"  map leave-tcp{version} {{ type {socket} : verdict; }}"
    yield f"  map leave-udp{version} {{ type {socket} : verdict; }}"


def _chains() -> Iterator[tuple[str, tuple[str, ...]]]:
    looked_up = tuple(f"{_asked(version)} vmap @refuse{version}" for version in (4, 6))
    refuse = ("ct state != new return", *looked_up)  # unlike those of nat, these see all packets
    # Of a connection that conntrack has not seen the beginning of, we are not the ones to say
    # where it goes: it may be one to a socket of this host.
    begins = "meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn return"
    serve = tuple(f"{_asked(version)} vmap @service{version}" for version in (4, 6))
    yield "filter-prerouting", refuse
    yield "filter-output", refuse
    yield "nat-prerouting", (begins, *serve)
    yield "nat-output", (begins, *serve)
    yield (
        "nat-postrouting",
        tuple(
            f"ct status dnat meta l4proto {protocol} ct original {_ip(version)} daddr"
            f" . ct original proto-dst vmap @leave-{protocol}{version}"
            for version in (4, 6)
            for protocol in ("tcp", "udp")
        ),
    )
    for version in (4, 6):
        source = f"{_asked(version)} . {_ip(version)} saddr @source{version} return"
        yield check_source(version), (source, f"goto {REFUSE}")
    masqueraded, kept, refused = (f"counter name {name}" for name in COUNTERS)
    reset = "meta l4proto tcp reject with tcp reset"
    yield REFUSE, (refused, reset, "reject with icmpx port-unreachable")
    yield MASQUERADE, (f"meta priority set 0 {masqueraded} masquerade fully-random",)
    # A client on this very host has asked with the VIP as its source, which is no way back.
    to_self = "fib saddr type local masquerade fully-random"
    yield KEEP_SOURCE, (f"meta priority set 0 {kept} {to_self}",)


def _draw_rules(draw: Draw) -> Iterator[str]:
    ip, asked = _ip(draw.version), _asked(draw.version)
    drawn = f"jhash {ip} saddr mod" if draw.is_hash else "numgen random mod"
    seed = f" seed {_SEED:#x}" if draw.is_hash else ""
    choose = (
        f"meta priority set {drawn} {draw.slots}{seed}"
        f" meta priority set {asked} . meta priority map @draw{draw.version}"
    )
    send = f"dnat {ip} to {asked} . meta priority map @member{draw.version}"
    if not draw.clients:
        yield f"{choose} {send}"
        return
    # nft 1.0.6 has no registers for a key of two IPv6 addresses: hence a map for each listener.
    known = f"@{draw.clients}"
    remember = f"update {known} {{ {ip} saddr timeout {draw.sticks_s}s : meta priority }}"
    # A rule ends where a look-up finds nothing: a client is new, or its member has gone.
    yield f"meta priority set {ip} saddr map {known} {remember} {send}"
    yield f"delete {known} {{ {ip} saddr : meta priority }}"
    yield f"{choose} {remember} {send}"


def _ip(version: int) -> str:
    return "ip" if version == 4 else "ip6"  # noqa: PLR2004  of IP


def _address(version: int) -> str:
    return "ipv4_addr" if version == 4 else "ipv6_addr"  # noqa: PLR2004  of IP


def _asked(version: int) -> str:
    """Return what a client asks for: the beginning of every key."""
    return f"{_ip(version)} daddr . meta l4proto . th dport"
