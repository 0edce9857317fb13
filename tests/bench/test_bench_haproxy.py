"""What the rows of HAProxy rest on, without running them."""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from bench import shop
from bench.floor.haproxy import Floor, addresses, configure
from bench.haproxy import Master
from bench.row_edit import paced
from onehop.driver.haproxy.binary import find_haproxy

_HAND_WRITTEN = Path(__file__).parents[2] / "bench" / "handwritten.cfg"
_PROCESSES = """\
#<PID>          <type>          <reloads>       <uptime>        <version>
14096           master          3 [failed: 0]   0d00h00m01s     2.6.12-1+deb12u4
# workers
14117           worker          0               0d00h00m01s     2.6.12-1+deb12u4
# old workers
14099           worker          1               0d00h00m09s     2.6.12-1+deb12u4
# programs

"""
_SERVERS = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight ...
5 b-one 1 s1 198.18.0.0 2 0 1 1 1 1 0 2 0 0 0 0 - 8080 - 0 0 - - 0
5 b-one 2 s2 198.18.0.1 2 1 1 1 1 1 0 2 0 0 0 0 - 8080 - 0 0 - - 0
5 b-one 3 s3 198.18.0.2 2 0 0 1 1 1 0 2 0 0 0 0 - 8080 - 0 0 - - 0
6 b-two 1 s4 198.18.0.3 2 0 1 1 1 1 0 2 0 0 0 0 - 8080 - 0 0 - - 0
7 b-gone 1 s5 198.18.0.4 2 9 1 1 1 1 0 2 0 0 0 0 - 8080 - 0 0 - - 0

"""


@contextlib.contextmanager
def answering(socket_path: Path, answer: str) -> Generator[list[str]]:
    """Answer every command on a Unix socket with this text; yield what was asked."""
    asked: list[str] = []
    socket_path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(socket_path))
        door.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):  # the door is closed at the end
                while True:
                    connection, _ = door.accept()
                    with connection:
                        asked.append(connection.makefile().readline().strip())
                        connection.sendall(answer.encode())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_the_master_tells_reloads_and_who_serves(tmp_path: Path) -> None:
    """Old workers, which only finish what they have, are not meant."""
    with answering(tmp_path / "haproxy" / "master.sock", _PROCESSES):
        master = Master(tmp_path)
        assert (master.reloads(), master.worker(), master.reloads_if_known()) == (3, 14117, 3)


def test_servers_that_get_no_new_work_are_not_listed(tmp_path: Path) -> None:
    """In maintenance, or of weight 0."""
    with answering(tmp_path / "haproxy" / "master.sock", _SERVERS) as asked:
        servers = Master(tmp_path).servers()
    assert servers == {
        "b-one": frozenset({"198.18.0.0:8080"}),
        "b-two": frozenset({"198.18.0.3:8080"}),
    }
    assert asked == ["@1 show servers state"]


def test_a_master_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    """While it executes itself anew, edits go on."""
    assert Master(tmp_path).reloads_if_known() is None


def test_the_floor_adds_pods_once_and_then_only_sets_them(tmp_path: Path) -> None:
    """All that a Service needs is one line, and the other side's Pods get no more requests."""
    runtime = tmp_path / "runtime.sock"
    with answering(runtime, "\n") as asked:
        floor = Floor(runtime, 2)
        for side in (1, 0, 1):
            floor.move(3, side)
    there, back, again = asked
    assert there.count("add server app-3/pod-1-") == there.count("enable server app-3/pod-1-") == 2
    assert back.count("set server app-3/pod-0-0 state ready") == 1
    assert back.count("set server app-3/pod-1-1 state maint") == 1
    assert again.count("state ready") == again.count("state maint") == 2


def test_the_floor_moves_between_the_pods_of_the_cluster() -> None:
    """It says by itself where they are: it imports nothing of the rest."""
    for side in (0, 1):
        assert list(addresses(7, 10, side)) == shop.addresses(7, 10, side)


@pytest.mark.haproxy
def test_haproxy_takes_what_was_written_by_hand(tmp_path: Path) -> None:
    """The floor's configuration, and the one that throughput is held against."""
    for config in (_HAND_WRITTEN, configure(tmp_path, "192.0.2.2", 2, 3)):
        command = (str(find_haproxy("haproxy")), "-c", "-f", str(config))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_edits_come_when_they_are_due() -> None:
    """Not sooner; all of them, in their order."""
    assert list(paced(range(5), 1e6)) == [0, 1, 2, 3, 4]
