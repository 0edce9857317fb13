"""A network of the test's own: a namespace that is gone with the last process in it.

Pods, VIPs and the API all live on its loopback device, by routes of type `local`: every address of
those prefixes is this host's, so a Pod is a socket bound to its address. No device module is
needed, and nothing of it can be seen from outside.
"""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Final

PODS: Final = "10.244.0.0/16"
NODES: Final = "172.18.0.0/24"
VIPS: Final = "192.0.2.0/24"

_CLONE_NEWNET: Final = 0x40000000  # <linux/sched.h>; os.unshare and os.setns came with 3.12
_libc: Final = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def private_network() -> Generator[None]:
    """Move this thread, and every process and thread it starts, into a new network."""
    with Path("/proc/thread-self/ns/net").open("rb") as outside:
        _check(_libc.unshare(_CLONE_NEWNET))
        try:
            ip("link", "set", "lo", "up")
            for prefix in (PODS, NODES, VIPS):
                ip("route", "add", "local", prefix, "dev", "lo")
            yield
        finally:
            _check(_libc.setns(outside.fileno(), _CLONE_NEWNET))


def ip(*arguments: str) -> str:
    """Run iproute2 in the network this thread is in, and return what it says."""
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def _check(outcome: int) -> None:
    if outcome != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
