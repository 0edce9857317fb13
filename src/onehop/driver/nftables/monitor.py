"""What others do to our table: told by the kernel at once, and who did it.

The kernel sends every change of nf_tables to whoever listens (`nft monitor`), with the netlink port
of who made it, and at the end of each transaction the name of the program (`NFT_MSG_NEWGEN`). Our
own changes are known by their port; those of our socket for elements do not even wake us.
"""

import asyncio
import ctypes
import errno
import socket
import struct
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

import msgspec

from onehop.base import nlmsg
from onehop.base.errors import ConfigError
from onehop.driver.nftables import wire
from onehop.driver.nftables.advice import NO_RIGHT
from onehop.driver.nftables.element import Lookup
from onehop.driver.nftables.netlink import SUBSYSTEM
from onehop.driver.nftables.ruleset import TABLE

_GROUP: Final = 1 << (7 - 1)  # NFNLGRP_NFTABLES
_NEW_GENERATION: Final = SUBSYSTEM | 15
_PROGRAM: Final = 3
_TABLE, _SET = 1, 2
_BUFFER_BYTES: Final = 8 << 20
_RECEIVE_BYTES: Final = 1 << 17
_SO_ATTACH_FILTER: Final = 26


class What(StrEnum):
    """What of the table has changed; a closed set, for metrics."""

    TABLE = "table"
    CHAIN = "chain"
    RULE = "rule"
    MAP = "map"
    ELEMENT = "element"
    UNKNOWN = "unknown"
    """The kernel had more to tell than there was room for."""


_KINDS: Final[Mapping[int, What]] = {
    **dict.fromkeys((0, 2), What.TABLE),
    **dict.fromkeys((3, 5), What.CHAIN),
    **dict.fromkeys((6, 8), What.RULE),
    **dict.fromkeys((9, 11, 18, 20), What.MAP),
    **dict.fromkeys((12, 14), What.ELEMENT),
}
_OURS: Final = frozenset(f"{name}{version}" for name in (*Lookup, "pick") for version in (4, 6))


class Meddling(msgspec.Struct, frozen=True):
    """What others have changed since we have looked last.

    Attributes:
        changed: how many of each; empty if nobody has done anything.
        by: names of programs, as the kernel knows them.
    """

    changed: Mapping[What, int] = {}
    by: tuple[str, ...] = ()


class Monitor:
    """Listens to the kernel; `heard` is set while there is something that nobody has taken."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()
        self._ours: set[int] = set()
        self._changed: Counter[What] = Counter()
        self._by: set[str] = set()
        self._is_foreign = False
        self._socket: socket.socket | None = None

    @contextmanager
    def listening(self, silent: int) -> Generator[None]:
        """Listen for as long as the context lasts.

        Args:
            silent: the port of our socket for elements: there may be many of these.

        Raises:
            ConfigError: this process may not listen.
        """
        loop = asyncio.get_running_loop()
        with socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, wire.NETLINK_NETFILTER
        ) as opened:
            try:
                opened.setsockopt(socket.SOL_SOCKET, wire.SO_RCVBUFFORCE, _BUFFER_BYTES)
                _pass_over(opened, silent)
                opened.bind((0, _GROUP))
            except PermissionError as err:
                raise ConfigError(f"layer 4 in the kernel: {NO_RIGHT}") from err
            self._socket = opened
            loop.add_reader(opened, self.read)
            try:
                yield
            finally:
                loop.remove_reader(opened)
                self._socket = None

    def started(self, pid: int) -> None:
        """Take note that a program is ours: what it does is no meddling."""
        self._ours.add(pid)

    def ended(self) -> None:
        """Hear the last of our programs, whose numbers may soon be those of others."""
        self.read()
        self._ours.clear()

    def take(self) -> Meddling:
        """Return what has been heard, once."""
        self.read()
        taken = Meddling(dict(self._changed), tuple(sorted(self._by)))
        self._changed.clear()
        self._by.clear()
        self.heard.clear()
        return taken

    def read(self) -> None:
        """Hear all that has been said by now."""
        for message in self._messages():
            if message.port in self._ours:
                continue
            if message.kind == _NEW_GENERATION:
                self._end_transaction(message.body)
                continue
            what = _changed(message)
            if what is not None:
                self._changed[what] += 1
                self._is_foreign = True

    def _end_transaction(self, body: bytes) -> None:
        if self._is_foreign:
            program = nlmsg.attributes(body).get(_PROGRAM, b"?").rstrip(b"\0")
            self._by.add(program.decode(errors="replace"))
            self._is_foreign = False
            self.heard.set()

    def _messages(self) -> Iterator[wire.Message]:
        while self._socket is not None:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as err:
                if err.errno != errno.ENOBUFS:
                    raise
                self._changed[What.UNKNOWN] += 1
                self.heard.set()
                continue
            yield from wire.messages(data)


def _changed(message: wire.Message) -> What | None:
    """Return what of our table a message tells of, if anything that matters to us."""
    what = _KINDS.get(message.kind & 0xFF) if message.kind & ~0xFF == SUBSYSTEM else None
    if what is None or message.family != wire.NFPROTO_INET:
        return None
    attributes = nlmsg.attributes(message.body)
    if attributes.get(_TABLE) != wire.text(TABLE):
        return None
    name = attributes.get(_SET, b"").rstrip(b"\0").decode(errors="replace")
    if what is What.ELEMENT and name not in _OURS:
        return None  # clients that are remembered: whoever takes one away may
    return what


def _pass_over(listening: socket.socket, port: int) -> None:
    """Have the kernel drop messages that one socket has caused: they are never even queued.

    A filter of socket(7), for Documentation/networking/filter.rst: load the word at 12, `nlmsg_pid`
    (which is in the order of this machine, and loaded in the order of the network), and compare.
    """
    swapped = int.from_bytes(port.to_bytes(4, sys.byteorder), "big")
    program = b"".join(
        struct.pack("=HBBI", *step)
        for step in (
            (0x20, 0, 0, 12),  # ld [12]
            (0x15, 0, 1, swapped),  # jeq
            (0x06, 0, 0, 0),  # ret 0: drop
            (0x06, 0, 0, 0xFFFFFFFF),  # ret all
        )
    )
    kept = ctypes.create_string_buffer(program, len(program))
    listening.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 4, ctypes.addressof(kept))
    )
