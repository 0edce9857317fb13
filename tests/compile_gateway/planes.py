"""The data planes that tests of Gateway API run on: each test on all that claim what it shows.

A module has one of each, which lives for as long as its tests: they bring it from one Gateway to
the next, as people do. An imitated vTM carries no traffic; where a test asks by `Stand.ask` alone,
the rules that stand on the unit are carried out in its place.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
import pytest

from onehop.compile.gateway.feature import NEEDS
from onehop.control.abilities import lacks_of
from onehop.model.listener import Listener, Vip
from onehop.model.model import Row, model_of
from tests.compile_gateway.world import compiled
from tests.contract.paper import Question
from tests.contract.planes import MadePlane, Plane, envoy, haproxy, vtm
from tests.driver_envoy.world import ADDRESS, Reply, bring_to, connected

T = TypeVar("T", bound=Callable[..., Any])

SHOWN_BY: Final[dict[str, frozenset[str]]] = {}
"""What each test shows, by `module::test`; filled by `shows`."""

_MARKS: Final = {"envoy": (pytest.mark.envoy,), "haproxy": (pytest.mark.haproxy,), "vtm": ()}


class Stand:
    """A data plane that runs, and what it serves."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._rows: tuple[Row, ...] = ()

    @property
    def name(self) -> str:
        """As in `dataPlane.driver`."""
        return self._plane.driver.name

    @asynccontextmanager
    async def serving(self, *texts: str) -> AsyncGenerator[None]:
        """Serve what these objects ask for, and nothing else, on the address of this test run.

        There the backends are as well, and a VIP of ours cannot be a backend.
        """
        self._rows = tuple(
            msgspec.structs.replace(row, address=ADDRESS)
            if isinstance(row, Vip | Listener)
            else row
            for row in compiled(*texts, driver=self.name).model().rows()
        )
        receipt = await bring_to(self._plane.driver, model_of(self._rows))
        assert receipt.refused == ()
        yield

    async def ask(
        self,
        port: int,
        path: str = "/",
        *,
        host: str = "a.example",
        method: str = "GET",
        **headers: str,
    ) -> Reply:
        """Send a request, or have it thought through; a backend answers with its Service's name."""
        told = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        if self._plane.oracle is None:
            async with connected(port) as client:
                return await client.ask(host, path, method=method, headers=told)
        rows = (row for row in self._rows if not isinstance(row, Listener) or row.port == port)
        asked = Question(host=host, path=path, method=method, headers=told)
        verdict = self._plane.oracle(rows, asked)
        service = (verdict.pool or "").partition("/")[2].partition(":")[0]
        return Reply(verdict.status, dict(verdict.headers), service or verdict.body)


@asynccontextmanager
async def standing(made: MadePlane) -> AsyncGenerator[Stand]:
    """Run a data plane in a task of its own: a fixture is set up in one, and ends in another."""
    there: asyncio.Future[Plane] = asyncio.get_running_loop().create_future()
    enough = asyncio.Event()

    async def run() -> None:
        async with made() as plane:
            there.set_result(plane)
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


def shows(*features: str, by_rules: bool = False) -> Callable[[T], T]:
    """Run a test on every data plane that claims all of these features; `plane` is what runs.

    Args:
        features: that it shows.
        by_rules: whether the test can be put to a vTM's rules.
    """
    able = (envoy, haproxy, vtm) if by_rules else (envoy, haproxy)
    planes = [
        pytest.param(made, id=made.__name__, marks=_MARKS[made.__name__])
        for made in able
        if claims(made.__name__).issuperset(features)
    ]

    def note(test: T) -> T:
        SHOWN_BY[f"{test.__module__}::{test.__name__}"] = frozenset(features)
        marked: T = pytest.mark.parametrize("plane", planes, indirect=True)(test)
        return marked

    return note
