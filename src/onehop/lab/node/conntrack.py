"""Forgetting UDP flows whose endpoint has gone.

A UDP flow never ends: as long as its client sends, conntrack sends it to the endpoint that it chose
at first, dead or not. kube-proxy therefore deletes such entries (kubernetes `pkg/proxy/conntrack`),
and so do we, over netlink: no conntrack(8) is needed. TCP's die with their connections.
"""

import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import AsyncNFCTSocket, NFCTAttrTuple

from onehop.base.errors import TransientError
from onehop.lab.node.choice import Choice, Target
from onehop.lab.node.ruleset import Place

_FAMILIES: Final[Mapping[int, Any]] = {4: socket.AF_INET, 6: socket.AF_INET6}


class Flow(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """An entry: who sent to where, and who answers."""

    source: Target
    destination: Target
    answerer: Target


def stale_flows(flows: Iterable[Flow], choices: Sequence[Choice], place: Place) -> tuple[Flow, ...]:
    """Return the flows to a Service whose answerer is none of its endpoints; pure."""
    served = _served(choices, place)
    return tuple(
        flow
        for flow in flows
        if flow.destination in served and flow.answerer not in served[flow.destination]
    )


async def drop_stale_flows(choices: Sequence[Choice], place: Place) -> int:
    """Delete such entries of this network namespace; return how many there were.

    Raises:
        TransientError: netlink refused.
    """
    if not any(choice.protocol == "UDP" for choice in choices):
        return 0
    family = _FAMILIES[place.family]
    try:
        async with AsyncNFCTSocket(nfgen_family=family) as conntrack:
            flows = [
                flow
                async for entry in await conntrack.dump()
                if (flow := _flow(family, entry)) is not None
            ]
            stale = stale_flows(flows, choices, place)
            for flow in stale:
                await conntrack.entry("del", tuple_orig=_tuple(family, flow))
    except (NetlinkError, OSError) as error:
        raise TransientError(f"conntrack entries cannot be deleted: {error}") from error
    return len(stale)


def _served(choices: Iterable[Choice], place: Place) -> Mapping[Target, frozenset[Target]]:
    found: dict[Target, frozenset[Target]] = {}
    for choice in choices:
        if choice.protocol != "UDP":
            continue
        if choice.cluster_ip:
            found[Target(choice.cluster_ip, choice.port)] = frozenset(choice.internal)
        external = frozenset(choice.external)
        found |= {Target(vip, choice.port): external for vip in choice.vips}
        if choice.node_port:
            found |= {Target(own, choice.node_port): external for own in place.addresses}
    return found


def _flow(family: Any, entry: Any) -> Flow | None:
    origin: Any = NFCTAttrTuple.from_netlink(family, entry.get_attr("CTA_TUPLE_ORIG"))
    reply: Any = NFCTAttrTuple.from_netlink(family, entry.get_attr("CTA_TUPLE_REPLY"))
    if origin.proto != socket.IPPROTO_UDP:
        return None
    return Flow(
        source=Target(origin.saddr, origin.sport),
        destination=Target(origin.daddr, origin.dport),
        answerer=Target(reply.saddr, reply.sport),
    )


def _tuple(family: Any, flow: Flow) -> Any:
    make: Any = NFCTAttrTuple  # its parameters are typed by their defaults, all None
    return make(
        family=family,
        proto=socket.IPPROTO_UDP,
        saddr=flow.source.address,
        sport=flow.source.port,
        daddr=flow.destination.address,
        dport=flow.destination.port,
    )
