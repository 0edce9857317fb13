"""The VXLAN device: made once, found again after a restart, removed on request.

Single errands, so they go by pyroute2. The device is made as flannel and Calico make theirs
(`ip link add ... type vxlan id N local A dstport P nolearning`): it learns from nobody, and sends
only where we say.
"""

import asyncio
import contextlib
import errno
from collections.abc import AsyncGenerator, Collection
from typing import Any, Final

import msgspec
import structlog
from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from onehop.base.errors import ConfigError, TransientError
from onehop.model.address import IpAddr, is_ipv6, parse_ip
from onehop.net.table import PROTOCOL
from onehop.net.vxlan.vtep import ALIAS, Vtep

_NETLINK_TIMEOUT_S: Final = 5.0
_OVERHEAD: Final = {False: 50, True: 70}
"""Bytes that IPv4 or IPv6, UDP, VXLAN and the inner Ethernet header take (RFC 7348, section 5)."""
_IFF_UP: Final = 0x1
_NODAD: Final = 0x02  # IFA_F_NODAD: nobody who has it could answer

_log = structlog.get_logger(__name__)


class _Device(msgspec.Struct, frozen=True):
    """A VXLAN device as the kernel describes it."""

    index: int
    name: str
    is_ours: bool
    is_marked: bool
    is_up: bool
    mtu: int
    mac: str
    vni: int
    port: int
    local: IpAddr | None
    learns: bool


async def ensure_device(vtep: Vtep) -> int:
    """Make our device if it is not there as it shall be; return its number (ifindex).

    Raises:
        ConfigError: another VXLAN device has our VNI and port, so this host is a node of the
            overlay already; or this process may not make devices.
        TransientError: `vtep.local` is on no interface (yet), or the kernel did not answer.
    """
    async with _netlink(vtep.device) as netlink:
        mtu = await _mtu(netlink, vtep)
        device = _own(await _devices(netlink), vtep)
        if device is not None and not _is_as_wanted(device, vtep):
            await netlink.link("del", index=device.index)
            _log.info("tunnel_device_replaced", device=vtep.device)
            device = None
        if device is None:
            device = await _make(netlink, vtep, mtu)
            _log.info("tunnel_device_made", device=vtep.device, vni=vtep.vni, inner=vtep.inner)
        await _finish(netlink, device, vtep, mtu)
        return device.index


async def remove_devices(*, keep: Collection[str] = ()) -> tuple[str, ...]:
    """Leave the overlays: remove every VXLAN device that onehop ever made here; return their names.

    Their routes, neighbours and forwarding entries go with them.

    Args:
        keep: names of devices that are still wanted, after the configuration changed.
    """
    async with _netlink("tunnel devices") as netlink:
        ours = [
            device
            for device in await _devices(netlink)
            if device.is_ours and device.name not in keep
        ]
        for device in ours:
            await netlink.link("del", index=device.index)
            _log.info("tunnel_device_removed", device=device.name)
        return tuple(device.name for device in ours)


def _own(devices: list[_Device], vtep: Vtep) -> _Device | None:
    """Return our device among all, having refused to work beside somebody else's."""
    own = None
    for device in devices:
        if device.name == vtep.device and device.is_ours:
            own = device
        elif device.name == vtep.device:
            raise ConfigError(
                f"{device.name} exists and is not ours (alias {ALIAS!r}); rename or remove it"
            )
        elif _clashes(device, vtep):
            raise ConfigError(
                f"{device.name} has VNI {vtep.vni} on port {vtep.port}: this host is a node of the "
                "overlay already and reaches Pods by itself; set reach.tunnel: none"
            )
    return own


def _clashes(device: _Device, vtep: Vtep) -> bool:
    """Tell whether somebody else's device receives what is sent to ours (the kernel's EEXIST)."""
    is_family = (device.local is not None and is_ipv6(device.local)) == is_ipv6(vtep.local)
    same = (device.vni, device.port) == (vtep.vni, vtep.port)
    return same and is_family and not device.is_ours


def _is_as_wanted(device: _Device, vtep: Vtep) -> bool:
    """Tell whether the device can stay; what is not asked here can be changed while it is used."""
    return (
        (device.vni, device.port, device.local) == (vtep.vni, vtep.port, vtep.local)
        and device.mac == vtep.mac
        and not device.learns
    )


async def _make(netlink: AsyncIPRoute, vtep: Vtep, mtu: int) -> _Device:
    local = "vxlan_local6" if is_ipv6(vtep.local) else "vxlan_local"
    await netlink.link(
        "add",
        ifname=vtep.device,
        kind="vxlan",
        address=vtep.mac,
        mtu=mtu,
        vxlan_id=vtep.vni,
        vxlan_port=vtep.port,
        vxlan_learning=False,
        **{local: vtep.local},
    )
    made = [device for device in await _devices(netlink) if device.name == vtep.device]
    if not made:
        raise TransientError(f"{vtep.device} vanished while it was being made")
    return made[0]


async def _finish(netlink: AsyncIPRoute, device: _Device, vtep: Vtep, mtu: int) -> None:
    """Mark the device, give it our inner address, and switch it on, as far as that is missing."""
    if not device.is_marked:
        await netlink.link("set", index=device.index, ifalias=ALIAS)
    if device.mtu != mtu:
        await netlink.link("set", index=device.index, mtu=mtu)
    addresses: Any = await netlink.get_addr(index=device.index)
    present = {
        parse_ip(entry.get("address") or ""): entry.get("proto") async for entry in addresses
    }
    for address in [each for each, proto in present.items() if each and proto == PROTOCOL]:
        if address != vtep.inner:  # of before our Node object was made anew
            bits = 128 if is_ipv6(address) else 32
            await netlink.addr("del", index=device.index, address=address, prefixlen=bits)
    if vtep.inner not in present:
        ipv6 = is_ipv6(vtep.inner)
        where = {"address": vtep.inner, "prefixlen": 128 if ipv6 else 32}
        flags = {"flags": _NODAD} if ipv6 else {}
        await netlink.addr("add", index=device.index, proto=PROTOCOL, **where, **flags)
    if not device.is_up:
        await netlink.link("set", index=device.index, state="up")


async def _devices(netlink: AsyncIPRoute) -> list[_Device]:
    entries: Any = await netlink.get_links(kind="vxlan")  # typed as the blocking API's
    return [_device(entry) async for entry in entries]


def _device(entry: Any) -> _Device:
    data = entry.get(("linkinfo", "data"))
    is_up = bool(entry["flags"] & _IFF_UP)
    name, alias = entry.get("ifname"), entry.get("ifalias")
    # The kernel cannot make a device and mark it in one go: one that never came up is ours by name.
    is_unfinished = not alias and not is_up and name.startswith(("onehop.", "oh6."))
    return _Device(
        index=entry["index"],
        name=name,
        is_ours=alias == ALIAS or is_unfinished,
        is_marked=alias == ALIAS,
        is_up=is_up,
        mtu=entry.get("mtu"),
        mac=entry.get("address"),
        vni=data.get("vxlan_id"),
        port=data.get("vxlan_port"),
        local=parse_ip(data.get("vxlan_local") or data.get("vxlan_local6") or ""),
        learns=bool(data.get("vxlan_learning")),
    )


async def _mtu(netlink: AsyncIPRoute, vtep: Vtep) -> int:
    """Return what fits into a packet of the link that our local address is on."""
    # Each list to its end: while one is unread, the kernel begins no other one (EBUSY).
    addresses: Any = await netlink.get_addr()
    texts = [
        (entry["index"], entry.get("local") or entry.get("address")) async for entry in addresses
    ]
    index = next((index for index, text in texts if parse_ip(text or "") == vtep.local), None)
    if index is not None:
        links: Any = await netlink.get_links(index=index)
        for mtu in [link.get("mtu") async for link in links]:
            return int(mtu) - _OVERHEAD[is_ipv6(vtep.local)]
    raise TransientError(f"{vtep.local} is an address of no interface here")


@contextlib.asynccontextmanager
async def _netlink(what: str) -> AsyncGenerator[AsyncIPRoute]:
    """Open netlink for one errand, and translate what it says into our errors."""
    try:
        async with asyncio.timeout(_NETLINK_TIMEOUT_S), AsyncIPRoute() as netlink:
            yield netlink
    except NetlinkError as err:
        if err.code == errno.EPERM:
            raise ConfigError(
                f"making {what} needs CAP_NET_ADMIN; grant it "
                "(AmbientCapabilities=CAP_NET_ADMIN) or set reach.tunnel: none"
            ) from err
        raise TransientError(f"netlink refused to work on {what}: {err}") from err
    except TimeoutError as err:
        raise TransientError(f"netlink did not answer about {what}") from err
