"""A client of BIRD's control socket, which speaks as birdc(8) does.

Each line of an answer begins with a code: `1007-` more is to come, `0003 ` this was the last,
a space alone continues the line before. Codes from 8000 on are refusals
(https://bird.nic.cz/doc/prog-2.html, "CLI").
"""

import asyncio
import contextlib
from asyncio import StreamReader
from pathlib import Path
from typing import Final

import msgspec

from onehop.base.errors import RejectedError, TransientError

_ANSWER_S: Final = 10.0
_REFUSED: Final = 8000
_CODE: Final = 4
_CHUNK_BYTES: Final = 1 << 16


class Answer(msgspec.Struct, frozen=True):
    """What BIRD said.

    Attributes:
        code: of the last line.
        lines: without their codes, as they are indented.
        version: BIRD's, as it greets.
    """

    code: int
    lines: tuple[str, ...]
    version: str = ""


class BirdControl:
    """Asks one BIRD; every question has a connection of its own, so a restart needs no care."""

    def __init__(self, socket: Path, *, within_s: float = _ANSWER_S) -> None:
        self._socket = socket
        self._within_s = within_s

    async def ask(self, command: str) -> Answer:
        """Return the answer to a command of birdc's, written in full.

        Raises:
            TransientError: nobody answers at the socket, or not in time.
            RejectedError: BIRD refused; the message is BIRD's.
        """
        try:
            async with asyncio.timeout(self._within_s):
                answer = await self._converse(command)
        except (OSError, TimeoutError, EOFError) as err:
            told = "no answer in time" if isinstance(err, TimeoutError) else str(err) or "cut off"
            raise TransientError(f"BIRD at {self._socket}: {command}: {told}") from err
        if answer.code >= _REFUSED:
            raise RejectedError(answer.lines[-1].strip() or f"BIRD refused: {command}")
        return answer

    async def _converse(self, command: str) -> Answer:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            greeting = await read_answer(reader)
            writer.write(f"{command}\n".encode())
            await writer.drain()
            answer = await read_answer(reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        version = next(iter(greeting.lines), "").removeprefix("BIRD ").partition(" ")[0]
        return msgspec.structs.replace(answer, version=version)


async def read_answer(reader: StreamReader) -> Answer:
    """Return what comes up to the line that ends an answer; nothing may follow it.

    Raises:
        EOFError: the stream ended before the answer did.
    """
    text = bytearray()
    while not _is_whole(text):
        more = await reader.read(_CHUNK_BYTES)
        if not more:
            raise EOFError("the answer was cut off")
        text += more
    # With a thousand sessions there are 70,000 lines: not on the event loop.
    return await asyncio.to_thread(parse_answer, bytes(text))


def parse_answer(text: bytes) -> Answer:
    """Return a whole answer, taken apart."""
    raw = text.decode(errors="replace").splitlines()
    lines = tuple(line[_CODE + 1 :] if line[:_CODE].isdecimal() else line[1:] for line in raw)
    return Answer(int(raw[-1][:_CODE]), lines)


def _is_whole(text: bytearray) -> bool:
    """Tell whether the last line is the one that ends an answer: a code, and a space."""
    if not text.endswith(b"\n"):
        return False
    last = bytes(text[text.rfind(b"\n", 0, -1) + 1 :])
    return last[:_CODE].isdigit() and last[_CODE : _CODE + 1] == b" "
