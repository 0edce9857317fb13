"""Asking the kernel, changing it, and hearing what changed.

One errand is one socket. A batch is one datagram: the kernel works through it while it is being
sent, says what it refused, and acknowledges the last request, so that 5,000 routes are not 5,000
answers (netlink(7): an error is reported whether or not NLM_F_ACK was asked for).
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import Final, Self

from onehop.base.errors import ConfigError, TransientError
from onehop.base.nlmsg import (
    ACK,
    CAP_ACK,
    DONE,
    DUMP,
    DUMP_INTERRUPTED,
    ERROR,
    SOL_NETLINK,
    Message,
    Request,
    errno_of,
    pack,
    unpack,
)

LINKS: Final = 0x1  # RTMGRP_*, and 1 << (RTNLGRP_* - 1)
NEIGHBORS: Final = 0x4
ADDRESSES: Final = 0x10 | 0x100
ROUTES: Final = 0x40 | 0x400
RULES: Final = 0x80 | 0x40000

_STRICT_CHECK: Final = 12  # list requests are filtered by the kernel
_RECEIVE_BYTES: Final = 262144
_TIMEOUT_S: Final = 5.0
_BATCH: Final = 100
"""Requests in a datagram. If all are refused, their errors must fit the receive buffer."""
_ATTEMPTS: Final = 5
_NOTHING_THERE: Final = frozenset((errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP))
"""A table nobody wrote to yet, or a family that this kernel was built without."""


async def transact(requests: Sequence[Request]) -> dict[int, int]:
    """Have the kernel carry out requests in order; each stands for itself.

    Returns:
        The errno of every request that was refused, by its index.

    Raises:
        ConfigError: this process may not change the network.
        TransientError: the kernel did not answer.
    """
    refused: dict[int, int] = {}
    if not requests:
        return refused
    with _errand() as kernel:
        for first in range(0, len(requests), _BATCH):
            async with _answered():
                await _batch(kernel, requests[first : first + _BATCH], first, refused)
            await asyncio.sleep(0)  # the kernel answers at once, and others have work as well
    if errno.EPERM in refused.values():
        raise ConfigError(
            "changing routes needs CAP_NET_ADMIN; grant it (AmbientCapabilities=CAP_NET_ADMIN) "
            "or set reach.routes: none and reach.tunnel: none"
        )
    return refused


async def list_all(request: Request) -> list[bytes]:
    """Return the payloads of all objects that the request asks for, as of one moment.

    Raises:
        TransientError: the kernel did not answer, or its objects never stood still.
    """
    for _ in range(_ATTEMPTS):
        with _errand() as kernel:
            async with _answered():
                found = await _dump(kernel, request)
        if found is not None:
            return found
    raise TransientError("the kernel's tables changed all the time while they were read")


async def ask_all(requests: Sequence[Request]) -> list[bytes | None]:
    """Return the answer to each request, or None where there is none."""
    answers: list[bytes | None] = []
    with _errand() as kernel:
        for request in requests:
            async with _answered():
                await asyncio.get_running_loop().sock_sendall(kernel, pack(request, 1))
                (message,) = unpack(await _receive(kernel))
            answers.append(None if message.kind == ERROR else message.payload)
            if len(answers) % _BATCH == 0:
                await asyncio.sleep(0)
    return answers


class Events:
    """What changes in the kernel, from the moment this is entered.

    `hear` is called with every message, in order, as soon as the event loop has a moment; `lose`,
    where the kernel had to drop some because nobody read them. Neither may block.
    """

    def __init__(
        self, groups: int, *, hear: Callable[[Message], None], lose: Callable[[], None]
    ) -> None:
        self._groups = groups
        self._hear = hear
        self._lose = lose
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        self._socket = _open(self._groups)
        asyncio.get_running_loop().add_reader(self._socket, self.drain)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def drain(self) -> None:
        """Hear all that the kernel has said so far.

        It tells of a change before it answers whoever asked for the change, so that after
        `transact` and this, what was heard includes what we did.
        """
        while self._socket is not None:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as err:
                if err.errno != errno.ENOBUFS:
                    raise
                self._lose()
                continue
            for message in unpack(data):
                self._hear(message)


async def _batch(
    kernel: socket.socket, requests: Sequence[Request], first: int, refused: dict[int, int]
) -> None:
    last = first + len(requests) - 1
    data = b"".join(
        pack(request, index, ACK if index == last else 0)
        for index, request in enumerate(requests, start=first)
    )
    await asyncio.get_running_loop().sock_sendall(kernel, data)
    while True:
        for message in unpack(await _receive(kernel)):
            if message.kind == ERROR and (code := errno_of(message)):
                refused[message.sequence] = code
            if message.kind == ERROR and message.sequence == last:
                return


async def _dump(kernel: socket.socket, request: Request) -> list[bytes] | None:
    """Return what is listed, or None if it changed meanwhile."""
    await asyncio.get_running_loop().sock_sendall(kernel, pack(request, 1, DUMP))
    found: list[bytes] = []
    is_torn = False
    while True:
        for message in unpack(await _receive(kernel)):
            is_torn = is_torn or bool(message.flags & DUMP_INTERRUPTED)
            if message.kind in {DONE, ERROR}:
                code = errno_of(message)
                if code and code not in _NOTHING_THERE:
                    raise TransientError(f"the kernel does not list it: {os.strerror(code)}")
                return None if is_torn else found
            found.append(message.payload)
        await asyncio.sleep(0)  # a full table comes in many parts, all of them at once


async def _receive(kernel: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(kernel, _RECEIVE_BYTES)


@contextlib.contextmanager
def _errand() -> Generator[socket.socket]:
    """Open a socket for one errand, and translate what goes wrong with it."""
    try:
        with _open(0) as kernel:
            kernel.setsockopt(SOL_NETLINK, CAP_ACK, 1)
            kernel.setsockopt(SOL_NETLINK, _STRICT_CHECK, 1)
            yield kernel
    except TimeoutError as err:
        raise TransientError("netlink did not answer") from err
    except OSError as err:
        raise TransientError(f"netlink failed: {err}") from err


def _answered() -> asyncio.Timeout:
    return asyncio.timeout(_TIMEOUT_S)


def _open(groups: int) -> socket.socket:
    kernel = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    kernel.bind((0, groups))
    return kernel
