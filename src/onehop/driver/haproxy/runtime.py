"""HAProxy's runtime API, by a Unix socket that only we may open (0600, in a 0700 directory)."""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from onehop.base.errors import DriverUnavailable, RejectedError

_WELL: Final = re.compile(
    r"|New server registered\.|Server deleted\.|New empty certificate store '.*'!"
    r"|Transaction (created|updated) for certificate .*!|Committing .*|\.*|Success!"
    r"|Inserting certificate '.*' in crt-list '.*'\.*|Entry '.*' deleted in crtlist '.*'!"
    r"|Certificate '.*' deleted!|.*: no server available.*"
)
"""What it says when all is well, line by line; anything else is a refusal."""

_PID: Final = re.compile(r"^Pid: (\d+)$", re.MULTILINE)
_STOPPING: Final = "\nStopping: 1\n"
_ASK_EVERY_S: Final = 0.01


class Hangs(DriverUnavailable):
    """Somebody is at the socket, and says nothing."""


class Runtime:
    """One worker's socket; each command opens a connection of its own, which costs 0.1 ms.

    Args:
        socket: its path.
        timeout_s: how long an answer may take.
        says_eof: whether whoever is there waits for our end before it answers: a master does.
    """

    def __init__(self, socket: Path, *, timeout_s: float = 10.0, says_eof: bool = False) -> None:
        self._socket = socket
        self._timeout_s = timeout_s
        self._says_eof = says_eof

    async def ask(self, command: str) -> str:
        """Return what HAProxy says to a command.

        Raises:
            DriverUnavailable: nobody answers.
            Hangs: somebody is there, and does not answer in time.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    writer.write(f"{command}\n".encode())
                    await writer.drain()
                    if self._says_eof:
                        writer.write_eof()
                    said = await reader.read()
                finally:
                    writer.close()
        except TimeoutError as err:
            raise Hangs(f"HAProxy's socket {self._socket}: no answer in time") from err
        except OSError as err:
            raise DriverUnavailable(f"HAProxy's socket {self._socket}: {err.strerror}") from err
        return said.decode(errors="replace")

    async def tell(self, commands: Iterable[str]) -> None:
        """Give commands, one after another.

        Raises:
            DriverUnavailable: nobody answers.
            RejectedError: one is refused; those before it are done.
        """
        for command in commands:
            said = await self.ask(command)
            wrong = [line for line in said.splitlines() if not _WELL.fullmatch(line.strip())]
            if wrong:
                verb = " ".join(command.split(maxsplit=4)[:4])
                raise RejectedError(f"HAProxy refuses `{verb}`: {'; '.join(wrong)[:400]}")


async def pid_at(runtime: Runtime) -> str:
    """Return who answers at a socket; empty if that is not said.

    Raises:
        DriverUnavailable: nobody does.
    """
    found = _PID.search(await runtime.ask("show info"))
    return found[1] if found is not None else ""


async def who_answers(socket: Path) -> str:
    """Return the process of the worker at a socket; empty if there is none."""
    try:
        return await pid_at(Runtime(socket))
    except DriverUnavailable:
        return ""


async def lets_go(runtime: Runtime, *, within_s: float) -> bool:
    """Wait until a worker that is replaced takes no more clients, as both may for a moment.

    Returns:
        Whether it has let go, or is gone; False if it says nothing.
    """
    try:
        async with asyncio.timeout(within_s):
            while _STOPPING not in await runtime.ask("show info"):  # noqa: ASYNC110  not ours
                await asyncio.sleep(_ASK_EVERY_S)
    except (Hangs, TimeoutError):
        return False
    except DriverUnavailable:
        pass  # it is gone
    return True
