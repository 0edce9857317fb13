"""What is asked of nft(8): rules, which are text, and change seldom."""

import re
from pathlib import Path
from typing import Final

from onehop.base.child import finish
from onehop.base.errors import ConfigError, DriverUnavailable

_TIMEOUT_S: Final = 20.0
_FORWARDING: Final = {
    4: Path("/proc/sys/net/ipv4/ip_forward"),
    6: Path("/proc/sys/net/ipv6/conf/all/forwarding"),
}
_SETTINGS: Final = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


async def run_nft(script: str) -> None:
    """Have nft carry out a script, as one transaction.

    Raises:
        ConfigError: there is no nft, or this process may not use it.
        DriverUnavailable: it was refused, and all is as it was.
    """
    try:
        done = await finish(("nft", "-f", "-"), told=script.encode(), timeout_s=_TIMEOUT_S)
    except FileNotFoundError as err:
        raise ConfigError("layer 4 in the kernel needs nft(8): install nftables") from err
    except TimeoutError as err:
        raise DriverUnavailable(f"nft did not finish in {_TIMEOUT_S:g} s") from err
    if done.code == 0:
        return
    text = re.sub(r"\s+", " ", done.err.decode(errors="replace")).strip()
    if "not permitted" in text:
        raise ConfigError("layer 4 in the kernel needs CAP_NET_ADMIN")
    raise DriverUnavailable(f"nft refused our rules: {text[:500]}")


def hindrance(version: int) -> str | None:
    """Return why this host passes no packets of a version of IP on, or None if it does."""
    try:
        is_on = _FORWARDING[version].read_text().strip() != "0"
    except OSError:
        return f"this kernel has no IPv{version}"
    return None if is_on else f"{_SETTINGS[version]} is 0"
