"""Several waits at once, whose failures come out one by one.

A `TaskGroup` whose tasks raise needs `except*` around it, and carrying on after that loses the
outer group's cancellation on Python 3.11.7 and 3.12.1 (cpython#116720). So no task raises here.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from onehop.base.errors import OnehopError

T = TypeVar("T")


async def together(waits: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all to their ends and return their results in order.

    Raises:
        OnehopError: the first of those that were raised, once all have ended.
    """

    async def run(wait: Coroutine[Any, Any, T]) -> T | OnehopError:
        try:
            return await wait
        except OnehopError as err:
            return err

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(wait)) for wait in waits]
    results: list[T] = []
    for task in tasks:
        result = task.result()
        if isinstance(result, OnehopError):
            raise result
        results.append(result)
    return results
