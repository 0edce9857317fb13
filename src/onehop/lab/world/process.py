"""The programs of a lab: started so that they outlive the command, found again, ended for sure.

A program is known by its process id *and* the time it started (proc(5), field 22 of stat): an id
alone may belong to somebody else by now. It is ended through a pidfd, for the same reason.
"""

import contextlib
import os
import signal
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from onehop.base.errors import TransientError
from onehop.lab.world.command import as_host, run
from onehop.lab.world.waiting import nothing_missing

_START = 'log=$1; shift; setsid -- "$@" </dev/null >>"$log" 2>&1 & echo $!'
"""The shell is gone at once, so init adopts the program; setsid becomes it, so $! stays its id."""

_END_S: Final = 10.0
_LOOK_S: Final = 0.005
_START_FIELD: Final = 19  # field 22 of stat, counted from the state (field 3)


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A program that was started.

    Attributes:
        who: such as `lb1` or `pod-echo-1`.
        started: in ticks since the machine's boot.
    """

    who: str
    pid: int
    started: int
    argv: tuple[str, ...]

    def is_alive(self) -> bool:
        """Tell whether it is still there; a zombie is not."""
        seen = _stat(self.pid)
        return seen is not None and seen == self.started


async def start(
    who: str, argv: tuple[str, ...], log: Path, *, namespace: str = "", host: str = ""
) -> Process:
    """Start a program that goes on when this one ends.

    Args:
        who: by what name it will be asked for.
        argv: the program and its arguments.
        log: where its output is added.
        namespace: of networks, in which it runs; "" is ours.
        host: the name of the host that it runs on there.

    Raises:
        TransientError: it ended at once; the message has the end of its log.
    """
    command = as_host(namespace, host, *argv) if namespace else argv
    pid = int(await run("sh", "-c", _START, "sh", str(log), *command))
    started = _stat(pid)
    if started is None:
        raise TransientError(f"{who} ended as soon as it was started: {last_words(log)}")
    return Process(who=who, pid=pid, started=started, argv=argv)


def last_words(log: Path, lines: int = 3) -> str:
    """Return the end of a log, in one line."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "it said nothing"
    return " / ".join(text.splitlines()[-lines:]) or "it said nothing"


def send(process: Process, number: signal.Signals) -> bool:
    """Send a program a signal; False if it is gone."""
    with _opened(process.pid) as handle:
        if handle is None or not process.is_alive():
            return False
        signal.pidfd_send_signal(handle, number)
        return True


async def end(process: Process, *, timeout_s: float = _END_S) -> None:
    """Ask a program to end, and wait for it; kill it if it does not."""
    send(process, signal.SIGCONT)  # one that was paused could not hear it
    send(process, signal.SIGTERM)
    try:
        await gone((process,), timeout_s=timeout_s)
    except TransientError:
        send(process, signal.SIGKILL)
        await gone((process,))


async def gone(processes: Iterable[Process], *, timeout_s: float = _END_S) -> None:
    """Wait until programs have ended.

    Raises:
        TransientError: one of them has not.
    """
    all_of_them = tuple(processes)

    def alive() -> str:
        left = [each for each in all_of_them if each.is_alive()]
        return f"{', '.join(f'{e.who} ({e.pid})' for e in left)} not ended" if left else ""

    await nothing_missing(alive, timeout_s=timeout_s, pause_s=_LOOK_S)


def inhabitants(namespaces: Iterable[Path]) -> tuple[Process, ...]:
    """Return every process whose network is one of these, whoever started it.

    Args:
        namespaces: their files, such as /run/netns/ohlab-node1.
    """
    wanted: dict[tuple[int, int], str] = {}
    for file in namespaces:
        with contextlib.suppress(OSError):
            seen = file.stat()
            wanted[seen.st_dev, seen.st_ino] = file.name
    return tuple(_living_in(wanted))


def children_of(process: Process) -> tuple[Process, ...]:
    """Return the children of a process, and theirs."""
    parents = dict(_parents())
    below = {process.pid}
    found: list[Process] = []
    while more := {pid for pid, parent in parents.items() if parent in below and pid not in below}:
        below |= more
        found += [each for pid in sorted(more) if (each := _seen(pid)) is not None]
    return tuple(found)


def _living_in(wanted: dict[tuple[int, int], str]) -> Iterator[Process]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            seen = (folder / "ns/net").stat()
            found = _seen(int(folder.name)) if (seen.st_dev, seen.st_ino) in wanted else None
            if found is not None:
                yield found


def _parents() -> Iterator[tuple[int, int]]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            yield int(file.parent.name), int(_after_name(file.read_text())[1])


def _seen(pid: int) -> Process | None:
    started = _stat(pid)
    if started is None:
        return None
    with contextlib.suppress(OSError):
        folder = Path(f"/proc/{pid}")
        argv = tuple((folder / "cmdline").read_text().rstrip("\0").split("\0"))
        return Process(
            who=(folder / "comm").read_text().strip(), pid=pid, started=started, argv=argv
        )
    return None


def _stat(pid: int) -> int | None:
    try:
        fields = _after_name(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[_START_FIELD])


def _after_name(stat: str) -> list[str]:
    """Return the fields from the state on: the name before it may hold blanks and brackets."""
    return stat.rpartition(")")[2].split()


@contextlib.contextmanager
def _opened(pid: int) -> Generator[int | None]:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)
