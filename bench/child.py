"""Child processes: started, told what to do, weighed, and always ended by their own id."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

_TERM_S: Final = 10.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class ChildFailed(Exception):  # noqa: N818  said as it happened
    """A process of the bench ended, or did not answer; its log says why."""


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    is_told: bool = False,
    has_session: bool = False,
) -> Generator[subprocess.Popen[bytes]]:
    """Run a command for as long as the context lasts; SIGTERM ends it, SIGKILL if it must.

    Args:
        command: the program and its arguments.
        log: where its stderr goes, and its stdout unless it is told things.
        environment: its own; None is ours.
        is_told: whether stdin and stdout are pipes (see `Told`).
        has_session: whether it is in a session of its own, as the product's proxy is. Linux shares
            processors out between sessions first (sched(7), autogroup): the same HAProxy took 43
            us for a request in one of its own and 33 in that of the bench.
    """
    pipe = subprocess.PIPE if is_told else None
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or output,
            stderr=output,
            env=dict(environment) if environment is not None else None,
            start_new_session=has_session,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child and wait until it is gone."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_TERM_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class Told:
    """A child that takes a line of JSON on stdin and answers with one on stdout."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def order(self, order: msgspec.Struct) -> None:
        """Send an order and return at once."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()

    def reply(self) -> dict[str, Any]:
        """Wait for the answer to the oldest order.

        Raises:
            ChildFailed: the child has ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildFailed(f"{self._process.args!r} ended; see {self._log}")
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer

    def ask(self, order: msgspec.Struct) -> dict[str, Any]:
        """Send an order and wait for its answer."""
        self.order(order)
        return self.reply()


def cpu_s(pid: int) -> float:
    """Return the processor time a process has used, in user and kernel mode (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mib(pid: int) -> float:
    """Return how much memory a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ChildFailed(f"process {pid} has no memory: it has ended")


def descendant(pid: int, name: str) -> int | None:
    """Return the id of a process below `pid` whose program has this name, or None."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            if Path(f"/proc/{child}/comm").read_text().strip() == name:
                return int(child)
            found = descendant(int(child), name)
        except FileNotFoundError:
            continue
        if found is not None:
            return found
    return None


def until(is_done: Any, timeout_s: float, what: str, *, every_s: float = 0.02) -> None:
    """Poll until `is_done()` is true.

    Raises:
        ChildFailed: it never was.
    """
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            raise ChildFailed(f"waited {timeout_s:g} s for {what}")
        time.sleep(every_s)
