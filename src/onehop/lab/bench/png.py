"""A drawing as a picture, by librsvg's own program: it knows the fonts of this machine."""

import shutil
from pathlib import Path
from typing import Final

from onehop.base.errors import ConfigError
from onehop.lab.world.command import run

_PROGRAM: Final = "rsvg-convert"
_SCALE: Final = "2"


def check_png() -> None:
    """See that pictures can be made here.

    Raises:
        ConfigError: the program is missing; the message says how to get it.
    """
    if shutil.which(_PROGRAM) is None:
        raise ConfigError(f"no {_PROGRAM} here: apt-get install librsvg2-bin")


async def write_png(svg: str, file: Path) -> None:
    """Write a drawing as a PNG file.

    Raises:
        RejectedError: it could not be written.
    """
    await run(_PROGRAM, "--zoom", _SCALE, "--output", str(file), told=svg)
