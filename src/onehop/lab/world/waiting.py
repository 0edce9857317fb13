"""Waiting for something in the lab to come about: other programs do it, so it is looked for."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

from onehop.base.errors import TransientError

_LOOK_S: Final = 0.02


async def nothing_missing(
    look: Callable[[], str | Awaitable[str]], *, timeout_s: float, pause_s: float = _LOOK_S
) -> None:
    """Wait until `look` says "": that nothing is missing any more.

    Raises:
        TransientError: it takes too long; the message is what `look` said last.
    """
    missing = ""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                said = look()
                missing = await said if inspect.isawaitable(said) else said
                if not missing:
                    return
                await asyncio.sleep(pause_s)
    except TimeoutError as err:
        raise TransientError(f"after {timeout_s:g} s: {missing}") from err
