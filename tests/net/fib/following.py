"""A Fib that is followed, and all that it has said."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping

from onehop.model.address import Cidr, IpAddr, ip_number
from onehop.model.reach import Area, Stretch
from onehop.net.fib import Fib
from tests.net.namespaces import DEADLINE_S, running


class Followed:
    """What is known of the areas.

    Attributes:
        calls: the areas of each call, in order.
    """

    def __init__(self, fib: Fib) -> None:
        self.fib = fib
        self.calls: list[tuple[Area, ...]] = []
        self._areas: dict[Cidr, Area] = {}
        self._has_changed = asyncio.Event()

    def want(self, *areas: str) -> tuple[Area, ...]:
        """Want exactly these areas."""
        new = self.fib.want(map(Cidr, areas))
        self._areas.update((area.prefix, area) for area in new)
        return new

    def changed(self, areas: tuple[Area, ...]) -> None:
        """Take what `run` tells."""
        self.calls.append(areas)
        self._areas.update((area.prefix, area) for area in areas)
        self._has_changed.set()

    def area(self, prefix: str) -> Area:
        """Return what is known of an area."""
        return self._areas[Cidr(prefix)]

    def at(self, prefix: str, address: str) -> Stretch:
        """Return what is known of an address of an area."""
        return self.area(prefix).at(ip_number(IpAddr(address)))

    def gateways(self, prefix: str) -> list[str | None]:
        """Return the gateways of an area that one route leads to; none without a route."""
        (stretch,) = self.area(prefix).stretches
        return [hop.address for hop in stretch.route.hops] if stretch.route else []

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was told makes something true."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._has_changed.clear()
                await self._has_changed.wait()


@contextlib.asynccontextmanager
async def following(
    *areas: str,
    stable_s: float = 0.2,
    trust: tuple[str, ...] = (),
    targets: Mapping[Cidr, tuple[IpAddr, int]] | None = None,
) -> AsyncGenerator[Followed]:
    """Open a Fib that wants these areas, and follow it."""
    async with Fib(stable_s=stable_s, trust=map(Cidr, trust)) as fib:
        followed = Followed(fib)
        followed.want(*areas)
        fib.probe_with(targets or {})
        async with running(fib.run(followed.changed)):
            yield followed
