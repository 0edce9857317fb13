"""VIPs on an interface of this host, by netlink.

Every address of ours carries marks, so that a later run knows what an earlier one left and nobody
else's address is ever touched: the protocol number (`ip address ... proto`, Linux 5.18), for IPv4
also the label `eth0:oh`, for IPv6 a metric of its own, which older kernels keep as well.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncGenerator, Generator
from typing import Any, Final

import structlog
from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from onehop.base.errors import ConfigError, TransientError
from onehop.model.address import IpAddr, is_ipv6, parse_ip
from onehop.net.addresses import AddressInUse
from onehop.net.frame import format_mac, parse_mac
from onehop.net.link import Link, Patience, announce, find_claimant

PROTOCOL: Final = 111
"""IFA_PROTO of our addresses; 1 to 3 are the kernel's (<linux/if_addr.h>)."""
METRIC: Final = 22042
"""IFA_RT_PRIORITY of our IPv6 addresses. Without a prefix route it has no other effect."""
LABEL: Final = "oh"

_LABEL_BYTES: Final = 15  # IFNAMSIZ less the final zero
_MAC_BYTES: Final = 6
_NODAD: Final = 0x02
_NOPREFIXROUTE: Final = 0x200
_IFF_UP: Final = 0x1
_IFF_LOOPBACK: Final = 0x8
_IFF_RUNNING: Final = 0x40
_IFF_NOARP: Final = 0x80
_EVENTS: Final = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_SOL_NETLINK: Final = 270  # <linux/socket.h>
_NETLINK_NO_ENOBUFS: Final = 5  # <linux/netlink.h>
_NETLINK_TIMEOUT_S: Final = 5.0
_LOOK_S: Final = 10.0
_ASKED_AT_ONCE: Final = 32
_EVENT_BYTES: Final = 65536

_log = structlog.get_logger(__name__)


class InterfaceBinder:
    """Implements `AddressBinder` by putting each address on an interface as a /32 or /128.

    Stopping takes nothing off: a restarted process finds its addresses and goes on. An address
    that somebody else put on the interface counts as bound, and is left where it is.
    """

    def __init__(self, interface: str, *, patience: Patience | None = None) -> None:
        self._interface = interface
        self._patience = patience or Patience()
        self._wanted: set[IpAddr] = set()
        self._changing = asyncio.Lock()
        """Held between looking at the interface and changing it; never while the link is asked."""

    async def bind(self, address: IpAddr) -> None:
        """Put the address on the interface, having asked the link, and tell the link."""
        async with self._netlink() as netlink:
            link = await self._link(netlink)
            present = await self._present(netlink, link)
        if address not in present:
            await self._ask(link, address)
            async with self._changing, self._netlink() as netlink:
                await self._add(netlink, link, address)
                self._wanted.add(address)
            _log.info("address_bound", address=address, interface=link.name)
        elif present[address]:
            self._wanted.add(address)
        if present.get(address, True):
            await self._announce(link, [address])

    async def unbind(self, address: IpAddr) -> None:
        """Take the address off the interface if it carries our marks."""
        async with self._changing, self._netlink() as netlink:
            self._wanted.discard(address)
            link = await self._link(netlink)
            if (await self._present(netlink, link)).get(address):
                await netlink.addr("del", index=link.index, **_where(address))
                _log.info("address_unbound", address=address, interface=link.name)

    async def hold(self, address: IpAddr) -> None:
        """Put the address on the interface, though another machine on the link has it still.

        The kernel announces nothing by itself: IPv4 has no detection of duplicates, and for IPv6
        it is off (IFA_F_NODAD).
        """
        async with self._changing, self._netlink() as netlink:
            link = await self._link(netlink)
            if link.asks and not link.is_up:
                raise TransientError(f"{link.name} is down: nobody would reach {address} there")
            present = await self._present(netlink, link)
            if address not in present:
                await self._add(netlink, link, address)
                _log.info("address_held", address=address, interface=link.name)
            if present.get(address, True):
                self._wanted.add(address)

    async def announce(self, addresses: frozenset[IpAddr]) -> None:
        """Tell the link that addresses are here."""
        await self._announce(await self._look(), sorted(addresses))

    async def claimed(self, addresses: frozenset[IpAddr]) -> frozenset[IpAddr]:
        """Return those that another machine on the link answers for; none where none can."""
        link = await self._look()
        if not link.asks:
            return frozenset()
        places = asyncio.Semaphore(_ASKED_AT_ONCE)
        found: set[IpAddr] = set()
        failures: list[ConfigError | TransientError] = []

        async def ask(address: IpAddr) -> None:
            async with places:
                try:
                    if await find_claimant(link, address, self._patience) is not None:
                        found.add(address)
                except (ConfigError, TransientError) as err:  # a TaskGroup would wrap it
                    failures.append(err)

        async with asyncio.TaskGroup() as tasks:
            for address in addresses:
                tasks.create_task(ask(address))
        if failures:
            raise failures[0]
        return frozenset(found)

    async def bound(self) -> frozenset[IpAddr]:
        """Return what carries our marks on the interface."""
        async with self._netlink() as netlink:
            present = await self._present(netlink, await self._link(netlink))
        return frozenset(address for address, is_ours in present.items() if is_ours)

    async def keep_bound(self) -> None:
        """Put back what was taken off by hand or by a flapping link, and tell the link again.

        It is not asked again: the address is ours, and every moment without it costs requests.
        """
        was_up = True
        with _listen() as events:
            while True:
                try:
                    was_up = await self._restore(was_up=was_up)
                except TransientError as err:
                    was_up = False
                    _log.warning("addresses_unguarded", error=str(err), retry_in_s=_LOOK_S)
                await _something_happened(events)

    async def _restore(self, *, was_up: bool) -> bool:
        """Add what is missing; return whether the link is up."""
        async with self._changing, self._netlink() as netlink:
            link = await self._link(netlink)
            present = await self._present(netlink, link)
            missing = sorted(self._wanted - present.keys()) if link.is_up else []
            for address in missing:
                await self._add(netlink, link, address)
                _log.warning("address_restored", address=address, interface=link.name)
        came_up = link.is_up and not was_up
        await self._announce(link, sorted(self._wanted) if came_up else missing)
        return link.is_up

    async def _look(self) -> Link:
        async with self._netlink() as netlink:
            return await self._link(netlink)

    async def _ask(self, link: Link, address: IpAddr) -> None:
        if not link.asks:
            return
        if not link.is_up:
            raise TransientError(
                f"{link.name} is down, so nobody can say whether {address} is free"
            )
        mac = await find_claimant(link, address, self._patience)
        if mac is not None:
            raise AddressInUse(address, interface=link.name, mac=format_mac(mac))

    async def _announce(self, link: Link, addresses: list[IpAddr]) -> None:
        if addresses and link.asks and link.is_up:
            await announce(link, addresses, self._patience)

    async def _add(self, netlink: AsyncIPRoute, link: Link, address: IpAddr) -> None:
        try:
            await netlink.addr(
                "add", index=link.index, **_where(address), **_marks(link.name, address)
            )
        except NetlinkError as err:
            if err.code == errno.EEXIST:  # somebody was faster
                return
            if err.code == errno.EACCES and is_ipv6(address):
                raise ConfigError(
                    f"cannot bind {address}: IPv6 is disabled on {link.name}; "
                    f"set net.ipv6.conf.{link.name}.disable_ipv6=0"
                ) from err
            raise

    async def _present(self, netlink: AsyncIPRoute, link: Link) -> dict[IpAddr, bool]:
        """Return the addresses on the interface, and whether they are ours."""
        found: dict[IpAddr, bool] = {}
        entries: Any = await netlink.get_addr(index=link.index)  # typed as the blocking API's
        async for entry in entries:
            address = parse_ip(entry.get("local") or entry.get("address"))
            if address is not None:
                found[address] = found.get(address, False) or _is_marked(entry, link.name)
        return found

    async def _link(self, netlink: AsyncIPRoute) -> Link:
        entries: Any = await netlink.get_links(ifname=self._interface)
        # To the end: while a list is unread, the kernel begins no other one (EBUSY).
        for entry in [entry async for entry in entries]:
            flags = entry["flags"]
            mac = parse_mac(entry.get("address") or "")
            return Link(
                name=self._interface,
                index=entry["index"],
                mac=mac,
                asks=len(mac) == _MAC_BYTES and not flags & (_IFF_LOOPBACK | _IFF_NOARP),
                is_up=bool(flags & _IFF_UP and flags & _IFF_RUNNING),
            )
        raise TransientError(f"no interface {self._interface} here; see addresses.bind.interface")

    @contextlib.asynccontextmanager
    async def _netlink(self) -> AsyncGenerator[AsyncIPRoute]:
        """Open netlink for one errand, and translate what it says into our errors."""
        try:
            async with asyncio.timeout(_NETLINK_TIMEOUT_S), AsyncIPRoute() as netlink:
                yield netlink
        except NetlinkError as err:
            if err.code == errno.EPERM:
                raise ConfigError(
                    f"changing the addresses of {self._interface} needs CAP_NET_ADMIN; "
                    "grant it (AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW) "
                    "or set addresses.bind.none"
                ) from err
            raise TransientError(f"netlink refused to work on {self._interface}: {err}") from err
        except TimeoutError as err:
            raise TransientError(f"netlink did not answer about {self._interface}") from err


def _where(address: IpAddr) -> dict[str, Any]:
    return {"address": address, "prefixlen": 128 if is_ipv6(address) else 32}


def _marks(interface: str, address: IpAddr) -> dict[str, Any]:
    """Return what tells our addresses apart, and keeps them out of the kernel's own choices.

    An IPv6 VIP is deprecated from the start (preferred for 0 seconds), which means that nobody's
    outgoing connection takes it as its source (RFC 6724, rule 3); it is served all the same.
    """
    marks: dict[str, Any] = {"proto": PROTOCOL, "flags": _NOPREFIXROUTE}
    if is_ipv6(address):
        return {**marks, "flags": _NOPREFIXROUTE | _NODAD, "rt_priority": METRIC, "preferred": 0}
    label = _label(interface)
    return {**marks, "label": label} if len(label) <= _LABEL_BYTES else marks


def _is_marked(entry: Any, interface: str) -> bool:
    return bool(
        entry.get("proto") == PROTOCOL
        or entry.get("rt_priority") == METRIC
        or entry.get("label") == _label(interface)
    )


def _label(interface: str) -> str:
    return f"{interface}:{LABEL}"


@contextlib.contextmanager
def _listen() -> Generator[socket.socket]:
    """Open a socket that wakes whenever an address or a link of this host changes.

    Not pyroute2's: it parses what is only a reason to look, and a look reads it all anyway.
    """
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    ) as events:
        events.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)  # a lost event costs _LOOK_S
        events.bind((0, _EVENTS))
        yield events


async def _something_happened(events: socket.socket) -> None:
    """Wait for an event, or for as long as an event that got lost may matter."""
    with contextlib.suppress(TimeoutError, BlockingIOError):  # nothing came; no more came
        async with asyncio.timeout(_LOOK_S):
            await asyncio.get_running_loop().sock_recv(events, _EVENT_BYTES)
        while events.recv(_EVENT_BYTES):
            pass
