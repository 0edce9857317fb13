"""Doing the same for many, as many at a time as the window has room for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from onehop.base.errors import OnehopError
from onehop.driver.vtm.window import MOST, Window

T = TypeVar("T")


async def abreast(items: Iterable[T], do: Callable[[T], Awaitable[None]], window: Window) -> None:
    """Do it for every item; after a fault no further one is begun, and the first fault is raised.

    Others get their turn between any two: comparing ten thousand objects needs no call at all, and
    would hold up the endpoints for a second.

    Raises:
        OnehopError: the first that `do` raised, by itself and not in a group.
    """
    waiting = iter(items)
    faults: list[OnehopError] = []

    async def work() -> None:
        for item in waiting:
            await asyncio.sleep(0)
            async with window:
                if faults:
                    return
                try:
                    await do(item)
                except OnehopError as err:
                    faults.append(err)

    async with asyncio.TaskGroup() as group:
        for _ in range(MOST):
            group.create_task(work())
    if faults:
        raise faults[0]
