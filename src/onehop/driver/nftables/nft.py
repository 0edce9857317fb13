"""What is asked of nft(8): rules, which are text, and change seldom."""

import re
from collections.abc import Callable
from typing import Final

from onehop.base.child import finish
from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.driver.nftables.advice import MODULES, NO_MODULES, NO_NFT, NO_RIGHT

_TIMEOUT_S: Final = 20.0
_MISSING: Final = re.compile(r"Operation not supported|No such file or directory")
_NO_NETLINK: Final = re.compile(r"[Uu]nable to initialize [Nn]etlink|Protocol not supported")


class RulesRefused(DriverUnavailable):
    """The kernel would not have our rules, and all is as it was."""


async def run_nft(
    script: str, *, checks_only: bool = False, born: Callable[[int], None] | None = None
) -> None:
    """Have nft carry out a script, as one transaction.

    Args:
        script: what it shall do.
        checks_only: whether the kernel is only asked whether it would.
        born: called with the process id of nft before it does anything.

    Raises:
        ConfigError: there is no nft, or this process may not use it, or the kernel cannot.
        RulesRefused: by nft or by the kernel.
        DriverUnavailable: nft does not end.
    """
    command = ("nft", *(("-c",) if checks_only else ()), "-f", "-")
    try:
        done = await finish(command, told=script.encode(), timeout_s=_TIMEOUT_S, born=born)
    except FileNotFoundError as err:
        raise ConfigError(f"layer 4 in the kernel: {NO_NFT}") from err
    except TimeoutError as err:
        raise DriverUnavailable(f"nft did not finish in {_TIMEOUT_S:g} s") from err
    if done.code == 0:
        return
    text = re.sub(r"\s+", " ", done.err.decode(errors="replace")).strip()
    if "not permitted" in text:
        raise ConfigError(f"layer 4 in the kernel: {NO_RIGHT}")
    if _NO_NETLINK.search(text):
        raise ConfigError(f"layer 4 in the kernel: {NO_MODULES} (nft: {text[:200]})")
    advice = f"; a module may be missing: modprobe -a {MODULES}" if _MISSING.search(text) else ""
    raise RulesRefused(f"nft refused our rules: {text[:500]}{advice}")
