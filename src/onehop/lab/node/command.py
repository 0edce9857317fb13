"""Running a program of the system, with its input and within a time."""

import asyncio
from typing import Final

from onehop.base.errors import TransientError

PATIENCE_S: Final = 20.0


class CommandFailed(TransientError):  # noqa: N818  a claim, like its siblings in base.errors
    """A program ended with an error; the message has the last of what it said."""


async def run(*command: str, stdin: str = "", timeout_s: float = PATIENCE_S) -> str:
    """Return what a program printed.

    Raises:
        CommandFailed: it is not there, ended with an error, or not in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise CommandFailed(f"{command[0]}: {error}") from error
    try:
        async with asyncio.timeout(timeout_s):
            output, errors = await process.communicate(stdin.encode())
    except TimeoutError as error:
        raise CommandFailed(f"{' '.join(command)}: not done after {timeout_s:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = (errors or output).decode(errors="replace").strip()[-500:]
        raise CommandFailed(f"{' '.join(command)}: ended with {process.returncode}: {said}")
    return output.decode(errors="replace")
