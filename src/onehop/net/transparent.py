"""What the kernel must do so that connections can come from the client's own address.

A data plane that dials a Pod with IP_TRANSPARENT sends from an address that is not this host's, so
what the Pod answers is addressed to somebody else, and would be forwarded or dropped. Three things
bring it in (https://docs.kernel.org/networking/tproxy.html, "Making non-local sockets work"):

1. nftables rules that mark packets to a client for which there is a transparent socket here,
2. a policy rule that has marked packets looked up in a table of ours,
3. a route in that table which calls every address local.

Only what comes in is marked. Were the sockets marked that go out, as Envoy's documentation does it
for Pods on the same host, the policy rule would find the Pod's address local as well.

The table of nftables is ours and is replaced as a whole, in one transaction. It looks at packets
to the operator's `transparent.clients` and at no others. Sockets that listen for everything, such
as another program's TPROXY, are left alone for TCP (`socket wildcard 0`); for UDP they are not,
because Envoy binds its sockets to a port alone and names the source with each datagram.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path
from typing import Any, Final

import structlog
from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from onehop.base.child import finish
from onehop.base.errors import ConfigError, TransientError
from onehop.model.address import Cidr

MARK: Final = 0x6F68
"""Of packets for our transparent sockets: "oh"."""
TABLE: Final = 112
PRIORITY: Final = 31999
"""Of the policy rule: before the one of table 111."""
PROTOCOL: Final = 111
NFT_TABLE: Final = "onehop-transparent"

_NFT_RULES: Final = f"""\
table inet {NFT_TABLE} {{
  chain answers {{
    meta l4proto tcp socket transparent 1 socket wildcard 0 meta mark set {MARK:#x}
    meta l4proto {{ udp, icmp, ipv6-icmp }} socket transparent 1 meta mark set {MARK:#x}
  }}
  chain prerouting {{
    type filter hook prerouting priority mangle; policy accept;
%s
  }}
}}
"""  # ICMP: "fragmentation needed" and "port unreachable" are for the socket as well
_NFT_REMOVE: Final = f"table inet {NFT_TABLE}\ndelete table inet {NFT_TABLE}\n"
"""The first line makes what the second one may then remove, whether or not it was there."""

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_NO_SUCH_FAMILY: Final = frozenset((errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EACCES))
"""IPv6 is not built in, or is disabled on `lo`."""
_RTN_LOCAL: Final = 2
_SCOPE_HOST: Final = 254
_RTMGRP_RULES: Final = 0x80 | 0x40000
_NETLINK_NETFILTER: Final = 12
_NFTABLES_GROUP: Final = 1 << 6  # NFNLGRP_NFTABLES
_EVENT_BYTES: Final = 65536
_TIMEOUT_S: Final = 5.0
_LOOK_S: Final = 10.0
_PAUSE_S: Final = 0.2
"""Between two looks, so that a war with another program stays a small one."""

_log = structlog.get_logger(__name__)


class Transparency:
    """The three things above, there while they are wanted.

    Stopping leaves them where they are: they mean nothing to anybody but transparent sockets, and
    a restarted onehop loses no connection.
    """

    def __init__(self) -> None:
        self._clients: tuple[Cidr, ...] = ()
        self._put_for: tuple[Cidr, ...] = ()
        self._listing = ""
        """The nftables table for these clients, as `nft` has listed it when it was right."""
        self._is_away = False
        """Whether it was looked for and withdrawn: then nothing of ours can come back by itself."""
        self._woken = asyncio.Event()
        self._is_in_place = False
        self._trouble: str | None = None

    @property
    def is_in_place(self) -> bool:
        """Whether all of it was there when somebody last looked: only now can anything be tried."""
        return self._is_in_place

    @property
    def trouble(self) -> str | None:
        """Why it is not in place, or what keeps it from working."""
        return self._trouble

    def want(self, clients: Iterable[Cidr]) -> None:
        """Say whose addresses connections shall come from, none for nobody's; `run` sees to it."""
        wanted = tuple(sorted(clients))
        if self._clients != wanted:
            self._clients, self._is_in_place = wanted, False
            self._woken.set()

    async def run(self) -> None:
        """Keep it in place while it is wanted, and away while it is not, until cancelled.

        Raises:
            ConfigError: this process may not do it, or there is no `nft`.
        """
        with _waking(self._woken):
            while True:
                self._woken.clear()
                try:
                    await self._look()
                except TransientError as err:
                    self._is_in_place, self._trouble = False, str(err)
                    _log.warning("transparency_missing", error=str(err), retry_in_s=_LOOK_S)
                await asyncio.sleep(_PAUSE_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._woken.wait()

    async def put(self) -> bool:
        """Put in place what is missing for the wanted clients; return whether anything was.

        Raises:
            ConfigError, TransientError: see `run`.
        """
        self._is_away, clients = False, self._clients  # these may change while we wait
        was_there = self._put_for == clients and await _listed() == self._listing
        if not was_there:
            rules = _NFT_RULES % "\n".join(_admitting(clients))
            await _nft("-f", "-", script=_NFT_REMOVE + rules)
            self._put_for, self._listing = clients, await _listed()
        async with _netlink() as netlink:
            added = [await _put_routing(netlink, family) for family in _FAMILIES]
        return not was_there or any(added)

    async def withdraw(self) -> bool:
        """Take away what is ours; return whether anything was there."""
        had_table = bool(await _listed())
        if had_table:
            await _nft("-f", "-", script=_NFT_REMOVE)
        self._put_for = ()
        async with _netlink() as netlink:
            removed = [await _remove_routing(netlink, family) for family in _FAMILIES]
        return had_table or any(removed)

    async def _look(self) -> None:
        if self._clients:
            if await self.put():
                _log.info("transparency_put", table=TABLE, mark=f"{MARK:#x}")
            trouble = _hindrance()
            if trouble is not None and trouble != self._trouble:
                _log.warning("transparency_hindered", reason=trouble)
            self._is_in_place, self._trouble = self._put_for == self._clients, trouble
        elif not self._is_away:
            if await self.withdraw():
                _log.info("transparency_withdrawn", table=TABLE)
            self._is_away, self._trouble = True, None


def _admitting(clients: Iterable[Cidr]) -> Iterator[str]:
    """Yield the rules that lead packets to these addresses to the chain `answers`."""
    networks = [ip_network(clients) for clients in clients]
    ipv4 = [each for each in networks if isinstance(each, IPv4Network)]
    ipv6 = [each for each in networks if isinstance(each, IPv6Network)]
    # Sets of intervals must not overlap, and have no way to say "all".
    for family, collapsed in (
        ("ip", [str(each) for each in collapse_addresses(ipv4)]),
        ("ip6", [str(each) for each in collapse_addresses(ipv6)]),
    ):
        if collapsed in (["0.0.0.0/0"], ["::/0"]):
            yield f"    meta nfproto {'ipv4' if family == 'ip' else 'ipv6'} goto answers"
        elif collapsed:
            yield f"    {family} daddr {{ {', '.join(collapsed)} }} goto answers"


def _hindrance() -> str | None:
    """Return what else on this host keeps answers from coming in, or None.

    With `src_valid_mark` the kernel looks the *sender* of a marked packet up with the mark as
    well, finds that it is local, and drops the packet as spoofed.
    """
    settings = sorted(Path("/proc/sys/net/ipv4/conf").glob("*/src_valid_mark"))
    names = [file.parent.name for file in settings if file.read_text().strip() != "0"]
    if not names:
        return None
    return (
        f"net.ipv4.conf.{names[0]}.src_valid_mark is 1, which makes the kernel drop the answers to"
        " transparent connections; set it to 0 (wg-quick sets it)"
    )


async def _put_routing(netlink: AsyncIPRoute, family: int) -> bool:
    """Add the rule and the route of a family; return whether one of them was missing."""
    entries = await _routes(netlink, family)
    foreign = [entry for entry in entries if entry["proto"] != PROTOCOL]
    if foreign:
        raise TransientError(
            f"routing table {TABLE}, which transparent connections need, holds routes of somebody"
            f" else (ip route show table {TABLE}); move them to another table"
        )
    added = False
    if not entries:
        added |= await _added(netlink.route("add", **_route(family)))
    added |= await _added(netlink.rule("add", **_rule(family)))
    return added


async def _remove_routing(netlink: AsyncIPRoute, family: int) -> bool:
    removed = await _removed(netlink.rule("del", **_rule(family)))
    if any(entry["proto"] == PROTOCOL for entry in await _routes(netlink, family)):
        removed |= await _removed(netlink.route("del", **_route(family)))
    return removed


def _rule(family: int) -> dict[str, Any]:
    return {
        "family": family,
        "priority": PRIORITY,
        "fwmark": MARK,
        "table": TABLE,
        "protocol": PROTOCOL,
    }


def _route(family: int) -> dict[str, Any]:
    return {
        "family": family,
        "dst": "0.0.0.0/0" if family == socket.AF_INET else "::/0",
        "type": _RTN_LOCAL,
        "scope": _SCOPE_HOST if family == socket.AF_INET else 0,
        "oif": socket.if_nametoindex("lo"),
        "table": TABLE,
        "proto": PROTOCOL,
    }


async def _routes(netlink: AsyncIPRoute, family: int) -> list[Any]:
    try:
        entries: Any = await netlink.get_routes(family=family, table=TABLE)
        return [entry async for entry in entries]
    except NetlinkError as err:
        if err.code in {errno.ENOENT, *_NO_SUCH_FAMILY}:  # no such table yet
            return []
        raise


async def _added(request: Any) -> bool:
    return await _unless(request, {errno.EEXIST, *_NO_SUCH_FAMILY})


async def _removed(request: Any) -> bool:
    return await _unless(request, {errno.ENOENT, errno.ESRCH, *_NO_SUCH_FAMILY})


async def _unless(request: Any, expected: Iterable[int]) -> bool:
    """Make a request; return whether it did anything."""
    try:
        await request
    except NetlinkError as err:
        if err.code not in expected:
            raise
        return False
    return True


async def _listed() -> str:
    """Return our table as `nft` shows it; empty if it is not there."""
    return await _nft("list", "table", "inet", NFT_TABLE, may_fail=True)


async def _nft(*arguments: str, script: str = "", may_fail: bool = False) -> str:
    try:
        done = await finish(("nft", *arguments), told=script.encode(), timeout_s=_TIMEOUT_S)
    except FileNotFoundError as err:
        raise ConfigError("transparent connections need nft(8): install nftables") from err
    except TimeoutError as err:
        raise TransientError(f"nft {arguments[0]} did not finish in {_TIMEOUT_S} s") from err
    if done.code == 0:
        return done.out.decode()
    text = done.err.decode(errors="replace").strip()
    if "not permitted" in text:
        raise _not_permitted()
    if not may_fail:
        raise TransientError(f"nft refused the rules for transparent connections: {text}")
    return ""


@contextlib.asynccontextmanager
async def _netlink() -> AsyncGenerator[AsyncIPRoute]:
    """Open netlink for one errand, and translate what it says into our errors."""
    try:
        async with asyncio.timeout(_TIMEOUT_S), AsyncIPRoute() as netlink:
            yield netlink
    except NetlinkError as err:
        if err.code == errno.EPERM:
            raise _not_permitted() from err
        raise TransientError(f"netlink refused to route transparent connections: {err}") from err
    except TimeoutError as err:
        raise TransientError("netlink did not answer about policy rules") from err


@contextlib.contextmanager
def _waking(event: asyncio.Event) -> Generator[None]:
    """Set the event whenever a policy rule or anything of nftables changes."""
    loop = asyncio.get_running_loop()
    groups = ((socket.NETLINK_ROUTE, _RTMGRP_RULES), (_NETLINK_NETFILTER, _NFTABLES_GROUP))
    with contextlib.ExitStack() as stack:
        for protocol, group in groups:
            events = stack.enter_context(
                socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
            )
            try:
                events.bind((0, group))
            except PermissionError as err:
                raise _not_permitted() from err
            loop.add_reader(events, _drain, events, event)
            stack.callback(loop.remove_reader, events)
        yield


def _drain(events: socket.socket, event: asyncio.Event) -> None:
    """Read what is there: that something changed is all that matters; it is looked at anyway."""
    event.set()
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                events.recv(_EVENT_BYTES)
            except OSError as err:
                if err.errno != errno.ENOBUFS:  # some were dropped, for there were too many
                    raise


def _not_permitted() -> ConfigError:
    return ConfigError(
        "transparent connections need CAP_NET_ADMIN; grant it (AmbientCapabilities=CAP_NET_ADMIN),"
        f" or leave transparent.clients empty (running as user {os.geteuid()})"
    )
