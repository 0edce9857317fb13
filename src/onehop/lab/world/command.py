"""Running the machine's own tools to their end: ip, nft, birdc."""

import asyncio
import shlex
import subprocess
from collections.abc import Sequence
from typing import Final, NamedTuple

from onehop.base.errors import RejectedError, TransientError

_COMMAND_S: Final = 30.0
_AS_HOST: Final = 'echo "$1" >/proc/sys/kernel/hostname; shift; exec "$@"'


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


async def attempt(*argv: str, told: str = "", timeout_s: float = _COMMAND_S) -> Done:
    """Run a command, and return how it ended.

    Args:
        argv: the program and its arguments.
        told: what it reads from standard input.
        timeout_s: after so long it is killed.

    Raises:
        TransientError: it did not end.
        RejectedError: there is no such program.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError as err:
        raise RejectedError(f"{argv[0]}: no such program") from err
    try:
        async with asyncio.timeout(timeout_s):
            out, err_text = await process.communicate(told.encode())
    except TimeoutError as err:
        raise TransientError(f"{shlex.join(argv)}: no end after {timeout_s:g} s") from err
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Done(process.returncode or 0, out.decode(errors="replace"), err_text.decode())


async def run(*argv: str, told: str = "") -> str:
    """Run a command that must succeed, and return what it said.

    Raises:
        RejectedError: it failed; the message has its own words.
        TransientError: it did not end.
    """
    done = await attempt(*argv, told=told)
    if done.code != 0:
        words = (done.err or done.out).strip()
        raise RejectedError(f"{shlex.join(argv)}: exit {done.code}: {words}")
    return done.out


async def ip(lines: Sequence[str], *, namespace: str | None = None) -> None:
    """Have iproute2 carry out lines of `ip -batch`, in one process.

    Raises:
        RejectedError: one of them failed; those before it are done.
    """
    inside = () if namespace is None else ("-netns", namespace)
    await run("ip", *inside, "-batch", "-", told="\n".join(lines) + "\n")


def inside(namespace: str, *argv: str) -> tuple[str, ...]:
    """Return the command that runs in a network namespace; it becomes the program itself."""
    return ("ip", "netns", "exec", namespace, *argv)


def as_host(namespace: str, host: str, *argv: str) -> tuple[str, ...]:
    """Return the command that runs on a host of the lab: in its network, and by its name.

    Programs go by the name of their host: in Leases, in names of BGPPeers.
    """
    return inside(namespace, "unshare", "--uts", "sh", "-c", _AS_HOST, "sh", host, *argv)
