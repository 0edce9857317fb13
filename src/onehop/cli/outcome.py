"""How a command ends: its exit code, and what it says of a world that would not."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import typer

from onehop.base.errors import ConfigError, RejectedError, TransientError

FAILED: Final = 1
WRONG_USE: Final = 2


def end(work: Coroutine[Any, Any, bool]) -> None:
    """Run a command to its end; False, or a world that would not, is exit code 1."""
    try:
        succeeded = asyncio.run(work)
    except* ConfigError as group:
        say(*group.exceptions)
        raise typer.Exit(WRONG_USE) from None
    except* (TransientError, RejectedError) as group:
        say(*group.exceptions)
        raise typer.Exit(FAILED) from None
    if not succeeded:
        raise typer.Exit(FAILED)


def say(*errors: BaseException) -> None:
    """Say what went wrong, a line each."""
    for error in errors:
        if isinstance(error, BaseExceptionGroup):
            say(*error.exceptions)
        else:
            typer.echo(f"onehop: {error}", err=True)
