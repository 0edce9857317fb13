"""Ports that are still free when somebody comes to listen there."""

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator
from typing import Final

# Below those that the kernel gives to whoever binds port 0 or connects (ip_local_port_range begins
# at 32768): between the look and the listening, no server of another test is given one of these.
_ALL: Final = range(10_000, 32_000)
_FAR: Final = 7919
"""Between the first ports of two processes that were started one after another."""

_first = os.getpid() * _FAR % len(_ALL)
_next = itertools.cycle((*_ALL[_first:], *_ALL[:_first]))


def free_ports(address: str, *kinds: socket.SocketKind) -> Iterator[int]:
    """Yield ports that nobody has at an address, each of them once in a process."""
    for port in _next:
        try:
            with contextlib.ExitStack() as probes:
                for kind in kinds:
                    probe = probes.enter_context(socket.socket(socket.AF_INET, kind))
                    probe.bind((address, port))
        except OSError:
            continue
        yield port
