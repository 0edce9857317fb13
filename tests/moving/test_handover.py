"""The handover between two processes, where the kernel or somebody else stands in its way."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Collection, Generator, Iterable
from pathlib import Path

import pytest

from onehop.base.errors import DriverUnavailable
from onehop.driver.moving import handover
from onehop.driver.moving.handover import Handover
from onehop.driver.moving.sockets import Unreachable
from tests.driver_envoy.world import ADDRESS, free_port
from tests.moving.world import until

_LISTENER = """
import socket, sys
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
sockets = [socket.socket(family) for _ in range(count)]
for each in sockets:
    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    each.bind((address, port))
    each.listen()
print("listening", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def listener(port: int, count: int = 1, *, address: str = ADDRESS) -> Generator[int]:
    """Have a process listen that never accepts; yield its id."""
    command = (sys.executable, "-c", _LISTENER, address, str(port), str(count))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        try:
            yield process.pid
        finally:
            process.kill()


def connections(port: int, *, address: str = ADDRESS) -> contextlib.ExitStack:
    """Open twenty connections; they are open until the stack is closed."""
    stack = contextlib.ExitStack()
    for _ in range(20):
        stack.enter_context(socket.create_connection((address, port), 10))
    return stack


def forbid(_pids: Iterable[int], _inodes: Collection[int]) -> dict[int, socket.socket]:
    """Stand for a kernel that lets nobody at the sockets of others."""
    raise Unreachable("pidfd_getfd(2) fails: Operation not permitted")


def queued(port: int) -> dict[int, int]:
    """Return how many connections wait at each socket of a port, by inode: `ss` reads the same."""
    found: dict[int, int] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].partition(":")[2], 16) == port:
                found[int(fields[9])] = int(fields[4].partition(":")[2], 16)
    return found


@pytest.mark.parametrize("address", [ADDRESS, "::1"], ids=["ipv4", "ipv6"])
async def test_new_connections_stay_and_then_turn_all_at_once(address: str) -> None:
    """Of two processes with two sockets each, one gets them all; then the other one does."""
    port = free_port()
    with listener(port, 2, address=address) as old, Handover() as passing:
        await passing.pin(old)
        first = queued(port)
        with listener(port, 2, address=address) as new:
            with connections(port, address=address):
                before = await all_queued(port, 20)
            await passing.turn(new)
            with connections(port, address=address):
                after = await all_queued(port, 40)
    assert sum(before[each] for each in first) == 20
    assert sum(after[each] for each in first) == 20


async def all_queued(port: int, count: int) -> dict[int, int]:
    """Return the same when so many are there: the last step of a handshake is nobody's to see."""
    await until(lambda: sum(queued(port).values()) == count)
    return queued(port)


async def test_a_stranger_at_the_same_place_ends_it_before_it_begins() -> None:
    """Of strangers the order in the group is not known; the place is named."""
    port = free_port()
    said = f"listens on {ADDRESS} port {port}, too"
    with (
        listener(port) as old,
        listener(port),
        Handover() as passing,
        pytest.raises(DriverUnavailable, match=said),
    ):
        await passing.pin(old)


async def test_a_stranger_who_comes_later_changes_nothing() -> None:
    """New connections stay where they were."""
    port = free_port()
    with listener(port, 2) as old, Handover() as passing:
        await passing.pin(old)
        first = queued(port)
        with listener(port) as new, listener(port):
            with pytest.raises(DriverUnavailable, match="another process listens"):
                await passing.turn(new)
            with connections(port):
                now = await all_queued(port, 20)
                assert sum(now[each] for each in first) == 20


@pytest.mark.parametrize("migrates", [False, True])
async def test_without_leave_the_kernel_must_move_what_waits(
    migrates: bool,  # noqa: FBT001  a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """By net.ipv4.tcp_migrate_req; if that is not set either, it is said how to set it."""
    setting = tmp_path / "tcp_migrate_req"
    setting.write_text(f"{int(migrates)}\n")
    monkeypatch.setattr(handover, "MIGRATES", setting)
    monkeypatch.setattr(handover, "take_hold", forbid)
    port = free_port()
    with listener(port) as old, Handover() as passing:
        if migrates:
            await passing.pin(old)
            assert not passing.is_steered
            assert await passing.missing(old) == frozenset()
        else:
            with pytest.raises(Unreachable, match="tcp_migrate_req"):
                await passing.pin(old)
