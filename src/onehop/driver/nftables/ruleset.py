"""The rules of our table, as text for nft(8): they are put once, and never change.

All that differs between two listeners is in elements of maps, whose keys begin with the address,
the protocol and the port that a client asks for. So a packet's way is the same few look-ups
however many listeners there are, and a change is a handful of elements in one transaction.

A connection's first packet passes these; conntrack treats all others as it treated the first.

1. `refused` and `checked`, filters: nobody serves this, or not for this client. It gets a RST or
   ICMP.
2. `service` says how many slots the listener has, and `pick` leads to the chain for that number.
   There a slot is drawn at random; `draw` says which member has it. Then `member` says where that
   is: `dnat`. A listener that remembers its clients has a chain of its own before that (`sticky`).
   A slot may be nobody's: the share of a backend that is missing, or has no endpoints. There a
   datagram is dropped; a connection must be refused, for a SYN that is dropped is sent again, and
   drawn again. Chains of `nat` cannot refuse, so it is left as it is and marked (UNSERVED), and a
   filter right behind `nat` does it.
3. `masquerade` gives the packet our own address as its source; with `keep` the member answers
   through us, and sees the client.

nft has no variables for a packet. `meta priority` serves as one between two look-ups: nothing
has set it for a packet that came from outside (the kernel does later, in ip_forward()), unlike
`meta mark`, which belongs to the operator. On its way out it is 0 again.

The chains to pick by depend on a number of slots, which nft wants as a constant; there is one for
each number in use, made when it is first needed (`Draw`). They are found by number, for a map of
verdicts with an element for each listener would make each change slower, the more there are.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

TABLE: Final = "onehop_l4"
HOLD_TABLE: Final = "onehop_l4_hold"
FAMILY: Final = "inet"

MASQUERADE: Final = "masquerade-all"
KEEP_SOURCE: Final = "masquerade-own"
REFUSE: Final = "refuse"
TURN_AWAY: Final = "turn-away"
COUNTERS: Final = ("masqueraded", "source-kept", "refused")
"""Of connections, by what becomes of them; of those refused, each try."""

UNSERVED: Final = 0xFFFFFFFF
"""Left in a packet that was to go to nobody; no member's number, and no program's priority."""

_CLIENTS: Final = 1_000_000
"""How many clients are remembered; one more than that is not, and is drawn anew each time."""
_HASH: Final = 1 << 31
_SEED: Final = 0x6F68
"""The same on every host, so that a client that comes by another one finds the same member."""


class Draw(msgspec.Struct, frozen=True, order=True):
    """How a member is picked; a chain that all listeners with so many slots share.

    Attributes:
        version: of IP, 4 or 6.
        slots: how many there are to draw from, at least 1.
        is_hash: whether the client's address says which slot, and not chance.
    """

    version: int
    slots: int
    is_hash: bool = False

    @property
    def chain(self) -> str:
        """The name of its chain."""
        return f"{'hash' if self.is_hash else 'draw'}{self.version}-{self.slots}"

    @property
    def number(self) -> int:
        """What leads to it."""
        return self.slots | (_HASH if self.is_hash else 0)


class Sticky(msgspec.Struct, frozen=True, order=True):
    """The chain of a listener that remembers its clients.

    Attributes:
        version: of IP, 4 or 6.
        clients: the map in which they are.
        sticks_s: for how long after the last connection.
    """

    version: int
    clients: str
    sticks_s: int

    @property
    def chain(self) -> str:
        """The name of its chain."""
        return f"sticky{self.version}-{self.sticks_s}s-{self.clients}"


Chain: TypeAlias = Draw | Sticky


def draw_of(version: int, number: int) -> Draw:
    """Return what a number leads to."""
    return Draw(version, number & ~_HASH, is_hash=bool(number & _HASH))


def shown(number: int) -> str:
    """Return a number as nft writes a `classid`: two halves in hexadecimal."""
    return f"{number >> 16:x}:{number & 0xFFFF:x}"


def check_source(version: int) -> str:
    """Return the chain that looks whether a client is among those that are let in."""
    return f"check-source{version}"


def render_table() -> str:
    """Return what makes the table, or renews the rules of one that is there.

    Elements stay as they are, but for `pick`; and so do the chains of draws.
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
    lines += [f"flush map {FAMILY} {TABLE} pick{version}" for version in (4, 6)]
    lines += [f"flush chain {FAMILY} {TABLE} {name}" for name in chains]
    lines += [
        f"add rule {FAMILY} {TABLE} {name} {rule}"
        for name, rules in chains.items()
        for rule in rules
    ]
    return "\n".join(lines) + "\n"


def render_chains(chains: Iterable[Chain]) -> str:
    """Return what makes chains of draws and of listeners, whether or not they are there."""
    lines: list[str] = []
    for chain in sorted(chains, key=lambda each: (isinstance(each, Sticky), each)):
        where = f"{FAMILY} {TABLE} {chain.chain}"
        if isinstance(chain, Sticky):
            lines.append(
                f"add map {FAMILY} {TABLE} {chain.clients} {{"
                f" type {_address(chain.version)} : classid;"
                f" size {_CLIENTS}; flags dynamic,timeout; }}"
            )
        lines += [f"add chain {where}", f"flush chain {where}"]
        rules = _sticky_rules(chain) if isinstance(chain, Sticky) else (_draw_rule(chain),)
        lines += [f"add rule {where} {rule}" for rule in rules]
        if isinstance(chain, Draw):
            lines.append(
                f"add element {FAMILY} {TABLE} pick{chain.version}"
                f" {{ {shown(chain.number)} : jump {chain.chain} }}"
            )
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
    # All chains of nat, whatever their priority, take their turn at dstnat: see nf_nat_register_fn.
    ("unserved-prerouting", "filter hook prerouting priority -95"),
    ("unserved-output", "filter hook output priority -95"),
    ("nat-postrouting", "nat hook postrouting priority 95"),
)


def _maps(version: int) -> Iterator[str]:
    address = _address(version)
    entrance = f"{address} . inet_proto . inet_service"
    socket = f"{address} . inet_service"
    # `classid` is what nft calls the type of `meta priority`: 32 bits.
    yield f"  map pick{version} {{ type classid : verdict; }}"
    yield f"  map service{version} {{ type {entrance} : classid; }}"
    yield f"  map sticky{version} {{ type {entrance} : verdict; }}"
    yield f"  set refused{version} {{ type {entrance}; }}"
    yield f"  set checked{version} {{ type {entrance}; }}"
    yield f"  map draw{version} {{ type {entrance} . classid : classid; }}"
    yield f"  map member{version} {{ type {entrance} . classid : {socket}; counter; }}"
    yield f"  set source{version} {{ type {entrance} . {address}; flags interval; }}"
    for how in ("masquerade", "keep"):
        for protocol in ("tcp", "udp"):
            yield f"  set {how}-{protocol}{version} {{ type {socket}; }}"


def _chains() -> Iterator[tuple[str, tuple[str, ...]]]:
    looked_up = [f"{_asked(version)} @refused{version} goto {REFUSE}" for version in (4, 6)]
    looked_up += [
        f"{_asked(version)} @checked{version} goto {check_source(version)}" for version in (4, 6)
    ]
    refuse = ("ct state != new return", *looked_up)  # unlike those of nat, these see all packets
    # Of a connection that conntrack has not seen the beginning of, we are not the ones to say
    # where it goes: it may be one to a socket of this host.
    begins = "meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn return"
    serve = [f"{_asked(version)} vmap @sticky{version}" for version in (4, 6)]
    serve += [f"{_look_up(version)} goto serve{version}" for version in (4, 6)]
    yield "filter-prerouting", refuse
    yield "filter-output", refuse
    yield "nat-prerouting", (begins, *serve)
    yield "nat-output", (begins, *serve)
    yield (
        "nat-postrouting",
        tuple(
            f"ct status dnat meta l4proto {protocol} ct original {_ip(version)} daddr"
            f" . ct original proto-dst @{how}-{protocol}{version} goto {chain}"
            for version in (4, 6)
            for protocol in ("tcp", "udp")
            for how, chain in (("masquerade", MASQUERADE), ("keep", KEEP_SOURCE))
        ),
    )
    is_unserved = f"meta priority {shown(UNSERVED)} ct state new goto {REFUSE}"
    yield "unserved-prerouting", (is_unserved,)
    yield "unserved-output", (is_unserved,)
    for version in (4, 6):
        picked = f"meta priority vmap @pick{version}"
        yield f"serve{version}", (picked, _send(version), f"goto {TURN_AWAY}")
        source = f"{_asked(version)} . {_ip(version)} saddr @source{version} return"
        yield check_source(version), (source, f"goto {REFUSE}")
    masqueraded, kept, refused = (f"counter name {name}" for name in COUNTERS)
    reset = "meta l4proto tcp reject with tcp reset"
    yield REFUSE, (refused, reset, "reject with icmpx port-unreachable")
    marked = f"meta l4proto tcp meta priority set {shown(UNSERVED)} return"
    yield TURN_AWAY, (marked, f"{refused} drop")
    yield MASQUERADE, (f"meta priority set 0 {masqueraded} masquerade fully-random",)
    # A client on this very host has asked with the VIP as its source, which is no way back.
    to_self = "fib saddr type local masquerade fully-random"
    yield KEEP_SOURCE, (f"meta priority set 0 {kept} {to_self}",)


def _draw_rule(draw: Draw) -> str:
    """Return what leaves the number of a member in the packet."""
    drawn = f"jhash {_ip(draw.version)} saddr mod" if draw.is_hash else "numgen random mod"
    seed = f" seed {_SEED:#x}" if draw.is_hash else ""
    return (
        f"meta priority set {drawn} {draw.slots}{seed}"
        f" meta priority set {_asked(draw.version)} . meta priority map @draw{draw.version}"
    )


def _sticky_rules(sticky: Sticky) -> Iterator[str]:
    ip, version = _ip(sticky.version), sticky.version
    # nft 1.0.6 has no registers for a key of two IPv6 addresses: hence a map for each listener.
    known = f"@{sticky.clients}"
    remember = f"update {known} {{ {ip} saddr timeout {sticky.sticks_s}s : meta priority }}"
    # A rule ends where a look-up finds nothing: a client is new, or its member has gone.
    yield f"meta priority set {ip} saddr map {known} {remember} {_send(version)}"
    yield f"delete {known} {{ {ip} saddr : meta priority }}"
    yield f"{_look_up(version)} meta priority vmap @pick{version}"
    yield f"{remember} {_send(version)}"
    yield f"goto {TURN_AWAY}"


def _look_up(version: int) -> str:
    return f"meta priority set {_asked(version)} map @service{version}"


def _send(version: int) -> str:
    return f"dnat {_ip(version)} to {_asked(version)} . meta priority map @member{version}"


def _ip(version: int) -> str:
    return "ip" if version == 4 else "ip6"  # noqa: PLR2004  of IP


def _address(version: int) -> str:
    return "ipv4_addr" if version == 4 else "ipv6_addr"  # noqa: PLR2004  of IP


def _asked(version: int) -> str:
    """Return what a client asks for: the beginning of every key."""
    return f"{_ip(version)} daddr . meta l4proto . th dport"
