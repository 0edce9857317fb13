"""How many calls are under way at once, against units that are made of arithmetic."""

import asyncio

from onehop.driver.vtm.abreast import abreast
from onehop.driver.vtm.window import LEAST, MOST, Window


class Machine:
    """A unit that works at so many calls at once, in a time of its own."""

    def __init__(self, workers: int) -> None:
        self.window = Window()
        self.workers = workers
        self.inside = 0
        self.most = 0

    async def call(self, number: int) -> None:
        del number
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0)
        self.window.took("GET", 0.02 * max(1.0, self.inside / self.workers))
        self.inside -= 1


async def test_a_unit_that_works_at_many_is_asked_for_many() -> None:
    """Up to a bound: people use it, too."""
    machine = Machine(workers=1000)
    await abreast(range(5000), machine.call, machine.window)
    assert int(machine.window.size) == MOST
    assert machine.most <= MOST


async def test_a_unit_that_works_at_one_is_asked_for_few() -> None:
    """What waits there is of no use to anybody."""
    machine = Machine(workers=1)
    await abreast(range(5000), machine.call, machine.window)
    assert LEAST <= machine.window.size <= 6


async def test_a_unit_that_becomes_slow_for_other_reasons_is_not_starved() -> None:
    """Once few are not quicker either, the new time is what a call takes."""
    window = Window()
    for _ in range(100):
        window.took("GET", 0.01)
    for _ in range(300):
        window.took("GET", 0.5)
    assert window.size == LEAST
    async with window, window:
        waiting = asyncio.create_task(window.__aenter__())
        await asyncio.sleep(0)
        for _ in range(200):
            window.took("GET", 0.5)
        await waiting
    assert window.size > LEAST


async def test_failures_halve_it_once_for_all_that_were_under_way() -> None:
    """A unit that falls over is not asked by as many as before."""
    window = Window()
    before = window.size
    for _ in range(int(before / 2)):
        window.failed()
    assert window.size == before / 2


async def test_who_gives_up_waiting_leaves_no_hole() -> None:
    """Cancelled while it waits, or at the very moment when it is let in."""
    window = Window()
    for _ in range(int(window.size)):
        await window.__aenter__()
    late = [asyncio.create_task(window.__aenter__()) for _ in range(3)]
    await asyncio.sleep(0)
    late[0].cancel()
    await window.__aexit__(None, None, None)  # lets one in, which is cancelled before it knows
    late[1].cancel()
    await asyncio.sleep(0)
    await asyncio.wait_for(late[2], 25)
    assert [each.cancelled() for each in late] == [True, True, False]
