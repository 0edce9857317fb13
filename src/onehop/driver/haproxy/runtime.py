"""HAProxy's runtime API, by a Unix socket that only we may open (0600, in a 0700 directory)."""

import asyncio
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from onehop.base.errors import DriverUnavailable, RejectedError

_WELL: Final = re.compile(
    r"|New server registered\.|Server deleted\.|New empty certificate store '.*'!"
    r"|Transaction (created|updated) for certificate .*!|Committing .*|\.*|Success!"
    r"|Inserting certificate '.*' in crt-list '.*'\.*|Entry '.*' deleted in crtlist '.*'!"
    r"|Certificate '.*' deleted!|.*: no server available.*"
    r"|Loading: OCSP .* Content will be ignored\."
)
"""What it says when all is well, line by line; anything else is a refusal."""

_WHO: Final = re.compile(r"^Version: (\S+)\n(?:.*\n)*?Pid: (\d+)$", re.MULTILINE)
_STOPPING: Final = "\nStopping: 1\n"
_ASK_EVERY_S: Final = 0.01
_PIECE_BYTES: Final = 1 << 16
_PAUSE_S: Final = 0.001
"""HAProxy answers each of several commands by itself: who wakes up for each keeps it from going on,
where there are few processors."""


class Hangs(DriverUnavailable):
    """Somebody is at the socket, and says nothing."""


class Runtime:
    """One worker's socket; each command opens a connection of its own, which costs 0.1 ms.

    Args:
        path: where it is.
        timeout_s: how long an answer may take.
        says_eof: whether whoever is there waits for our end before it answers: a master does.
    """

    def __init__(self, path: Path, *, timeout_s: float = 10.0, says_eof: bool = False) -> None:
        self._path = path
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
                said = await self._asked(f"{command}\n".encode())
        except TimeoutError as err:
            raise Hangs(f"HAProxy's socket {self._path}: no answer in time") from err
        except OSError as err:
            raise DriverUnavailable(f"HAProxy's socket {self._path}: {err.strerror}") from err
        return said.decode(errors="replace")

    async def _asked(self, command: bytes) -> bytes:
        loop, said = asyncio.get_running_loop(), bytearray()
        pause_s = _PAUSE_S if b"; " in command else 0.0
        with socket.socket(socket.AF_UNIX) as connection:
            connection.setblocking(False)
            await loop.sock_connect(connection, str(self._path))
            await loop.sock_sendall(connection, command)
            if self._says_eof:
                connection.shutdown(socket.SHUT_WR)
            await asyncio.sleep(pause_s)
            while piece := await loop.sock_recv(connection, _PIECE_BYTES):
                said += piece
                await asyncio.sleep(pause_s)
        return bytes(said)

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


class Who(NamedTuple):
    """A worker, as it says itself (the manual's "show info").

    Attributes:
        version: of the program: `2.6.12-1`.
        pid: its process id.
    """

    version: str
    pid: str


async def who_at(runtime: Runtime) -> Who | None:
    """Return who answers at a socket, if that is said.

    Raises:
        DriverUnavailable: nobody does.
    """
    found = _WHO.search(await runtime.ask("show info"))
    return None if found is None else Who(*found.groups())


async def who_answers(path: Path) -> Who | None:
    """Return the worker at a socket, or None if there is none."""
    try:
        return await who_at(Runtime(path))
    except DriverUnavailable:
        return None


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
