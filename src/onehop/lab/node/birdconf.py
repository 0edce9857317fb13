"""BIRD 2's configuration of a node, as Calico's confd renders it for its own BIRD 1.6; pure.

What differs is BIRD 2's language: one daemon for both families, options of a channel inside it.
Options, their values and their reasons are those of Calico's `bird.cfg.template`.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from onehop.lab.node.bgp import BgpPlan, Session

_BFD: Final = "min rx interval 10 ms; min tx interval 100 ms; idle tx interval 1 s; multiplier 5;"
"""Defaults of Calico's BFDConfiguration, but for the idle interval of a minute."""


def render(plan: BgpPlan) -> str:
    """Return the text of bird.conf."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: BgpPlan) -> Iterator[str]:
    yield "# Written by onehop's lab, in the manner of Calico's confd."
    yield "log stderr { info, warning, error, fatal, bug, auth, remote };"
    yield f"router id {plan.router_id};"
    yield "protocol device { scan time 2; }"
    if any(session.has_bfd for session in plan.sessions):
        yield f'protocol bfd {{ interface "*" {{ {_BFD} }}; multihop {{ {_BFD} }}; }}'
    for family in plan.families:
        yield from _family_lines(plan, family)
    for session in plan.sessions:
        if session.family in plan.families:
            yield from _session_lines(session, plan)


def _family_lines(plan: BgpPlan, family: int) -> Iterator[str]:
    blocks = [block for block in plan.blocks if ipaddress.ip_network(block).version == family]
    channel = f"ipv{family}"
    yield from _export_filter(plan, family, blocks)
    yield from _kernel_filter(plan, family)
    yield f"filter import_{family} {{"
    default = "0.0.0.0/0" if family == 4 else "::/0"  # noqa: PLR2004  a family
    yield f"  if ( net = {default} ) then reject;  # the network below provides it"
    yield "  accept;"
    yield "}"
    yield f'protocol direct direct{family} {{ {channel}; interface -"cali*", "*"; }}'
    yield f"protocol static static{family} {{"
    yield f"  {channel};"
    # A packet to an address of a block that no Pod has must not follow the default route.
    yield from (f"  route {block} blackhole;" for block in blocks)
    yield "}"
    yield f"protocol kernel kernel{family} {{"
    yield "  learn;  # host routes of Pods with addresses of another node's block"
    yield "  persist;"
    yield "  scan time 2;"
    yield "  graceful restart;"
    yield "  merge paths on;"
    yield f"  {channel} {{ import all; export filter kernel_{family}; }};"
    yield "}"


def _export_filter(plan: BgpPlan, family: int, blocks: Iterable[str]) -> Iterator[str]:
    yield f"filter export_{family} {{"
    for block in blocks:
        yield f"  if ( net = {block} ) then accept;"
        yield f"  if ( net ~ {block} ) then reject;  # told as a whole"
    for pool in plan.pools:
        if ipaddress.ip_network(pool.cidr).version == family:
            yield f"  if ( net ~ {pool.cidr} ) then {'accept' if pool.is_told else 'reject'};"
    yield "  reject;"
    yield "}"


def _kernel_filter(plan: BgpPlan, family: int) -> Iterator[str]:
    yield f"filter kernel_{family} {{"
    yield "  if ( source = RTS_DEVICE ) then reject;  # the kernel's own, and it has them"
    for pool in plan.pools:
        if not pool.is_installed and ipaddress.ip_network(pool.cidr).version == family:
            yield f"  if ( net ~ {pool.cidr} ) then reject;  # the overlay's, not ours"
    yield "  accept;"
    yield "}"


def _session_lines(session: Session, plan: BgpPlan) -> Iterator[str]:
    family = session.family
    yield f"protocol bgp {session.name} {{"
    yield f"  local port {plan.listen_port} as {plan.asn};"
    yield f"  neighbor {session.neighbor} port {session.port} as {session.asn};"
    yield f"  {'direct' if session.is_direct else 'multihop'};"
    if session.source:
        yield f"  source address {session.source};"
    if session.is_passive:
        yield "  passive on;"
    yield "  graceful restart;"
    if session.restart_s:
        yield f"  graceful restart time {session.restart_s};"
    yield "  connect delay time 1;"
    yield "  connect retry time 3;"
    yield "  error wait time 5, 60;"
    if session.has_bfd:
        yield "  bfd on;"
    if session.client_of:
        yield "  rr client;"
        yield f"  rr cluster id {session.client_of};"
    if session.password:
        yield f'  password "{session.password}";'
    yield f"  ipv{family} {{"
    if not session.is_direct:
        yield "    gateway recursive;"
    yield f"    import filter import_{family};"
    yield f"    export filter export_{family};"
    yield "    add paths on;"
    if session.keeps_next_hop:
        yield "    next hop keep;"
    yield "  };"
    yield "}"
