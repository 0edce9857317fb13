"""Elements of nftables over netlink (<linux/netfilter/nf_tables.h>, <linux/netfilter/nfnetlink.h>).

Every change is a batch, which the kernel makes as a whole or not at all, and packets see before or
after. `nft -j -f -` can do the same; it takes 5 to 15 ms to start and to ask what is there, where
this takes a fraction of one (ADR 0027).
"""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, NamedTuple, Self

from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.driver.nftables.element import VERDICTS, Elements, Lookup, Place
from onehop.driver.nftables.ruleset import TABLE

_NETLINK_NETFILTER: Final = 12
_NFPROTO_INET: Final = 1
_SUBSYSTEM: Final = 10 << 8
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_GET_TABLE: Final = _SUBSYSTEM | 1
_NEW_ELEMENTS, _GET_ELEMENTS, _DEL_ELEMENTS = (_SUBSYSTEM | each for each in (12, 13, 14))
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP, _CREATE = 0x01, 0x04, 0x300, 0x400
_TABLE_NAME, _TABLE_HANDLE = 1, 4
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_ONE_OF_LIST: Final = 1
_KEY, _DATA, _FLAGS, _EXPRESSION, _KEY_END, _EXPRESSIONS = 1, 2, 3, 7, 10, 11
_VALUE, _VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_GOTO: Final = -4 & 0xFFFFFFFF
_EXPRESSION_DATA: Final = 2
_COUNTER_PACKETS: Final = 2
_NESTED: Final = 0x8000
_TYPE_MASK: Final = 0x3FFF

_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_FAMILY: Final = struct.Struct("!BBH")  # nfgen_family, version, resource
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_U32: Final = struct.Struct("!I")
_U64: Final = struct.Struct("!Q")
_ERRNO: Final = struct.Struct("=i")

_MESSAGE_BYTES: Final = 60_000
"""Of elements in one message; an attribute's length has 16 bits."""
_BUFFER_BYTES: Final = 8 << 20
_RECEIVE_BYTES: Final = 1 << 17
_TIMEOUT_S: Final = 5.0


class Refused(Exception):  # noqa: N818  what the kernel did
    """The kernel made nothing of a batch."""

    def __init__(self, code: int) -> None:
        super().__init__(os.strerror(code))
        self.code = code


class Change(NamedTuple):
    """Elements to take away, and then elements to put; both may name the same place."""

    remove: Elements
    put: Elements

    def __bool__(self) -> bool:
        return bool(self.remove or self.put)


class Netlink:
    """A socket to nf_tables of this network namespace; not for several tasks at once."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER
            )
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_BYTES)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        except PermissionError as err:
            raise ConfigError("layer 4 in the kernel needs CAP_NET_ADMIN") from err
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def change(self, change: Change) -> None:
        """Make a change, at once; the kernel has done it when this returns.

        Raises:
            Refused: and all is as it was.
        """
        messages = [
            *((_DEL_ELEMENTS, 0, body) for body in _bodies(change.remove)),
            *((_NEW_ELEMENTS, _CREATE, body) for body in _bodies(change.put, with_values=True)),
        ]
        if not messages:
            return
        batch = [self._message(_BATCH_BEGIN, 0, b"", resource=10)]
        for place, (kind, flags, body) in enumerate(messages, start=1):
            acknowledged = _ACK if place == len(messages) else 0
            batch.append(self._message(kind, flags | acknowledged, body))
        batch.append(self._message(_BATCH_END, 0, b"", resource=10))
        self._socket.send(b"".join(batch))
        # The kernel works in send(), so its answers are here already.
        fault = next((code for code in self._answers() if code), 0)
        if fault:
            raise Refused(fault)

    async def elements(self, lookup: Lookup, version: int) -> Elements:
        """Return what is in a map now.

        Raises:
            Refused: there is no such map.
            DriverUnavailable: the kernel does not answer.
        """
        place = Place(lookup, version, b"")
        self._socket.send(self._message(_GET_ELEMENTS, _DUMP, _list_of(place, b"")))
        found: Elements = {}
        async for payload in self._replies():
            for key, value, _ in _read_elements(lookup, payload):
                found[Place(lookup, version, key)] = value
        return found

    async def counters(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return how often each of some elements was found; those that are not there are left out.

        Raises:
            DriverUnavailable: the kernel does not answer.
        """
        found: dict[Place, int] = {}
        for place in places:
            element = _nested(_ONE_OF_LIST, _nested(_KEY, _attribute(_VALUE, place.key)))
            self._socket.send(self._message(_GET_ELEMENTS, _ACK, _list_of(place, element)))
            try:
                async for payload in self._replies():
                    for _, _, packets in _read_elements(place.lookup, payload):
                        found[place] = packets
            except Refused as refused:
                if refused.code != errno.ENOENT:
                    raise DriverUnavailable(f"nf_tables does not count: {refused}") from refused
        return found

    async def table_handle(self) -> int | None:
        """Return what the kernel knows our table by, or None if there is none.

        Raises:
            DriverUnavailable: the kernel does not answer.
        """
        name = _attribute(_TABLE_NAME, TABLE.encode() + b"\0")
        self._socket.send(self._message(_GET_TABLE, _ACK, name))
        handle = None
        try:
            async for payload in self._replies():
                (handle,) = _U64.unpack(_parts(payload)[_TABLE_HANDLE])
        except Refused as refused:
            if refused.code != errno.ENOENT:
                raise DriverUnavailable(f"nf_tables does not answer: {refused}") from refused
        return handle

    def _answers(self) -> Iterator[int]:
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as err:
                if err.errno != errno.ENOBUFS:  # more faults than there was room to tell of
                    raise
                yield errno.ENOBUFS
                continue
            for kind, _, payload in _messages(data):
                if kind == _ERROR:
                    yield -int(_ERRNO.unpack_from(payload)[0])

    async def _replies(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    data = await loop.sock_recv(self._socket, _RECEIVE_BYTES)
            except TimeoutError as err:
                raise DriverUnavailable("nf_tables does not answer") from err
            await asyncio.sleep(0)  # there may be thousands of these, and others wait
            for kind, _, payload in _messages(data):
                if kind in {_ERROR, _DONE}:
                    code = -int(_ERRNO.unpack_from(payload)[0]) if payload else 0
                    if code:
                        raise Refused(code)
                    return
                yield payload[_FAMILY.size :]

    def _message(self, kind: int, flags: int, body: bytes, *, resource: int = 0) -> bytes:
        self._sequence += 1
        family = _FAMILY.pack(_NFPROTO_INET if not resource else 0, 0, resource)
        length = _HEADER.size + len(family) + len(body)
        header = _HEADER.pack(length, kind, flags | _REQUEST, self._sequence, 0)
        return header + family + body


def _bodies(elements: Elements, *, with_values: bool = False) -> Iterator[bytes]:
    """Yield bodies of messages, each with elements of one map."""
    by_map: dict[tuple[Lookup, int], list[Place]] = {}
    for place in elements:
        by_map.setdefault((place.lookup, place.version), []).append(place)
    for places in by_map.values():
        encoded: list[bytes] = []
        size = 0
        for place in places:
            encoded.append(_element(place, elements[place] if with_values else b""))
            size += len(encoded[-1])
            if size > _MESSAGE_BYTES:
                yield _list_of(places[0], b"".join(encoded))
                encoded, size = [], 0
        if encoded:
            yield _list_of(places[0], b"".join(encoded))


def _element(place: Place, value: bytes) -> bytes:
    if place.lookup is Lookup.SOURCE:
        middle = len(place.key) // 2
        first, last = place.key[:middle], place.key[middle:]
        key = _nested(_KEY, _attribute(_VALUE, first))
        return _nested(_ONE_OF_LIST, key + _nested(_KEY_END, _attribute(_VALUE, last)))
    key = _nested(_KEY, _attribute(_VALUE, place.key))
    return _nested(_ONE_OF_LIST, key + (_data(place.lookup, value) if value else b""))


def _data(lookup: Lookup, value: bytes) -> bytes:
    if lookup not in VERDICTS:
        return _nested(_DATA, _attribute(_VALUE, value))
    code = _attribute(_VERDICT_CODE, _U32.pack(_GOTO))
    chain = _attribute(_VERDICT_CHAIN, value + b"\0")
    return _nested(_DATA, _nested(_VERDICT, code + chain))


def _list_of(place: Place, elements: bytes) -> bytes:
    table = _attribute(_LIST_TABLE, TABLE.encode() + b"\0")
    name = _attribute(_LIST_SET, place.name.encode() + b"\0")
    return table + name + (_nested(_LIST_ELEMENTS, elements) if elements else b"")


def _read_elements(lookup: Lookup, payload: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield the key, the value and the counter of each element in a message."""
    for element in _each(_parts(payload).get(_LIST_ELEMENTS, b"")):
        parts = _parts(element)
        key = _parts(parts[_KEY])[_VALUE]
        if _KEY_END in parts:
            key += _parts(parts[_KEY_END])[_VALUE]
        yield key, _read_data(lookup, parts.get(_DATA, b"")), _read_counter(parts)


def _read_data(lookup: Lookup, data: bytes) -> bytes:
    parts = _parts(data)
    if lookup not in VERDICTS:
        return parts.get(_VALUE, b"")
    return _parts(parts[_VERDICT]).get(_VERDICT_CHAIN, b"").rstrip(b"\0")


def _read_counter(parts: dict[int, bytes]) -> int:
    expression = parts.get(_EXPRESSION)
    if expression is None:
        return 0
    data = _parts(expression).get(_EXPRESSION_DATA, b"")
    return int(_U64.unpack(_parts(data)[_COUNTER_PACKETS])[0])


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, offset)
        yield kind, flags, data[offset + _HEADER.size : offset + length]
        offset += _padded(max(length, _HEADER.size))


def _parts(data: bytes) -> dict[int, bytes]:
    """Return attributes by type; where there are hundred thousands, this is what takes time."""
    found: dict[int, bytes] = {}
    offset, end = 0, len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:  # noqa: PLR2004  no room for its own header: not what the kernel sends
            break
        found[kind & _TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def _each(data: bytes) -> Iterator[bytes]:
    """Yield the attributes of a list, which are all of one type."""
    offset, end = 0, len(data)
    while offset + 4 <= end:
        length, _ = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:  # noqa: PLR2004  see above
            break
        yield data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NESTED, value)


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (_padded(length) - length)


def _padded(length: int) -> int:
    return (length + 3) & ~3
