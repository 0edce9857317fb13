"""Programs that we start: they never outlive us, and what they say is heard line by line.

The standard library has no word for "end with me": a parent killed by SIGKILL leaves its children
to init. On Linux the kernel does it, if the child asks.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
from asyncio import StreamReaderProtocol
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Sequence
from typing import BinaryIO, Final, NamedTuple

from onehop.base.errors import ConfigError

_LINE_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 1 << 15
_PAUSE_S: Final = 0.02
"""Between two looks at what is written. Who wakes up for each line of a program that says a line
for each step of its work keeps it from that, where there are few processors."""
_FIRST_BACKOFF_S: Final = 0.1
_LONGEST_BACKOFF_S: Final = 10.0
_STABLE_S: Final = 60.0
"""After so long a life, a death counts as the first one again."""


class Child:
    """One process at a time of a program.

    Args:
        hear: called with each line that the program writes to standard error.
    """

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None while there is none."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def live(
        self,
        command: Sequence[str],
        *,
        born: Callable[[int], None] | None = None,
        shares_stdout: bool = False,
    ) -> float:
        """Start the program, wait for its end, and return how many seconds it lived.

        Args:
            command: the program and its arguments.
            born: called with the process id as soon as there is one.
            shares_stdout: whether it writes to our standard output; otherwise to nowhere.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        ear, mouth = os.pipe()
        with open(ear, "rb", buffering=0) as heard:  # noqa: ASYNC230,PTH123  a pipe of our own
            try:
                self._process = process = await asyncio.create_subprocess_exec(
                    *bound_to_parent(command),
                    stdin=DEVNULL,
                    stdout=None if shares_stdout else DEVNULL,
                    stderr=mouth,
                    start_new_session=True,  # Ctrl-C in a terminal is ours to handle
                )
            finally:
                os.close(mouth)
            try:
                if born is not None:
                    born(process.pid)
                await self._listen(heard)
                await process.wait()
            finally:
                await self.kill()
        return loop.time() - started

    async def end(self, *, within_s: float) -> None:
        """Ask it to end (SIGTERM), and kill it if it has not by then."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        try:
            process.terminate()
            async with asyncio.timeout(within_s):
                await process.wait()
        except (TimeoutError, ProcessLookupError):
            pass
        finally:
            await self.kill()

    async def ended(self) -> None:
        """Wait until there is no process."""
        if self._process is not None:
            await self._process.wait()

    async def kill(self) -> None:
        """Kill what is still there, and wait for the kernel to say that it is gone."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()

    async def _listen(self, heard: BinaryIO) -> None:
        """Hear lines until nobody can write any more, several at a time."""
        loop, reader, rest = asyncio.get_running_loop(), asyncio.StreamReader(), b""
        pipe, _ = await loop.connect_read_pipe(lambda: StreamReaderProtocol(reader), heard)
        try:
            while piece := await reader.read(_PIECE_BYTES):
                *lines, rest = (rest + piece).split(b"\n")
                for line in filter(None, lines):
                    self._hear(line.decode(errors="replace"))
                rest = rest if len(rest) <= _LINE_BYTES else b""  # longer ones are thrown away
                if len(piece) < _PIECE_BYTES:
                    pipe.pause_reading()
                    await asyncio.sleep(_PAUSE_S)
                    pipe.resume_reading()
            if rest:
                self._hear(rest.decode(errors="replace"))
        finally:
            pipe.close()


class Finished(NamedTuple):
    """What a program left behind.

    Attributes:
        err: empty where it was asked to go with `out`.
    """

    code: int
    out: bytes
    err: bytes


async def finish(
    command: Sequence[str],
    *,
    timeout_s: float,
    told: bytes = b"",
    in_one: bool = False,
    born: Callable[[int], None] | None = None,
) -> Finished:
    """Run a program to its end; whatever happens here, it has ended then.

    Args:
        command: the program and its arguments.
        timeout_s: for all of it.
        told: what it reads from standard input.
        in_one: whether what it writes to standard error goes into `out`, in its place.
        born: called with the process id before the program is told anything.

    Raises:
        FileNotFoundError: there is no such program.
        TimeoutError: it did not end in time, and was killed.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=STDOUT if in_one else PIPE
    )
    try:
        if born is not None:
            born(process.pid)
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate(told)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None  # noqa: S101  `communicate` waits for it
    return Finished(process.returncode, out, err or b"")


class Backoff:
    """How long to wait before a program that has died is started again."""

    def __init__(self) -> None:
        self._next_s = _FIRST_BACKOFF_S

    def after(self, lived_s: float) -> float:
        """Return the seconds to wait after a life of so many seconds."""
        if lived_s > _STABLE_S:
            self._next_s = _FIRST_BACKOFF_S
        wait_s = self._next_s
        self._next_s = min(wait_s * 2, _LONGEST_BACKOFF_S)
        return wait_s


def bound_to_parent(command: Sequence[str]) -> tuple[str, ...]:
    """Return the command wrapped so that the kernel kills it when we die, however we die.

    prctl(2) PR_SET_PDEATHSIG, set by setpriv(1) of util-linux 2.33+; it survives execve(2). The
    signal is bound to the *thread* that starts the child, so start it from one that lives on. Who
    has died before that has another parent by then, and is not started.

    Raises:
        ConfigError: there is no setpriv.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ConfigError("no setpriv(1) in PATH: install util-linux 2.33 or newer")
    if_ours = ("/bin/sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid()))
    return (setpriv, "--pdeathsig", "KILL", "--", *if_ours, *command)


def allow_many_sockets(pid: int) -> None:
    """Raise the soft limit of open files to the hard one: each connection of a proxy takes two."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
