"""Which of the sockets that listen at one place the kernel gives new connections to.

Sockets that are bound to one place with SO_REUSEPORT by one user are a group, in the order in which
they began to listen. The kernel chooses by a hash, unless a program chooses (socket(7),
SO_ATTACH_REUSEPORT_CBPF). A classic BPF program needs no rights, and takes effect with the next
SYN; connections whose handshake is under way stay with the socket that has begun it.
"""

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

# include/uapi/asm-generic/socket.h
_SO_ATTACH_FILTER: Final = 26
_SO_ATTACH_REUSEPORT_CBPF: Final = 51
_SO_DETACH_REUSEPORT_BPF: Final = 68
# include/uapi/linux/bpf_common.h, include/uapi/linux/filter.h
_LOAD_WORD: Final = 0x20
_LOAD_BYTE: Final = 0x30
_MODULO: Final = 0x94
_ADD: Final = 0x04
_AND: Final = 0x54
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_RETURN_A: Final = 0x16
_RANDOM: Final = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_ALL: Final = 0xFFFFFFFF

_FLAGS_AT: Final = 13  # of a TCP header (RFC 9293, section 3.1)
_SYN: Final = 0x02
_SYN_OR_ACK: Final = 0x12

_WAITING_AT: Final = 24
"""Of `tcpi_unacked` in struct tcp_info; for a socket that listens it is the length of its queue
(tcp_get_info, net/ipv4/tcp.c)."""


class _Step(NamedTuple):
    """One instruction, struct sock_filter."""

    code: int
    if_true: int
    if_false: int
    value: int


def give_to(member: socket.socket, first: int, count: int) -> None:
    """Have new connections of a group go to `count` of its sockets, from the `first` on."""
    _attach(
        member,
        _SO_ATTACH_REUSEPORT_CBPF,
        (
            _Step(_LOAD_WORD, 0, 0, _RANDOM),
            _Step(_MODULO, 0, 0, count),
            _Step(_ADD, 0, 0, first),
            _Step(_RETURN_A, 0, 0, 0),
        ),
    )


def give_to_all(member: socket.socket) -> None:
    """Have new connections go to all sockets of a group again, by a hash."""
    member.setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)


def ignore_new(listener: socket.socket) -> None:
    """Have a socket pass over each SYN, so that its client sends it again, a second later."""
    _attach(
        listener,
        _SO_ATTACH_FILTER,
        (
            _Step(_LOAD_BYTE, 0, 0, _FLAGS_AT),
            _Step(_AND, 0, 0, _SYN_OR_ACK),
            _Step(_JUMP_IF_EQUAL, 0, 1, _SYN),
            _Step(_RETURN, 0, 0, 0),
            _Step(_RETURN, 0, 0, _ALL),
        ),
    )


def waiting(listener: socket.socket) -> int:
    """Return how many connections wait in a socket's queue to be accepted."""
    told = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING_AT + 4)
    return int(struct.unpack_from("I", told, _WAITING_AT)[0])


def _attach(target: socket.socket, option: int, steps: Sequence[_Step]) -> None:
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    kept = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(steps), ctypes.addressof(kept))
    target.setsockopt(socket.SOL_SOCKET, option, program)
