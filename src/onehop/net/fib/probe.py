"""Asking addresses whether they can be reached, where the routing table does not know.

Behind a default route may be a router that knows the Pods, or one that drops them. A TCP connection
tells: whether it is accepted or refused, somebody at the other end has answered. Silence may as
well be a lost packet, so only two in a row count. What was accepted is reset at once, so that no
connection stays behind on either side.
"""

import asyncio
import contextlib
import errno
import heapq
import os
import socket
import struct
from collections.abc import Callable
from itertools import count
from typing import Final

import msgspec
import structlog

from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.reach import ProbeResult

AT_ONCE: Final = 32
"""Probes under way: as many ports of ours, and half-open connections in a firewall's table."""
PER_SECOND: Final = 200
"""Probes begun: a hundred-odd nodes are asked as often as they should be, and more share it."""
ANSWERED_PAUSE_S: Final = 10.0
SILENT_PAUSE_S: Final = 2.0
TIMEOUT_S: Final = 1.0
SILENT_AFTER: Final = 2

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger
_OUR_OWN_FAULT: Final = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN)
)
"""No file descriptor, memory or port left: says nothing of the way."""

_log = structlog.get_logger(__name__)


class _Probed(msgspec.Struct, kw_only=True):
    """An area that is asked."""

    prefix: Cidr
    address: IpAddr
    port: int
    result: ProbeResult = ProbeResult.NOT_ASKED
    silences: int = 0


class Prober:
    """Asks one address of each area it is aimed at, again and again."""

    def __init__(self) -> None:
        self._aimed: dict[Cidr, _Probed] = {}
        self._due: list[tuple[float, int, _Probed]] = []
        self._order = count()
        self._is_aimed = asyncio.Event()

    def aim(self, prefix: Cidr, target: tuple[IpAddr, int]) -> None:
        """Ask this address and port for an area from now on; what is known of it is kept."""
        address, port = target
        probed = self._aimed.get(prefix)
        if probed is not None:
            probed.address, probed.port = address, port
            return
        probed = self._aimed[prefix] = _Probed(prefix=prefix, address=address, port=port)
        heapq.heappush(self._due, (0.0, next(self._order), probed))
        self._is_aimed.set()

    def drop(self, prefix: Cidr) -> None:
        """Ask for this area no longer, and forget what was known."""
        self._aimed.pop(prefix, None)

    def result(self, prefix: Cidr) -> ProbeResult:
        """Return what asking an area has shown; NOT_ASKED until it has shown something."""
        probed = self._aimed.get(prefix)
        return ProbeResult.NOT_ASKED if probed is None else probed.result

    async def run(self, heard: Callable[[Cidr], None]) -> None:
        """Ask until cancelled; call with each area whose result has become another."""
        slots = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while True:
                probed = await self._next()
                await slots.acquire()
                group.create_task(self._probe(probed, slots, heard))
                await asyncio.sleep(1 / PER_SECOND)

    async def _next(self) -> _Probed:
        """Wait until somebody is due."""
        loop = asyncio.get_running_loop()
        while True:
            self._is_aimed.clear()
            wait_s = self._due[0][0] - loop.time() if self._due else None
            if wait_s is not None and wait_s <= 0:
                probed = heapq.heappop(self._due)[2]
                if self._aimed.get(probed.prefix) is probed:
                    return probed
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._is_aimed.wait()

    async def _probe(
        self, probed: _Probed, slots: asyncio.Semaphore, heard: Callable[[Cidr], None]
    ) -> None:
        try:
            has_answered = await _ask(probed.address, probed.port)
        finally:
            slots.release()
        is_fine = has_answered is not False
        pause_s = ANSWERED_PAUSE_S if is_fine else SILENT_PAUSE_S
        due = asyncio.get_running_loop().time() + pause_s
        heapq.heappush(self._due, (due, next(self._order), probed))
        self._is_aimed.set()
        if has_answered is None or self._aimed.get(probed.prefix) is not probed:
            return
        before = probed.result
        probed.silences = 0 if has_answered else probed.silences + 1
        if has_answered:
            probed.result = ProbeResult.ANSWERED
        elif probed.silences >= SILENT_AFTER:
            probed.result = ProbeResult.SILENT
        if probed.result is not before:
            _log.info(
                "probe_changed", area=probed.prefix, address=probed.address, result=probed.result
            )
            heard(probed.prefix)


async def _ask(address: IpAddr, port: int) -> bool | None:
    """Return whether anybody answered; None if we were not able to ask."""
    family = socket.AF_INET6 if is_ipv6(address) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except ConnectionError:  # refused, or reset: by somebody who is there
        return True
    except TimeoutError:
        return False
    except OSError as err:
        if err.errno in _OUR_OWN_FAULT:
            _log.warning("probe_impossible", address=address, error=os.strerror(err.errno))
            return None
        return False
    return True
