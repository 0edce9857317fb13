"""A network namespace for whatever this thread does for a while."""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

_CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def own_namespace() -> Generator[None]:
    """Move this thread, and what it starts, to a namespace that passes packets on."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _succeed(libc.unshare(_CLONE_NEWNET))
        subprocess.run(("ip", "link", "set", "lo", "up"), check=True)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
        yield
    finally:
        _succeed(libc.setns(before, 0))
        os.close(before)


def _succeed(outcome: int) -> None:
    if outcome:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
