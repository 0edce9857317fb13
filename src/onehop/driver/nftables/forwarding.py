"""Whether this host passes packets on, and which it drops on the way: settings of sysctl(8)."""

from contextlib import suppress
from pathlib import Path
from typing import Final

_IPV4: Final = Path("/proc/sys/net/ipv4/conf")
_FORWARDING: Final = {
    4: Path("/proc/sys/net/ipv4/ip_forward"),
    6: Path("/proc/sys/net/ipv6/conf/all/forwarding"),
}
_SETTINGS: Final = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
_STRICT: Final = 1
_CONNTRACK: Final = Path("/proc/sys/net/netfilter")


def hindrance(version: int) -> str | None:
    """Return why this host passes no packets of a version of IP on, or None if it does."""
    try:
        is_on = _FORWARDING[version].read_text().strip() != "0"
    except OSError:
        return f"this kernel has no IPv{version}"
    return None if is_on else f"{_SETTINGS[version]} is 0"


def hindrances() -> dict[int, str]:
    """Return why, by version of IP; those that are passed on are left out."""
    return {version: why for version in (4, 6) if (why := hindrance(version)) is not None}


def conntrack_share() -> float:
    """Return how full the table of connections is, from 0 to 1; what is beyond is dropped."""
    with suppress(OSError, ZeroDivisionError):
        count, most = (
            int((_CONNTRACK / f"nf_conntrack_{name}").read_text()) for name in ("count", "max")
        )
        return count / most
    return 0.0


def strict_interfaces() -> tuple[str, ...]:
    """Return the interfaces that drop what they would not answer by themselves (RFC 3704, 2.2).

    That is `rp_filter` 1; the larger one of `all` and of the interface counts
    (Documentation/networking/ip-sysctl.rst). It drops packets of clients, or answers of Pods, that
    come by another interface than the one that their address is reached by.
    """
    modes = {file.parent.name: int(file.read_text()) for file in _IPV4.glob("*/rp_filter")}
    every = modes.pop("all", 0)
    others = modes.keys() - {"default", "lo"}
    return tuple(sorted(name for name in others if max(modes[name], every) == _STRICT))
