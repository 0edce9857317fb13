"""The load: wrk, at the client, as fast as it is answered; and single questions by curl."""

import asyncio
import contextlib
import math
import shlex
import shutil
import signal
import subprocess
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from onehop.base.errors import ConfigError, RejectedError, TransientError
from onehop.lab.bench.proxy import POD_HEADER, SAW_HEADER
from onehop.lab.bench.way import Load, Target
from onehop.lab.world.command import Done

if TYPE_CHECKING:
    from onehop.lab.world import World

_SUM_S: Final = 10.0
"""How long wrk may take to sum up."""


_TOOLS: Final = {"wrk": "wrk", "curl": "curl", "taskset": "util-linux"}
"""Programs, and the Debian packages they are in."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What wrk says of a load.

    Attributes:
        failed: connections that were refused or broke, answers other than 2xx and 3xx, timeouts.
    """

    requests: int
    duration_us: int
    failed: int
    p50_us: int
    p99_us: int


class Seen(msgspec.Struct, frozen=True, order=True):
    """What one answer says: who has answered, and whom it saw."""

    pod: str
    saw: str


def check_load() -> None:
    """See that load can be made here.

    Raises:
        ConfigError: what is missing, and how to get it.
    """
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({_TOOLS[tool] for tool in missing}))
        raise ConfigError(f"no {', '.join(missing)} here: apt-get install {packages}")


def wrk_script() -> AbstractContextManager[Path]:
    """Return the script by which wrk tells its figures; it is a file while the context is open."""
    return resources.as_file(resources.files("onehop.lab.bench").joinpath("wrk.lua"))


async def run_load(  # noqa: PLR0913  a load, where to, how long, how
    world: "World", target: Target, load: Load, *, lasts_s: float, processor: int, script: Path
) -> Answered:
    """Send a load from the client, and return how it was answered.

    Raises:
        RejectedError: wrk could not.
        TransientError: it does not end.
    """
    command = (
        *("taskset", "--cpu-list", str(processor)),
        *("wrk", "--threads", "1", "--connections", str(load.connections)),
        # It knows whole seconds only, so it is interrupted before.
        *("--duration", f"{math.ceil(lasts_s) + 1}s", "--script", str(script)),
        *("--header", f"Host: {target.host}"),
        *(("--header", "Connection: close") if load.is_new else ()),
        target.url,
    )
    done = await _interrupted(world.inside("client", *command), lasts_s)
    try:
        return msgspec.json.decode(done.out.splitlines()[-1], type=Answered)
    except (IndexError, msgspec.DecodeError) as err:
        said = (done.err or done.out).strip()
        raise RejectedError(f"{shlex.join(command)}: exit {done.code}: {said}") from err


async def _interrupted(command: tuple[str, ...], after_s: float) -> Done:
    """Run a command that sums up when it is interrupted, and interrupt it.

    It is a child of ours itself, without timeout(1) between: nothing is left of it if we end early.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(after_s + _SUM_S):
            await asyncio.sleep(after_s)
            with contextlib.suppress(ProcessLookupError):  # it had nothing to wait for
                process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    except TimeoutError as late:
        raise TransientError(f"{shlex.join(command)}: does not end") from late
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Done(process.returncode or 0, out.decode(), err.decode())


async def ask(world: "World", target: Target, *, times: int) -> tuple[Seen, ...]:
    """Return what Pods say, a connection for each question; nothing for those that fail."""
    done = await world.exec(
        "client",
        *("curl", "--silent", "--max-time", "5", "--output", "/dev/null", "--dump-header", "-"),
        *("--header", f"Host: {target.host}", "--header", "Connection: close"),
        f"{target.url}[1-{times}]",
    )
    return answers(done.out)


def answers(headers: str) -> tuple[Seen, ...]:
    """Return what is said by the headers of several answers, one after the other."""
    found: list[Seen] = []
    for block in headers.replace("\r\n", "\n").split("\n\n"):
        lines = block.splitlines()[1:]
        fields = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        if POD_HEADER in fields and SAW_HEADER in fields:
            found.append(Seen(fields[POD_HEADER], fields[SAW_HEADER]))
    return tuple(found)
