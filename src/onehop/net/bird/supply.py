"""How a BIRD is given a configuration; the last good one stays whenever it refuses."""

import asyncio
import contextlib
from pathlib import Path
from typing import Final, Protocol

from onehop.base.errors import RejectedError
from onehop.net.bird.control import BirdControl
from onehop.net.bird.place import AttachedBird, OwnBird, check_text, write_private

_CONFIGURE: Final = "configure"


class Supply(Protocol):
    """The two ways differ in who reads the file when BIRD starts."""

    async def give(self, text: str) -> None:
        """Have BIRD follow a configuration.

        Raises:
            RejectedError: BIRD refuses it, and goes on with the last good one.
            TransientError: BIRD does not answer; nothing is known.
        """
        ...


class OwnSupply:
    """The file is checked before it takes the place of the good one, so BIRD can always start."""

    def __init__(self, place: OwnBird, control: BirdControl) -> None:
        self._place = place
        self._control = control

    async def give(self, text: str) -> None:
        """Check it, put it in place, and have BIRD read it if there is one."""
        await self.prepare(text)
        await self._control.ask(_CONFIGURE)

    async def prepare(self, text: str) -> None:
        """Check it and put it in place, for a BIRD that is to be started.

        Raises:
            RejectedError: BIRD would refuse it.
            TransientError: it cannot be checked.
        """
        candidate = self._place.file.with_suffix(".candidate")
        await asyncio.to_thread(write_private, candidate, text)
        try:
            await check_text(self._place.binary, candidate)
            await asyncio.to_thread(write_private, self._place.file, text)
        finally:
            await asyncio.to_thread(candidate.unlink, missing_ok=True)


class AttachedSupply:
    """The file is read by a BIRD that is not ours, so a refused one is put back at once."""

    def __init__(self, place: AttachedBird, control: BirdControl) -> None:
        self._file = place.include
        self._control = control

    async def give(self, text: str) -> None:
        """Put it in place, have BIRD read it, and put the old one back if BIRD refuses."""
        before = await asyncio.to_thread(_text_of, self._file)
        await asyncio.to_thread(write_private, self._file, text)
        try:
            await self._control.ask(_CONFIGURE)
        except RejectedError:
            await asyncio.to_thread(write_private, self._file, before)
            raise


def _text_of(file: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return file.read_text(encoding="utf-8")
    return ""
