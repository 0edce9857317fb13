"""Asking the kernel's FIB, and hearing of its changes.

A question is carried out while it is being sent (netlink(7)), so its answer is there when `send`
returns: asking never waits for anybody, and takes 2.5 µs. That is why it is no coroutine.
"""

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from onehop.base.errors import TransientError
from onehop.base.nlmsg import (
    DONE,
    DUMP,
    DUMP_INTERRUPTED,
    ERROR,
    Message,
    Request,
    errno_of,
    pack,
    unpack,
)
from onehop.model.reach import FibRoute, Hop
from onehop.net.fib import route as wire
from onehop.net.fib.link import GET_LINK, NEW_LINK, Links
from onehop.net.fib.nexthop import GET_NEXTHOP, NEW_NEXTHOP, ask_nexthop, read_nexthop

_EVENTS: Final = (
    0x1  # RTMGRP_LINK
    | 0x10  # RTMGRP_IPV4_IFADDR: routes from an address that is removed vanish without a word
    | 0x40  # RTMGRP_IPV4_ROUTE
    | 0x80  # RTMGRP_IPV4_RULE
    | 0x100  # RTMGRP_IPV6_IFADDR
    | 0x400  # RTMGRP_IPV6_ROUTE
    | 1 << 18  # RTNLGRP_IPV6_RULE
    | 1 << 31  # RTNLGRP_NEXTHOP
)
_SO_RCVBUFFORCE: Final = 33  # <asm-generic/socket.h>; with CAP_NET_ADMIN beyond net.core.rmem_max
_EVENT_BUFFER_BYTES: Final = 8 << 20
"""Some 10,000 events; beyond, the kernel drops them and says so."""
_RECEIVE_BYTES: Final = 65536
_BATCH: Final = 32
"""Questions sent at once; their answers fit into the smallest receive buffer in use."""
_ATTEMPTS: Final = 5
_SEQUENCES: Final = 1 << 31
_TIMEOUT_S: Final = 5.0
_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port


class Lost(Exception):  # noqa: N818  it is no fault, and is handled at once
    """The kernel had to drop events, since we did not read them fast enough."""


class Kernel:
    """A socket to ask and one to listen, in the network namespace of the thread that opens them.

    Args:
        links: knows the names of interfaces.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._sequence = 0
        self._questions, self._events = _open(0), _open(_EVENTS)
        for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
            with contextlib.suppress(PermissionError):
                self._events.setsockopt(socket.SOL_SOCKET, option, _EVENT_BUFFER_BYTES)
                break

    def close(self) -> None:
        """Close the sockets."""
        self._questions.close()
        self._events.close()

    def look_up(self, numbers: Sequence[int], *, ipv6: bool) -> list[FibRoute | int | None]:
        """Return which route leads to each address, or the errno that says why none does.

        None is a route whose hops are all dead.

        Raises:
            TransientError: the kernel does not answer.
        """
        answers: list[FibRoute | int | None] = [errno.ENETUNREACH] * len(numbers)
        for start in range(0, len(numbers), _BATCH):
            bodies = [
                wire.ask_route(number, ipv6=ipv6) for number in numbers[start : start + _BATCH]
            ]
            for index, message in enumerate(self._ask(wire.GET_ROUTE, bodies), start=start):
                if message.kind == wire.NEW_ROUTE:
                    answers[index] = wire.read_route(
                        message.payload, device=self._links.name, nexthop=self._nexthop
                    )
                else:
                    answers[index] = errno_of(message)
        return answers

    async def prefixes(self) -> AsyncIterator[list[wire.Matched]]:
        """Yield the prefixes of all routes and rules, in handfuls.

        What changes meanwhile may be missing, and comes as an event.
        """
        for kind in (wire.GET_RULE, wire.GET_ROUTE):
            for family in (socket.AF_INET, socket.AF_INET6):
                body = wire.HEADER.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
                async for data in _dump(kind, body):
                    yield list(_matched(data))

    async def links(self) -> AsyncIterator[Message]:
        """Yield a message for each interface."""
        async for data in _dump(GET_LINK, bytes(16)):
            for message in unpack(data):
                if message.kind == NEW_LINK:
                    yield message

    async def events(self) -> list[Message]:
        """Wait for something to happen; return all that has.

        Raises:
            Lost: events are missing; everything must be read anew.
        """
        loop = asyncio.get_running_loop()
        is_lost = False
        events: list[Message] = []
        try:
            events.extend(unpack(await loop.sock_recv(self._events, _RECEIVE_BYTES)))
        except OSError as err:
            _expect(err, errno.ENOBUFS)
            is_lost = True
        while True:  # to the end even if some are lost: until then the kernel adds none
            try:
                events.extend(unpack(self._events.recv(_RECEIVE_BYTES)))
            except BlockingIOError:
                break
            except OSError as err:
                _expect(err, errno.ENOBUFS)
                is_lost = True
        if is_lost:
            raise Lost
        return events

    def _ask(self, kind: int, bodies: Sequence[bytes]) -> list[Message]:
        """Send questions together; return an answer to each."""
        answers: dict[int, Message] = {}
        failures = 0
        while failures < _ATTEMPTS:
            missing = [index for index in range(len(bodies)) if index not in answers]
            if not missing:
                return [answers[index] for index in range(len(bodies))]
            base = self._sequence
            self._sequence = (base + len(bodies)) % _SEQUENCES
            requests = (pack(Request(kind, 0, bodies[index]), base + index) for index in missing)
            self._send(b"".join(requests))
            found = {each.sequence - base: each for each in self._answers(len(missing))}
            failures += not found  # some is better than none: the rest did not fit
            answers |= found
        raise TransientError("the kernel does not answer where packets would go")

    def _send(self, data: bytes) -> None:
        try:
            self._questions.send(data)
        except OSError as err:
            raise TransientError(f"netlink takes no questions: {err}") from err

    def _answers(self, expected: int) -> Iterator[Message]:
        """Yield what was answered, to the last one, even if some were dropped."""
        while expected > 0:
            try:
                data = self._questions.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as err:
                _expect(err, errno.ENOBUFS)
                continue
            for message in unpack(data):
                expected -= 1
                yield message

    def _nexthop(self, identifier: int) -> tuple[Hop, ...]:
        (answer,) = self._ask(GET_NEXTHOP, [ask_nexthop(identifier)])
        if answer.kind != NEW_NEXTHOP:  # it is gone, and so will be the route
            return ()
        hops = read_nexthop(answer.payload, device=self._links.name, members=self._nexthop)
        return tuple(sorted(hops))


def _matched(data: bytes) -> list[wire.Matched]:
    """Return the prefixes of a datagram; no message is taken apart more than this needs."""
    found: list[wire.Matched] = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        if kind in {wire.NEW_ROUTE, wire.NEW_RULE}:
            matched = wire.read_matched(data, offset + _HEADER.size, offset + length)
            if matched is not None:
                found.append(matched)
        offset += (max(length, _HEADER.size) + 3) & ~3
    return found


async def _dump(kind: int, body: bytes) -> AsyncIterator[bytes]:
    """Yield the datagrams of a list; again from the beginning if it changed meanwhile."""
    for _ in range(_ATTEMPTS):
        is_torn = is_done = False
        with _open(0) as kernel:
            request = pack(Request(kind, DUMP, body), 1)
            while not is_done:
                data = await _exchange(kernel, request)
                request = b""
                await asyncio.sleep(0)  # a full table takes seconds
                flags, is_done = _last(data)
                is_torn = is_torn or bool(flags & DUMP_INTERRUPTED)
                yield data
        if not is_torn:
            return


async def _exchange(kernel: socket.socket, request: bytes) -> bytes:
    """Send a request, if there is one, and return the next datagram."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            if request:
                await loop.sock_sendall(kernel, request)
            return await loop.sock_recv(kernel, _RECEIVE_BYTES)
    except OSError as err:  # TimeoutError is one
        raise TransientError(f"cannot list routes: {err or 'no answer'}") from err


def _last(data: bytes) -> tuple[int, bool]:
    """Return the flags of all messages of a datagram, and whether it is the last."""
    offset = flags = 0
    while offset + _HEADER.size <= len(data):
        length, kind, more, *_ = _HEADER.unpack_from(data, offset)
        flags |= more
        if kind == ERROR:
            message = next(unpack(data[offset:]))
            if errno_of(message) not in _NOTHING_THERE:
                raise TransientError(f"cannot list routes: {os.strerror(errno_of(message))}")
        if kind in {DONE, ERROR}:
            return flags, True
        offset += (max(length, _HEADER.size) + 3) & ~3
    return flags, False


_NOTHING_THERE: Final = frozenset((errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP))
"""A family that this kernel was built without."""


def _expect(err: OSError, code: int) -> None:
    if err.errno != code:
        raise TransientError(f"netlink failed: {err}") from err


def _open(groups: int) -> socket.socket:
    try:
        opened = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        opened.bind((0, groups))
    except OSError as err:
        raise TransientError(
            f"cannot open netlink: {err.strerror}; allow it (RestrictAddressFamilies=AF_NETLINK)"
        ) from err
    return opened
