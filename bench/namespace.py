"""A network of our own: all addresses of the bench are local in it, and none of it gets out.

The bench runs again inside `unshare --net`. A namespace without a name goes with its last process,
so there is nothing to clean up, and without root a user namespace does the same.
"""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

PODS: Final = "198.18.0.0/15"
"""RFC 2544 reserves these for benchmarks; a hundred thousand Pods fit."""

VIPS: Final = "192.0.2.0/24"
"""RFC 5737, TEST-NET-1."""

PRODUCT_VIP: Final = "192.0.2.1"
FLOOR_VIP: Final = "192.0.2.2"
HAND_VIP: Final = "192.0.2.3"

_INSIDE: Final = "ONEHOP_BENCH_IS_INSIDE"


def enter(arguments: Sequence[str]) -> None:
    """Return inside the namespace: the first time by starting this program again in it."""
    if os.environ.get(_INSIDE) == "1":
        _furnish()
        return
    unshare = shutil.which("unshare")
    if unshare is None:
        sys.exit("bench: no unshare(1) in PATH: install util-linux")
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    command = (unshare, "--net", *user, "--", sys.executable, "-m", "bench", *arguments)
    os.execve(unshare, command, os.environ | {_INSIDE: "1"})  # noqa: S606  no shell is wanted


def _furnish() -> None:
    """Make the addresses local, and allow as many sockets as we may have."""
    for command in (
        "ip link set lo up",
        f"ip route replace local {PODS} dev lo",
        f"ip route replace local {VIPS} dev lo",
    ):
        subprocess.run(command.split(), check=True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
