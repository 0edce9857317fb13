"""What an earlier run has left in the kernel, where layer 4 is no longer served there."""

from onehop.base.errors import OnehopError
from onehop.driver.nftables.netlink import Netlink
from onehop.driver.nftables.nft import run_nft
from onehop.driver.nftables.ruleset import render_removal


async def sweep() -> bool:
    """Take our table away if it is there; connections that it leads end with it.

    Returns whether there was one. A process that may not look has never made one.
    """
    try:
        with Netlink() as netlink:
            if not await netlink.is_there():
                return False
    except (OnehopError, OSError):
        return False
    await run_nft(render_removal())
    return True
