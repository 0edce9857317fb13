"""What a worker that goes knows of clients, and whether it would teach the one that comes."""

import asyncio
import re
from typing import Final

from onehop.base.errors import DriverUnavailable
from onehop.driver.haproxy.runtime import Runtime

_ASK_EVERY_S: Final = 0.05
_USED: Final = re.compile(r"^# table: b-.*, used:[1-9]", re.MULTILINE)
_FLAGS: Final = re.compile(r" id=onehop .*?\bflags=0x([0-9a-f]+)")
_HAS_LEARNT: Final = 0x3  # PEERS_F_RESYNC_LOCAL and _REMOTE, include/haproxy/peers-t.h


async def until_it_teaches(runtime: Runtime, timeout_s: float) -> None:
    """Wait until a worker would hand its tables over, if there is anything in them.

    One that has just started waits five seconds for somebody to teach it; a reload before that
    would lose what it knows. It is not waited for in vain: `timeout_s` is the most.
    """
    try:
        async with asyncio.timeout(timeout_s):
            if not _USED.search(await runtime.ask("show table")):
                return
            while not _has_learnt(await runtime.ask("show peers")):  # noqa: ASYNC110  not ours
                await asyncio.sleep(_ASK_EVERY_S)
    except (TimeoutError, DriverUnavailable):
        return  # better a worker without memory than none


def _has_learnt(peers: str) -> bool:
    flags = _FLAGS.search(peers)
    return flags is None or int(flags[1], 16) & _HAS_LEARNT == _HAS_LEARNT
