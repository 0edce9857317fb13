"""The data planes that tests of Gateway API run on: each test on all that claim what it shows.

A module has one of each, which lives for as long as its tests: they bring it from one Gateway to
the next, as people do.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import pytest

from onehop.compile.gateway.feature import NEEDS
from onehop.control.abilities import lacks_of
from onehop.driver import Driver
from onehop.model.listener import Listener, Vip
from onehop.model.model import model_of
from tests.compile_gateway.world import compiled
from tests.contract.drivers import TRAFFIC, RunningDriver
from tests.driver_envoy.world import ADDRESS, bring_to

T = TypeVar("T", bound=Callable[..., Any])

SHOWN_BY: Final[dict[str, frozenset[str]]] = {}
"""What each test shows, by `module::test`; filled by `shows`."""


class Stand(NamedTuple):
    """A data plane that runs."""

    driver: Driver

    @property
    def name(self) -> str:
        """As in `dataPlane.driver`."""
        return self.driver.name

    @asynccontextmanager
    async def serving(self, *texts: str) -> AsyncGenerator[None]:
        """Serve what these objects ask for, and nothing else, on the address of this test run.

        There the backends are as well, and a VIP of ours cannot be a backend.
        """
        rows = [
            msgspec.structs.replace(row, address=ADDRESS)
            if isinstance(row, Vip | Listener)
            else row
            for row in compiled(*texts, driver=self.name).model().rows()
        ]
        receipt = await bring_to(self.driver, model_of(rows))
        assert receipt.refused == ()
        yield


@asynccontextmanager
async def standing(made: RunningDriver) -> AsyncGenerator[Stand]:
    """Run a data plane in a task of its own: a fixture is set up in one, and ends in another."""
    there: asyncio.Future[Driver] = asyncio.get_running_loop().create_future()
    enough = asyncio.Event()

    async def run() -> None:
        async with made() as driver:
            there.set_result(driver)
            await enough.wait()

    running = asyncio.create_task(run())
    await asyncio.wait((running, there), return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running  # it raises what went wrong
    try:
        yield Stand(await there)
    finally:
        enough.set()
        await running


def claims(driver: str) -> frozenset[str]:
    """Return the features that a class claims with a data plane."""
    lacks = lacks_of(driver).keys()
    return frozenset(feature for feature, needs in NEEDS.items() if lacks.isdisjoint(needs))


def shows(*features: str) -> Callable[[T], T]:
    """Run a test on every data plane that claims all of these features; `plane` is what runs."""
    able = [made for made in TRAFFIC if claims(made.__name__).issuperset(features)]
    marks = {"envoy": pytest.mark.envoy, "haproxy": pytest.mark.haproxy}
    planes = [pytest.param(made, id=made.__name__, marks=marks[made.__name__]) for made in able]

    def note(test: T) -> T:
        SHOWN_BY[f"{test.__module__}::{test.__name__}"] = frozenset(features)
        marked: T = pytest.mark.parametrize("plane", planes, indirect=True)(test)
        return marked

    return note
