"""Forgetting UDP flows that no longer go where they should.

A UDP flow never ends: as long as its client sends, conntrack sends it where it sent it at first,
to an endpoint that has gone, or to a socket of this host that had the address before. TCP's
connections end by themselves, and nobody moves those that are open.
"""

import asyncio
import socket
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import AsyncNFCTSocket, NFCTAttrTuple

from onehop.base.errors import DriverUnavailable
from onehop.driver.nftables.element import Entrance
from onehop.model.address import IpAddr
from onehop.model.listener import Transport

Members: TypeAlias = Mapping[Entrance, AbstractSet[tuple[IpAddr, int]]]
"""Who may serve flows to an entrance; nobody, if it is to be forgotten by all."""

_FAMILIES: Final[Mapping[int, Any]] = {4: socket.AF_INET, 6: socket.AF_INET6}
_TIMEOUT_S: Final = 20.0


async def forget_flows(members: Members) -> int:
    """Delete flows to some entrances that none of their members serves; return how many.

    Raises:
        DriverUnavailable: the kernel does not let us.
    """
    count = 0
    for version in sorted({entrance.version for entrance in members}):
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                AsyncNFCTSocket(nfgen_family=_FAMILIES[version]) as conntrack,
            ):
                count += await _forget(conntrack, version, members)
        except (NetlinkError, OSError, TimeoutError) as err:
            raise DriverUnavailable(f"UDP flows cannot be forgotten: {err}") from err
    return count


async def _forget(conntrack: Any, version: int, members: Members) -> int:
    family = _FAMILIES[version]
    stale: list[Any] = []
    async for entry in await conntrack.dump():
        asked: Any = NFCTAttrTuple.from_netlink(family, entry.get_attr("CTA_TUPLE_ORIG"))
        if asked.proto != socket.IPPROTO_UDP:
            continue
        served = members.get(Entrance(IpAddr(asked.daddr), Transport.UDP, asked.dport))
        if served is None:
            continue
        reply: Any = NFCTAttrTuple.from_netlink(family, entry.get_attr("CTA_TUPLE_REPLY"))
        if (reply.saddr, reply.sport) not in served:
            stale.append(asked)
    for asked in stale:
        await conntrack.entry("del", tuple_orig=_tuple(family, asked))
    return len(stale)


def _tuple(family: Any, asked: Any) -> Any:
    make: Any = NFCTAttrTuple  # its parameters are typed by their defaults, all None
    return make(
        family=family,
        proto=asked.proto,
        saddr=asked.saddr,
        sport=asked.sport,
        daddr=asked.daddr,
        dport=asked.dport,
    )
