"""Connections to servers that have gone, and that nobody at the other end acknowledges any more.

HAProxy asks whether a server is still there only while nothing is under way. What is under way to
a node that has died Linux sends again for a quarter of an hour, and its request waits for all of
`timeout server`. There is `tcp-ut` for that (TCP_USER_TIMEOUT, RFC 5482), but not for servers that
the runtime API adds: "option is not accepted for dynamic server", 2.6 to 3.0. So the kernel's
sockets are looked at from outside and those that are silent for too long are ended, as `ss -K`
does; HAProxy sees that the connection is lost (sock_diag(7); INET_DIAG_DESTROY, Linux 4.9).

That is done for servers that get no new work: BGP takes a dead node's Pods out within 9 s,
Kubernetes within 40. A server that is in use may be slow.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from onehop.base import nlmsg

_SOCK_DIAG: Final = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY: Final = 20
_DESTROY: Final = 21
_INFO: Final = 2  # INET_DIAG_INFO: struct tcp_info
_STATES: Final = sum(1 << state for state in (1, 4, 8))  # ESTABLISHED, FIN_WAIT1, CLOSE_WAIT
_ASKED: Final = struct.Struct("=BBBxI48s")  # family, protocol, extensions, states, which
_WHICH: Final = struct.Struct("!HH16s16s12x")  # ports and addresses; then interface and cookie
_FOUND: Final = struct.Struct("=BBBB48sIIIII")  # ..., expires, received, unacknowledged, uid, inode
_SINCE_ACK: Final = struct.Struct("=56xI")  # tcpi_last_ack_recv, in milliseconds
_RECEIVE_BYTES: Final = 1 << 18
_TIMEOUT_S: Final = 5.0


class _Socket(NamedTuple):
    """A connection of this host.

    Attributes:
        which: what the kernel knows it by.
        peer: the other end, as HAProxy writes it.
        inode: of the file that it is to its process.
        is_silent: whether it has waited for an acknowledgement for too long.
    """

    family: int
    which: bytes
    peer: str
    inode: int
    is_silent: bool


def end_silent(servers: Collection[str], pid: str, *, silent_s: float) -> int:
    """End a process's connections to some servers that are silent; return how many. It blocks.

    Args:
        servers: sockets as HAProxy writes them.
        pid: the process; connections of others are not touched.
        silent_s: for how long something must have waited for an acknowledgement.

    Raises:
        OSError: the kernel does not let us, or cannot: it was built without INET_DIAG_DESTROY.
    """
    ports = {int(each.rpartition(":")[2]) for each in servers}
    families = {socket.AF_INET6 if each.startswith("[") else socket.AF_INET for each in servers}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        silent = [
            each
            for family in families
            for port in ports
            for each in _connections(kernel, family, port, silent_s)
            if each.is_silent and each.peer in servers
        ]
        if not silent:
            return 0
        owned = _inodes(pid)
        return sum(_ended(kernel, each) for each in silent if each.inode in owned)


def _connections(
    kernel: socket.socket, family: int, port: int, silent_s: float
) -> Iterator[_Socket]:
    which = _WHICH.pack(0, port, b"", b"")
    extensions = 1 << (_INFO - 1)
    asked = _ASKED.pack(family, socket.IPPROTO_TCP, extensions, _STATES, which)
    kernel.send(nlmsg.pack(nlmsg.Request(_BY_FAMILY, nlmsg.DUMP, asked), 1))
    while True:
        for message in nlmsg.unpack(kernel.recv(_RECEIVE_BYTES)):
            if message.kind in {nlmsg.ERROR, nlmsg.DONE}:
                _check(message)
                return
            yield _read(message.payload, silent_s)


def _read(payload: bytes, silent_s: float) -> _Socket:
    family, _, _, _, which, _, _, unacknowledged, _, inode = _FOUND.unpack_from(payload)
    _, port, _, address = _WHICH.unpack(which)
    info = nlmsg.attributes(payload, _FOUND.size).get(_INFO, b"")
    (since_ms,) = _SINCE_ACK.unpack_from(info) if len(info) >= _SINCE_ACK.size else (0,)
    host = socket.inet_ntop(family, address if family == socket.AF_INET6 else address[:4])
    return _Socket(
        family=family,
        which=which,
        peer=f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}",
        inode=inode,
        is_silent=bool(unacknowledged) and since_ms >= silent_s * 1000,
    )


def _inodes(pid: str) -> frozenset[int]:
    """Return the sockets that a process has; none if it has ended."""
    found: set[int] = set()
    with contextlib.suppress(FileNotFoundError):
        for entry in Path("/proc", pid, "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it has been closed
                kind, _, rest = str(entry.readlink()).partition(":[")
                if kind == "socket":
                    found.add(int(rest.rstrip("]")))
    return frozenset(found)


def _ended(kernel: socket.socket, connection: _Socket) -> bool:
    asked = _ASKED.pack(connection.family, socket.IPPROTO_TCP, 0, _STATES, connection.which)
    kernel.send(nlmsg.pack(nlmsg.Request(_DESTROY, nlmsg.ACK, asked), 2))
    for message in nlmsg.unpack(kernel.recv(_RECEIVE_BYTES)):
        if nlmsg.errno_of(message) == errno.ENOENT:  # by itself
            return False
        _check(message)
    return True


def _check(message: nlmsg.Message) -> None:
    """Raise what a message says, if it says that something is wrong."""
    if code := nlmsg.errno_of(message):
        raise OSError(code, os.strerror(code))
