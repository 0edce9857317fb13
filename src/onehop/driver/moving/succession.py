"""One data plane at a time: what the ways to take another one's place have in common."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Generic

import msgspec

from onehop.base.errors import DriverUnavailable, OnehopError, RejectedError
from onehop.driver.capability import Capability
from onehop.driver.driver import EndpointCount, Receipt, Refusal
from onehop.driver.moving.stay import D, Stay
from onehop.driver.overtaken import Overtaken
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.model.model import Model, Row, RowKey
from onehop.plan import Plan


class Phase(StrEnum):
    """How far a move has come."""

    STARTING = "starting"
    """The new data plane comes up."""
    LOADING = "loading"
    """It is given all rows."""
    TURNING = "turning"
    """It takes new connections; the old one those whose handshake it has begun."""


class MoveRefused(RejectedError):  # noqa: N818  named like the condition an operator reads
    """The new data plane would not serve all that the old one does, and was stopped again."""


class Moved(msgspec.Struct, frozen=True):
    """What came of a move.

    Attributes:
        rows: everything that the new data plane was given.
        receipt: what it refused of them.
        left: connections that waited at the old one when it had to close: they were lost.
    """

    rows: tuple[Row, ...]
    receipt: Receipt
    left: int = 0


class Succession(ABC, Generic[D]):
    """A Driver that is one of several, each in its time; others run beside it as they come and go.

    Args:
        first: what serves at the beginning.
    """

    def __init__(self, first: D) -> None:
        self._stay = Stay(first, is_needed=True)
        self._refused: dict[RowKey, Refusal] = {}
        """By what serves."""
        self._lock = asyncio.Lock()
        """Held while a plan is made, and while another one takes over."""
        self._overtaken = Overtaken()
        self._group: asyncio.TaskGroup | None = None

    @property
    def serving(self) -> D:
        """What serves now."""
        return self._stay.driver

    # The Driver protocol

    @property
    def name(self) -> str:
        """Of what serves now."""
        return self.serving.name

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Of what serves now."""
        return self.serving.capabilities

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start the first; leaving stops whatever runs then.

        Raises:
            DriverUnavailable: it does not come up.
            ConfigError: it cannot.
        """
        failure: Exception | None
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._stay.run())
            failure = await self._stay.wait_up()
            try:
                if failure is None:
                    yield
            finally:
                for stay in self._stays():
                    stay.leave()
        if failure is not None:
            raise failure  # out here, because a TaskGroup would wrap it

    async def read_back(self) -> Model:
        """Return what serves now has."""
        return await self.serving.read_back()

    async def apply(self, plan: Plan) -> Receipt:
        """Make the plan at what serves; one that comes while that changes waits for it."""
        self._overtaken.begin()
        async with self._lock:
            plan = self._overtaken.renewed(plan)
            receipt = await self.serving.apply(plan)
            self._note(plan, receipt)
        return receipt

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Send a pool's endpoints to all that run."""
        self._overtaken.note(members)
        for stay in self._stays():
            stay.driver.set_endpoints(members)

    async def send_away(self, *, is_leaving: bool) -> None:
        """Ask the clients of what serves."""
        await self.serving.send_away(is_leaving=is_leaving)

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        """Return what the one that serves has counted."""
        return await self.serving.count(pools)

    def describe(self) -> dict[str, str]:
        """Return what the one that serves says of itself."""
        return self.serving.describe()

    # What a way adds

    @abstractmethod
    def _stays(self) -> Iterable[Stay[D]]:
        """Return what serves, and those that run beside it."""

    @abstractmethod
    def _note(self, plan: Plan, receipt: Receipt) -> None:
        """Note what became of a plan."""

    def _begin(self, stay: Stay[D]) -> None:
        """Start one that comes."""
        assert self._group is not None  # noqa: S101  whose place is taken is running
        self._group.create_task(stay.run())


async def come_up(stay: Stay[D]) -> None:
    """Wait until one has come up.

    Raises:
        OnehopError: it has not.
    """
    failure = await stay.wait_up()
    if isinstance(failure, OnehopError):
        raise failure
    if failure is not None:
        raise DriverUnavailable(f"{stay.driver.name} does not come up: {failure}") from failure


def demand_all(receipt: Receipt, before: Mapping[RowKey, Refusal]) -> None:
    """Look whether nothing is refused that was served.

    Raises:
        MoveRefused: something is; the message names it.
    """
    lost = [
        refusal
        for refusal in receipt.refused
        if (known := before.get(refusal.key)) is None
        or (known.is_partial and not refusal.is_partial)
    ]
    if lost:
        said = "; ".join(f"{each.key.table} {each.key.id}: {each.reason}" for each in lost)
        raise MoveRefused(said)
