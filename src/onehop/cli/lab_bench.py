"""The work of `onehop lab bench`: compare, then say and draw what came out."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from onehop.base.errors import ConfigError
from onehop.lab.bench.plane import Plane
from onehop.lab.bench.plot import svg as draw
from onehop.lab.bench.png import check_png, write_png
from onehop.lab.bench.report import markdown
from onehop.lab.bench.result import Result
from onehop.lab.bench.run import QUICK, Effort, compare

_TERMINATED: Final = 128 + signal.SIGTERM
"""The exit code by which shells know it."""


def effort(rounds: int | None, seconds: float | None, *, quick: bool) -> Effort:
    """Return how much is to be done.

    Raises:
        ConfigError: it is too little.
    """
    usual = QUICK if quick else Effort()
    try:
        return Effort(
            rounds=usual.rounds if rounds is None else rounds,
            seconds=usual.seconds if seconds is None else seconds,
        )
    except ValueError as err:
        raise ConfigError(str(err)) from err


async def bench(  # noqa: PLR0913  the flags of a command line
    name: str,
    todo: Effort,
    planes: tuple[Plane, ...],
    *,
    as_json: bool,
    svg: Path | None,
    png: Path | None,
) -> bool:
    """Compare the ways, and return whether every request was answered.

    Args:
        name: of the lab that it is done in.
        todo: how much is done.
        planes: the data planes that it is done on.
        as_json: whether all of it is printed as JSON, not as Markdown.
        svg: a file to draw it in; of several data planes, each has one of its own (`file_of`).
        png: a file for a picture of that.
    """
    _check_files(svg, png)
    if png is not None:
        check_png()
    # Whoever is told to end takes the lab down first: what runs on the loop is cancelled, as after
    # Ctrl-C, and has its end awaited.
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, sys.exit, _TERMINATED)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    results = await compare(
        name, planes, todo, say=lambda text: console.print(f"[dim]{text}[/dim]")
    )
    sys.stdout.write(_json(results) if as_json else markdown(results))
    for result in results:
        plane = result.plane if len(results) > 1 else ""
        drawing = draw(result)
        if svg is not None:
            file_of(svg, plane).write_text(drawing, encoding="utf-8")
        if png is not None:
            await write_png(drawing, file_of(png, plane))
    return not any(result.failed for result in results)


def file_of(file: Path, plane: str) -> Path:
    """Return where a data plane is drawn: `ways.svg` becomes `ways-haproxy.svg`."""
    return file.with_stem(f"{file.stem}-{plane}") if plane else file


def _json(results: tuple[Result, ...]) -> str:
    return msgspec.json.format(msgspec.json.encode(results)).decode() + "\n"


def _check_files(*files: Path | None) -> None:
    """See that files can be written where they shall be: before minutes are spent on them."""
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise ConfigError(f"{file}: there is no directory {file.absolute().parent}")
