"""A socket to netfilter: transactions that are made at once, and questions that are answered.

Every change is a batch, which the kernel makes as a whole or not at all; packets see before or
after. `nft -j -f -` can do the same; it takes 5 to 15 ms to start and to ask what is there, where
this takes a fraction of one (ADR 0027).
"""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Final, Self

from onehop.base import nlmsg
from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.base.nlmsg import Request
from onehop.driver.nftables import wire
from onehop.driver.nftables.advice import NO_MODULES, NO_RIGHT

_NF_TABLES: Final = 10
_DISAGREEMENTS: Final = frozenset(
    (errno.ENOENT, errno.EEXIST, errno.EBUSY, errno.ENOTEMPTY, errno.EINVAL)
)
_BUFFER_BYTES: Final = 8 << 20
_MOST_BYTES: Final = 1 << 30
_RECEIVE_BYTES: Final = 1 << 17
_TIMEOUT_S: Final = 5.0
_TRIES: Final = 5


class Refused(Exception):  # noqa: N818  what the kernel did
    """The kernel made nothing of a batch, or does not answer a question."""

    def __init__(self, code: int) -> None:
        super().__init__(os.strerror(code))
        self.code = code

    @property
    def is_disagreement(self) -> bool:
        """Tell whether something else is in the kernel than we know; else it has no room, say."""
        return self.code in _DISAGREEMENTS


class Channel:
    """A socket to netfilter of this network namespace; not for several tasks at once.

    Raises:
        ConfigError: this process may not change anything, or there is nothing to change.
    """

    def __init__(self) -> None:
        self._sequence = 0
        self._buffer_bytes = _BUFFER_BYTES
        self._socket = _opened(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def port(self) -> int:
        """What the kernel names as the author of our changes."""
        return int(self._socket.getsockname()[0])

    def transact(self, requests: Sequence[Request]) -> None:
        """Make changes of nf_tables, at once; the kernel has made them when this returns.

        Raises:
            Refused: and all is as it was.
        """
        batch = [self._marker(wire.BATCH_BEGIN)]
        for place, request in enumerate(requests, start=1):
            acknowledged = nlmsg.ACK if place == len(requests) else 0
            batch.append(self._message(request._replace(flags=request.flags | acknowledged)))
        batch.append(self._marker(wire.BATCH_END))
        first = self._sequence - len(requests) - 1
        self._send(b"".join(batch))
        # The kernel works in send(), so its answers are here already.
        fault = next((code for code in self._answers(first) if code), 0)
        if fault:
            raise Refused(fault)

    async def ask(
        self, kind: int, flags: int, body: bytes, *, family: int = wire.NFPROTO_INET
    ) -> list[wire.Message]:
        """Return everything that answers a question, as it was at one moment.

        Raises:
            Refused: the kernel does not know what is asked for.
            DriverUnavailable: it does not answer.
        """
        for _ in range(_TRIES):
            found: list[wire.Message] = []
            is_whole = True
            async with aclosing(self._replies(kind, flags, body, family)) as replies:
                async for reply in replies:
                    is_whole = is_whole and not reply.flags & nlmsg.DUMP_INTERRUPTED
                    found.append(reply)
            if is_whole:
                return found
        raise DriverUnavailable("nf_tables is changed faster than it can be listed")

    async def _replies(
        self, kind: int, flags: int, body: bytes, family: int
    ) -> AsyncGenerator[wire.Message]:
        loop = asyncio.get_running_loop()
        self._send(self._message(Request(kind, flags, body), family=family))
        asked, is_over = self._sequence, False
        try:
            while True:
                async with asyncio.timeout(_TIMEOUT_S):
                    data = await loop.sock_recv(self._socket, _RECEIVE_BYTES)
                await asyncio.sleep(0)  # there may be thousands of these, and others wait
                for reply in nlmsg.unpack(data):
                    if reply.sequence != asked:
                        continue
                    if reply.kind in {nlmsg.ERROR, nlmsg.DONE}:
                        is_over = True
                        if code := nlmsg.errno_of(reply):
                            raise Refused(code)
                        return
                    yield wire.read(reply)
        except TimeoutError as err:
            raise DriverUnavailable("nf_tables does not answer") from err
        finally:
            if not is_over:  # the rest would be taken for the answer to the next question
                self._socket.close()
                self._socket = _opened(self._buffer_bytes)

    def _send(self, data: bytes) -> None:
        if len(data) > self._buffer_bytes // 2:  # netlink_sendmsg(): EMSGSIZE
            self._buffer_bytes = min(2 * len(data), _MOST_BYTES)
            _set_buffers(self._socket, self._buffer_bytes)
        try:
            self._socket.send(data)
        except OSError as err:
            raise Refused(err.errno or errno.EIO) from err

    def _answers(self, first: int) -> Iterator[int]:
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as err:  # ENOBUFS: more faults than there was room to tell of
                yield err.errno or errno.EIO
                continue
            for reply in nlmsg.unpack(data):
                if reply.kind == nlmsg.ERROR and reply.sequence >= first:
                    yield nlmsg.errno_of(reply)

    def _marker(self, kind: int) -> bytes:
        self._sequence += 1
        empty = Request(kind, 0, b"")
        return wire.message(empty, self._sequence, family=0, resource=_NF_TABLES)

    def _message(self, request: Request, *, family: int = wire.NFPROTO_INET) -> bytes:
        self._sequence += 1
        return wire.message(request, self._sequence, family=family)


def _opened(buffer_bytes: int) -> socket.socket:
    """Return a new socket with buffers that hold a large change."""
    try:
        made = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, wire.NETLINK_NETFILTER
        )
    except OSError as err:  # EPROTONOSUPPORT: nobody has registered the protocol
        raise ConfigError(f"layer 4 in the kernel: {NO_MODULES} ({err.strerror})") from err
    try:
        _set_buffers(made, buffer_bytes or _BUFFER_BYTES)
        made.setsockopt(nlmsg.SOL_NETLINK, nlmsg.CAP_ACK, 1)
        made.bind((0, 0))
    except OSError as err:
        made.close()
        if isinstance(err, PermissionError):
            raise ConfigError(f"layer 4 in the kernel: {NO_RIGHT}") from err
        raise DriverUnavailable(f"no netlink socket to nf_tables: {err}") from err
    return made


def _set_buffers(opened: socket.socket, size_bytes: int) -> None:
    opened.setsockopt(socket.SOL_SOCKET, wire.SO_SNDBUFFORCE, size_bytes)
    opened.setsockopt(socket.SOL_SOCKET, wire.SO_RCVBUFFORCE, size_bytes)
