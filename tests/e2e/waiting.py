"""Waiting for something to become true, with a deadline and words for when it does not."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast, overload

import aiohttp

T = TypeVar("T")

DEADLINE_S: Final = 30.0
_LOOK_S: Final = 0.01


@overload
async def until(
    look: Callable[[], Awaitable[T]], what: str, *, timeout_s: float = DEADLINE_S
) -> T: ...
@overload
async def until(look: Callable[[], T], what: str, *, timeout_s: float = DEADLINE_S) -> T: ...
async def until(
    look: Callable[[], T | Awaitable[T]], what: str, *, timeout_s: float = DEADLINE_S
) -> T:
    """Return what `look` finds once it finds something; fail with what was seen last.

    A look that meets a closed door, or one that is closed meanwhile, has found nothing.
    """
    seen: object = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    found = look()
                    # Which of the two it is, the overloads have told the caller's type checker.
                    value = cast("T", await found if inspect.isawaitable(found) else found)
                except (OSError, aiohttp.ClientError) as err:
                    seen = repr(err)
                else:
                    if value:
                        return value
                    seen = value
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise AssertionError(
            f"after {timeout_s:g} s still not: {what}; last seen: {seen!r}"
        ) from None
