"""Doing the same for many, a few at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from onehop.base.errors import OnehopError

T = TypeVar("T")


async def abreast(items: Iterable[T], do: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Do it for every item; after a fault no further one is begun, and the first fault is raised.

    Raises:
        OnehopError: the first that `do` raised, by itself and not in a group.
    """
    waiting = iter(items)
    faults: list[OnehopError] = []

    async def work() -> None:
        for item in waiting:
            try:
                await do(item)
            except OnehopError as err:
                faults.append(err)
            if faults:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    if faults:
        raise faults[0]
