"""Waiting for something long that gets on: what counts is its last step, not how long it takes."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

_LOOKS: Final = 4
"""So many times within the patience somebody looks whether it gets on."""


@asynccontextmanager
async def while_advancing(steps: Callable[[], int], patience_s: float) -> AsyncGenerator[None]:
    """Bound what is done inside to `patience_s`, anew whenever `steps` says something else.

    Raises:
        TimeoutError: nothing has advanced for so long.
    """
    loop = asyncio.get_running_loop()
    seen = steps()
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal seen, timer
        if steps() != seen:
            seen = steps()
            deadline.reschedule(loop.time() + patience_s)
        timer = loop.call_later(patience_s / _LOOKS, look)

    async with asyncio.timeout(patience_s) as deadline:
        timer = loop.call_later(patience_s / _LOOKS, look)
        try:
            yield
        finally:
            timer.cancel()
