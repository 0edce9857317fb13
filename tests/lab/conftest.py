"""Labs that tests share: bringing one up takes longer than most of what happens in it.

Each test finds its lab whole, with every Pod reached directly, and leaves it mended.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Generator
from itertools import count

import pytest

from onehop.lab.world import Spec, World, down, fault
from tests.lab.view import View
from tests.lab_world.conftest import remains

_number = count(1)


@pytest.fixture(scope="session")
def lab_of_one() -> Generator[World]:
    """Have a lab of three nodes that hold two Pods each, and one load balancer."""
    yield from _shared(Spec(name=_name(), nodes=3, pods=6))


@pytest.fixture(scope="session")
def lab_of_two() -> Generator[World]:
    """Have a lab of two load balancers, with IPv6."""
    yield from _shared(Spec(name=_name(), nodes=2, pods=4, lbs=2, ipv6=True))


@pytest.fixture
async def one(lab_of_one: World) -> AsyncGenerator[View]:
    """Return the lab of one load balancer, as that sees it."""
    await View(lab_of_one).until_direct()
    yield View(lab_of_one)
    await fault.mend_all(lab_of_one)


@pytest.fixture
async def two(lab_of_two: World) -> AsyncGenerator[tuple[View, View]]:
    """Return the lab of two load balancers, as each of them sees it."""
    for lb in ("lb1", "lb2"):
        await View(lab_of_two, lb).until_direct()
    yield View(lab_of_two, "lb1"), View(lab_of_two, "lb2")
    await fault.mend_all(lab_of_two)


def _name() -> str:
    return f"b{os.getpid()}x{next(_number)}"[:10]


def _shared(spec: Spec) -> Generator[World]:
    try:
        yield asyncio.run(World.up(spec))
    finally:
        asyncio.run(down(spec.name))
    assert remains(spec.name) == []
