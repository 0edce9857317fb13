"""Elements, chains and counters of our table over netlink (<linux/netfilter/nf_tables.h>)."""

import asyncio
import errno
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from onehop.base import nlmsg
from onehop.base.errors import DriverUnavailable
from onehop.base.nlmsg import Request
from onehop.driver.nftables import wire
from onehop.driver.nftables.channel import Channel, Refused
from onehop.driver.nftables.element import VERDICTS, Elements, Lookup, Place
from onehop.driver.nftables.ruleset import TABLE

SUBSYSTEM: Final = 10 << 8
_GET_CHAINS: Final = SUBSYSTEM | 4
_GET_SETS: Final = SUBSYSTEM | 10
_NEW_ELEMENTS, _GET_ELEMENTS, _DEL_ELEMENTS = (SUBSYSTEM | each for each in (12, 13, 14))
_GET_TABLE: Final = SUBSYSTEM | 1
_GET_OBJECTS: Final = SUBSYSTEM | 19
_TABLE_NAME: Final = 1
_CHAIN_NAME, _SET_NAME = 3, 2
_OBJECT_NAME, _OBJECT_DATA = 2, 4
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_ONE_OF_LIST: Final = 1
_KEY, _DATA, _EXPRESSION, _KEY_END = 1, 2, 7, 10
_VALUE, _VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_GOTO: Final = -4 & 0xFFFFFFFF
_EXPRESSION_DATA: Final = 2
_COUNTER_PACKETS: Final = 2
_MESSAGE_BYTES: Final = 60_000
"""Of elements in one message; an attribute's length has 16 bits."""


class Change(NamedTuple):
    """Elements to take away, and then elements to put; both may name the same place."""

    remove: Elements
    put: Elements

    def __bool__(self) -> bool:
        return bool(self.remove or self.put)


class Netlink(Channel):
    """Changes of elements, and questions about what our table has."""

    def change(self, change: Change) -> None:
        """Make a change, at once; the kernel has done it when this returns.

        Raises:
            Refused: and all is as it was.
        """
        requests = [
            *(Request(_DEL_ELEMENTS, 0, body) for body in _bodies(change.remove)),
            *(
                Request(_NEW_ELEMENTS, nlmsg.CREATE, body)
                for body in _bodies(change.put, with_values=True)
            ),
        ]
        if requests:
            self.transact(requests)

    async def elements(self, lookup: Lookup, version: int) -> Elements:
        """Return what is in a map now.

        Raises:
            Refused: there is no such map.
            DriverUnavailable: the kernel does not answer.
        """
        place = Place(lookup, version, b"")
        found: Elements = {}
        for reply in await self.ask(_GET_ELEMENTS, nlmsg.DUMP, _list_of(place, b"")):
            for key, value, _ in _read_elements(lookup, reply.body):
                found[Place(lookup, version, key)] = value
            await asyncio.sleep(0)  # there may be hundred thousands of them, and others wait
        return found

    async def counters(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return how often each of some elements was found; those that are not there are left out.

        Raises:
            DriverUnavailable: the kernel does not answer.
        """
        found: dict[Place, int] = {}
        for place in places:
            element = nlmsg.nested(
                _ONE_OF_LIST, nlmsg.nested(_KEY, nlmsg.attribute(_VALUE, place.key))
            )
            try:
                replies = await self.ask(_GET_ELEMENTS, nlmsg.ACK, _list_of(place, element))
            except Refused as refused:
                if refused.code != errno.ENOENT:
                    raise DriverUnavailable(f"nf_tables does not count: {refused}") from refused
                continue
            for reply in replies:
                for _, _, packets in _read_elements(place.lookup, reply.body):
                    found[place] = packets
        return found

    async def totals(self) -> dict[str, int]:
        """Return what the named counters of our table have counted, in packets.

        Raises:
            DriverUnavailable: the kernel does not answer.
        """
        found = {}
        for attributes in await self._listed(_GET_OBJECTS):
            data = nlmsg.attributes(attributes[_OBJECT_DATA])
            (packets,) = wire.U64.unpack(data[_COUNTER_PACKETS])
            found[_name(attributes[_OBJECT_NAME])] = int(packets)
        return found

    async def chains(self) -> frozenset[str]:
        """Return the names of our table's chains.

        Raises:
            DriverUnavailable: the kernel does not answer.
        """
        return frozenset(_name(each[_CHAIN_NAME]) for each in await self._listed(_GET_CHAINS))

    async def sets(self) -> frozenset[str]:
        """Return the names of our table's maps and sets.

        Raises:
            DriverUnavailable: the kernel does not answer.
        """
        return frozenset(_name(each[_SET_NAME]) for each in await self._listed(_GET_SETS))

    async def is_there(self, table: str = TABLE) -> bool:
        """Tell whether there is a table of a name.

        Raises:
            DriverUnavailable: the kernel does not answer.
        """
        name = nlmsg.attribute(_TABLE_NAME, wire.text(table))
        try:
            return bool(await self.ask(_GET_TABLE, nlmsg.ACK, name))
        except Refused as refused:
            if refused.code != errno.ENOENT:
                raise DriverUnavailable(f"nf_tables does not answer: {refused}") from refused
        return False

    async def _listed(self, kind: int) -> list[dict[int, bytes]]:
        """Return the attributes of everything of a kind that is in our table."""
        ours = wire.text(TABLE)
        try:
            replies = await self.ask(kind, nlmsg.DUMP, nlmsg.attribute(_TABLE_NAME, ours))
        except Refused as refused:
            raise DriverUnavailable(f"nf_tables does not list: {refused}") from refused
        found = [nlmsg.attributes(reply.body) for reply in replies]
        return [attributes for attributes in found if attributes.get(_TABLE_NAME) == ours]


def _name(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


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
        key = nlmsg.nested(_KEY, nlmsg.attribute(_VALUE, first))
        end = nlmsg.nested(_KEY_END, nlmsg.attribute(_VALUE, last))
        return nlmsg.nested(_ONE_OF_LIST, key + end)
    key = nlmsg.nested(_KEY, nlmsg.attribute(_VALUE, place.key))
    return nlmsg.nested(_ONE_OF_LIST, key + (_data(place.lookup, value) if value else b""))


def _data(lookup: Lookup, value: bytes) -> bytes:
    if lookup not in VERDICTS:
        return nlmsg.nested(_DATA, nlmsg.attribute(_VALUE, value))
    code = nlmsg.attribute(_VERDICT_CODE, wire.U32.pack(_GOTO))
    chain = nlmsg.attribute(_VERDICT_CHAIN, value + b"\0")
    return nlmsg.nested(_DATA, nlmsg.nested(_VERDICT, code + chain))


def _list_of(place: Place, elements: bytes) -> bytes:
    table = nlmsg.attribute(_LIST_TABLE, wire.text(TABLE))
    name = nlmsg.attribute(_LIST_SET, wire.text(place.name))
    return table + name + (nlmsg.nested(_LIST_ELEMENTS, elements) if elements else b"")


def _read_elements(lookup: Lookup, payload: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield the key, the value and the counter of each element in a message.

    Raises:
        Refused: one is a catch-all, which we never put, and which has no key.
    """
    for element in nlmsg.members(nlmsg.attributes(payload).get(_LIST_ELEMENTS, b"")):
        parts = nlmsg.attributes(element)
        if _KEY not in parts:
            raise Refused(errno.EINVAL)
        key = nlmsg.attributes(parts[_KEY])[_VALUE]
        if _KEY_END in parts:
            key += nlmsg.attributes(parts[_KEY_END])[_VALUE]
        yield key, _read_data(lookup, parts.get(_DATA, b"")), _read_counter(parts)


def _read_data(lookup: Lookup, data: bytes) -> bytes:
    parts = nlmsg.attributes(data)
    if lookup not in VERDICTS:
        return parts.get(_VALUE, b"")
    return nlmsg.attributes(parts[_VERDICT]).get(_VERDICT_CHAIN, b"").rstrip(b"\0")


def _read_counter(parts: dict[int, bytes]) -> int:
    expression = parts.get(_EXPRESSION)
    if expression is None:
        return 0
    data = nlmsg.attributes(expression).get(_EXPRESSION_DATA, b"")
    return int(wire.U64.unpack(nlmsg.attributes(data)[_COUNTER_PACKETS])[0])
