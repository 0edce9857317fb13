"""What takes long is waited for, what stands still is not."""

import asyncio
from itertools import count

import pytest

from onehop.control.patience import while_advancing


async def test_what_gets_on_is_not_cut_however_long_it_takes() -> None:
    """Many times the patience, a step at each look."""
    steps = count()
    async with while_advancing(lambda: next(steps), 0.05):
        await asyncio.sleep(0.3)


async def test_what_stands_still_is_cut() -> None:
    """The patience is over some time after the last step."""
    with pytest.raises(TimeoutError):
        async with while_advancing(lambda: 7, 0.05):
            await asyncio.Event().wait()


async def test_what_got_on_and_then_stands_still_is_cut() -> None:
    """Steps of long ago do not count."""
    steps = iter((1, 2, 2, 3, 3))
    with pytest.raises(TimeoutError):
        async with while_advancing(lambda: next(steps, 3), 0.05):
            await asyncio.Event().wait()
