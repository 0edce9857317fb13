"""The listening sockets of processes of ours: found by /proc, taken hold of by pidfd_getfd(2).

A socket that is held here as well goes on when its process closes it, with all that waits in its
queue; and what is said to it here (setsockopt(2)) is said to the process's own.
"""

import contextlib
import ctypes
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from onehop.base.errors import DriverUnavailable

_PIDFD_GETFD: Final = 438  # Linux 5.6, the same number on every architecture
_LISTEN: Final = "0A"  # include/net/tcp_states.h
_TABLES: Final = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_SOCKET: Final = "socket:["


class Place(NamedTuple):
    """Where clients connect to."""

    address: str
    port: int


class Unreachable(DriverUnavailable):
    """The kernel does not let us at the sockets of our children."""


def listening() -> dict[Place, frozenset[int]]:
    """Return the inodes of all listening TCP sockets of this network namespace, by place."""
    found: dict[Place, set[int]] = {}
    for table in _TABLES:
        with contextlib.suppress(FileNotFoundError), table.open() as lines:
            next(lines)
            for line in lines:
                fields = line.split()
                if fields[3] != _LISTEN:
                    break  # the kernel tells of listening sockets first
                found.setdefault(_place(fields[1]), set()).add(int(fields[9]))
    return {place: frozenset(inodes) for place, inodes in found.items()}


def with_children(pid: int) -> tuple[int, ...]:
    """Return a process and its children: a HAProxy's workers are children of its master."""
    pids = [pid]
    for task in _numbers(Path(f"/proc/{pid}/task")):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/task/{task}/children").read_text()
            pids += map(int, text.split())
    return tuple(pids)


def held_by(pids: Iterable[int], places: Mapping[Place, Collection[int]]) -> dict[Place, list[int]]:
    """Return the inodes of the listening sockets that processes have, by place, in order."""
    own = {inode for pid in pids for inode in _descriptors(pid)}
    found = {place: sorted(own.intersection(inodes)) for place, inodes in places.items()}
    return {place: inodes for place, inodes in found.items() if inodes}


def take_hold(pids: Iterable[int], inodes: Collection[int]) -> dict[int, socket.socket]:
    """Return sockets of processes as our own, by inode.

    Raises:
        Unreachable: the kernel is too old, or does not allow it.
    """
    taken: dict[int, socket.socket] = {}
    try:
        for pid in pids:
            there = _descriptors(pid)
            for inode in there.keys() & inodes - taken.keys():
                taken[inode] = _take(pid, there[inode])
    except OSError as err:
        for each in taken.values():
            each.close()
        raise Unreachable(
            f"pidfd_getfd(2), which it takes to hand sockets over, fails: {err.strerror}"
        ) from err
    return taken


def _take(pid: int, descriptor: int) -> socket.socket:
    process = os.pidfd_open(pid)
    try:
        taken = _syscall()(_PIDFD_GETFD, process, descriptor, 0)
        if taken < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(process)
    return socket.socket(fileno=taken)


def _syscall() -> Callable[..., int]:
    call: Callable[..., int] = ctypes.CDLL(None, use_errno=True).syscall
    return call


def _descriptors(pid: int) -> dict[int, int]:
    """Return the descriptors of a process that are sockets, by inode; none of one that is gone."""
    found: dict[int, int] = {}
    for number in _numbers(Path(f"/proc/{pid}/fd")):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/{pid}/fd/{number}")  # noqa: PTH115  tens of thousands
            if target.startswith(_SOCKET):
                found[int(target[len(_SOCKET) : -1])] = number
    return found


def _numbers(folder: Path) -> Iterator[int]:
    try:
        names = os.listdir(folder)  # noqa: PTH208  tens of thousands, and only their names
    except OSError:
        return
    yield from map(int, names)


def _place(text: str) -> Place:
    """Read `0100007F:1F90`: words of 32 bits as they are in memory, and the port."""
    words, _, port = text.partition(":")
    raw = b"".join(
        int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8)
    )
    return Place(str(ipaddress.ip_address(raw)), int(port, 16))
