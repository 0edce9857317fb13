"""The BIRD of a node: started, configured anew without a restart, started again if it dies.

Its control socket is `bird.ctl` in the state folder, so that a fault can be played by hand:
`birdc -s STATE/bird.ctl disable Mesh_10_111_0_12`. As on a Calico node, routes stay in the kernel
when BIRD goes (`persist`), and one that was killed comes back with `-R`, graceful restart.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

import structlog

from onehop.base.errors import TransientError
from onehop.lab.node.command import run

SOCKET: Final = "bird.ctl"
_PATIENCE_S: Final = 10.0
_PAUSE_S: Final = 1.0
_STOP_S: Final = 3.0
_LOOK_S: Final = 0.02
_END_OF_REPLY: Final = " "
"""A reply's last line has a space after its code, the others a hyphen (BIRD, "Remote control")."""

log = structlog.get_logger()


class Bird:
    """The routing daemon of this network namespace."""

    def __init__(self, state: Path) -> None:
        self._config = state / "bird.conf"
        self._socket = state / SOCKET
        self._pid = state / "bird.pid"
        self._applied = ""
        self._is_configured = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Keep BIRD running, from the first configuration on, until cancelled."""
        await self._is_configured.wait()
        await self._end_orphan()
        is_back = False
        while True:
            try:
                code = await self._live(is_back=is_back)
            finally:
                self._process = None
            log.warning("lab_bird_ended", code=code)
            is_back = True
            await asyncio.sleep(_PAUSE_S)

    async def configure(self, text: str) -> bool:
        """Have BIRD do what a configuration says; return whether it is a new one.

        Raises:
            CommandFailed: BIRD cannot read it, and goes on as before.
        """
        if text == self._applied:
            return False
        draft = self._config.with_suffix(".new")
        _write_private(draft, text)
        await run("bird", "-p", "-c", str(draft))
        draft.replace(self._config)
        if self._process is not None:
            await self.ask("configure")
        self._applied = text
        self._is_configured.set()
        return True

    async def ask(self, command: str) -> str:
        """Return BIRD's reply to a command of birdc's.

        Raises:
            TransientError: it does not answer.
        """
        try:
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                with contextlib.closing(writer):
                    await _read_reply(reader)  # the greeting
                    writer.write(command.encode() + b"\n")
                    return await _read_reply(reader)
        except (OSError, TimeoutError) as error:
            raise TransientError(f"BIRD does not answer {command!r}: {error}") from error

    async def _end_orphan(self) -> None:
        """End the BIRD of an agent that was killed: it has our socket."""
        with contextlib.suppress(TransientError):
            while True:  # until it does not answer
                await self.ask("down")
                await asyncio.sleep(_LOOK_S)

    async def _live(self, *, is_back: bool) -> int:
        process = await asyncio.create_subprocess_exec(
            "bird",
            *("-f", "-c", str(self._config), "-s", str(self._socket), "-P", str(self._pid)),
            *(["-R"] if is_back else []),
        )
        try:
            await self._until_answering(process)
            self._process = process
            return await process.wait()
        finally:
            if process.returncode is None:
                await _stop(process)

    async def _until_answering(self, process: asyncio.subprocess.Process) -> None:
        """Wait for the socket, so that nothing is configured into the void."""
        while process.returncode is None:
            with contextlib.suppress(TransientError):
                await self.ask("show status")
                return
            await asyncio.sleep(_LOOK_S)


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _read_reply(reader: asyncio.StreamReader) -> str:
    lines: list[str] = []
    while True:
        line = (await reader.readline()).decode(errors="replace")
        if not line:
            raise ConnectionResetError("BIRD hung up")
        lines.append(line)
        if line[:4].isdigit() and line[4:5] == _END_OF_REPLY:
            return "".join(lines)


def _write_private(path: Path, text: str) -> None:
    """Write a file that only we may read: it may hold passwords."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
