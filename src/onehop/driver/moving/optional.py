"""The kernel's part of a split, which comes and goes while the proxy serves."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from onehop.base.errors import DriverUnavailable, OnehopError
from onehop.driver.capability import Capability
from onehop.driver.driver import EndpointCount, Receipt
from onehop.driver.moving.stay import Stay
from onehop.driver.split import KernelPart
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.model.listener import Listener
from onehop.model.model import Model
from onehop.model.pool import PoolOf
from onehop.plan import Plan


class OptionalKernel:
    """A `KernelPart` that may not be there: then nothing fits it.

    Args:
        make: returns one that does not run yet.
        is_on: whether it is there from the beginning.
    """

    def __init__(self, make: Callable[[], KernelPart], *, is_on: bool) -> None:
        self._make = make
        self._stay = Stay(make(), is_needed=True) if is_on else None
        self._group: asyncio.TaskGroup | None = None
        self.takes = is_on
        """Whether listeners are given to it. One that is to go is given none, and goes on."""

    @property
    def is_on(self) -> bool:
        """Whether it is there."""
        return self._stay is not None

    async def open(self) -> None:
        """Have it there.

        Raises:
            OnehopError: it cannot be.
        """
        assert self._group is not None  # noqa: S101  who is opened is running
        stay = Stay(self._make(), is_needed=True)
        self._group.create_task(stay.run())
        failure = await stay.wait_up()
        if isinstance(failure, OnehopError):
            raise failure
        if failure is not None:
            raise DriverUnavailable(f"layer 4 in the kernel: {failure}") from failure
        self._stay, self.takes = stay, True

    async def close(self) -> None:
        """Have it go; what it has in the kernel stays there."""
        stay, self._stay, self.takes = self._stay, None, False
        if stay is not None:
            stay.leave()
            await stay.gone.wait()

    # The Driver protocol

    @property
    def name(self) -> str:
        """Empty while it is not there."""
        return "" if self._stay is None else self._stay.driver.name

    @property
    def capabilities(self) -> frozenset[Capability]:
        """None while it is not there."""
        return frozenset() if self._stay is None else self._stay.driver.capabilities

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start it, if it is there from the beginning.

        Raises:
            OnehopError: it cannot be.
        """
        failure: Exception | None = None
        async with asyncio.TaskGroup() as group:
            self._group = group
            if self._stay is not None:
                group.create_task(self._stay.run())
                failure = await self._stay.wait_up()
            try:
                if failure is None:
                    yield
            finally:
                if self._stay is not None:
                    self._stay.leave()
        if failure is not None:
            raise failure  # out here, because a TaskGroup would wrap it

    async def read_back(self) -> Model:
        """Return what it serves."""
        return Model() if self._stay is None else await self._stay.driver.read_back()

    async def apply(self, plan: Plan) -> Receipt:
        """Make the plan, if it is there."""
        return Receipt() if self._stay is None else await self._stay.driver.apply(plan)

    async def send_away(self, *, is_leaving: bool) -> None:
        """Do nothing: its connections carry no HTTP."""

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        """Return what it has counted."""
        return {} if self._stay is None else await self._stay.driver.count(pools)

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Send a pool's endpoints, if it is there."""
        if self._stay is not None:
            self._stay.driver.set_endpoints(members)

    def describe(self) -> dict[str, str]:
        """Return what it says of itself."""
        return {} if self._stay is None else self._stay.driver.describe()

    # What else a KernelPart has

    def misfit(self, listener: Listener, pool_of: PoolOf) -> str | None:
        """Return why it cannot serve a listener, or None if it can."""
        if self._stay is None or not self.takes:
            return "layer 4 is not served in the kernel"
        return self._stay.driver.misfit(listener, pool_of)

    @property
    def obstacles(self) -> Mapping[int, str]:
        """Why it serves nothing of a version of IP."""
        return {} if self._stay is None else self._stay.driver.obstacles

    @property
    def drifts(self) -> Mapping[str, int]:
        """What others have changed of it."""
        return {} if self._stay is None else self._stay.driver.drifts

    @property
    def connections(self) -> Mapping[str, int]:
        """What its connections came to."""
        return {} if self._stay is None else self._stay.driver.connections
