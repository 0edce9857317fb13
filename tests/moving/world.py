"""What the tests of moving share: data planes by name, and clients that never stop."""

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from onehop.driver.envoy import EnvoyDriver, EnvoyOptions
from onehop.driver.haproxy import HaproxyDriver, HaproxyOptions
from onehop.driver.moving import Moved, MovingDriver
from onehop.driver.moving.movable import Movable
from onehop.model.model import Row, model_of
from tests.driver_envoy.world import bring_to, headers_of

HOST: Final = "shop.example"
_CLIENTS: Final = 4
_ANSWER_S: Final = 20.0


class Site(NamedTuple):
    """Where clients ask, and for which host."""

    address: str
    port: int
    host: str = HOST


class Planes:
    """Makes data planes, each with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)

    def make(self, name: str) -> Movable:
        """Return one that does not run yet, with two threads: Envoy has two sockets a place.

        `broken` is a HAProxy that ends as soon as it is started.
        """
        place = self._folder / f"{name}-{next(self._numbers)}"
        if name == "broken":
            program = self._folder / "broken"
            program.write_text("#!/bin/sh\necho HAProxy version 2.8.0\n")
            program.chmod(0o755)
            return HaproxyDriver(
                HaproxyOptions(state_dir=place, binary=str(program), start_timeout_s=1.0)
            )
        if name == "haproxy":
            return HaproxyDriver(HaproxyOptions(state_dir=place, threads=2, stop_grace_s=0.0))
        return EnvoyDriver(EnvoyOptions(state_dir=place, concurrency=2, stop_grace_s=0.0))


class Moving(NamedTuple):
    """A data plane that can be moved, and where others come from."""

    driver: MovingDriver
    planes: Planes

    async def serve(self, *rows: Row) -> None:
        """Make the rows all that is served; none of them is refused."""
        assert (await bring_to(self.driver, model_of(rows))).refused == ()

    async def to(self, name: str, *, force: bool = False) -> Moved:
        """Move to a new one."""
        return await self.driver.move(self.planes.make(name), force=force)


@asynccontextmanager
async def moving(
    first: str, *, drain_s: float = 20.0, handshake_s: float = 0.2
) -> AsyncGenerator[Moving]:
    """Run a data plane; no packet of a handshake is lost on this host."""
    with tempfile.TemporaryDirectory(prefix="ohm-") as folder:
        planes = Planes(Path(folder))
        driver = MovingDriver(planes.make(first), drain_s=drain_s, handshake_s=handshake_s)
        async with driver.running():
            yield Moving(driver, planes)


class Load:
    """Clients that open a connection for each request, one after another, until they are ended."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    @property
    def failures(self) -> dict[str, int]:
        """What went wrong, by kind; there was more than nothing to go wrong."""
        assert self.outcomes["200"]
        return {kind: count for kind, count in self.outcomes.items() if kind != "200"}

    async def more(self, count: int) -> None:
        """Wait until so many more requests have been answered."""
        enough = self.outcomes.total() + count
        async with asyncio.timeout(60):
            while self.outcomes.total() < enough:  # noqa: ASYNC110  told by many clients
                await asyncio.sleep(0.01)

    async def ask(self, site: Site) -> None:
        """Ask once."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_connection(site.address, site.port)
                try:
                    request = f"GET / HTTP/1.1\r\nhost: {site.host}\r\nconnection: close\r\n\r\n"
                    writer.write(request.encode())
                    answer = (await reader.read()).decode()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as err:
            self.outcomes[type(err).__name__] += 1
            return
        head, _, body = answer.partition("\r\n\r\n")
        is_whole = headers_of(head).get("content-length") == str(len(body))
        self.outcomes[head.split(" ")[1] if is_whole else "cut short"] += 1


@asynccontextmanager
async def load(site: Site) -> AsyncGenerator[Load]:
    """Have clients ask until the context is left; each finishes what it has begun."""
    clients = Load()
    ended = asyncio.Event()

    async def client() -> None:
        while not ended.is_set():
            await clients.ask(site)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_CLIENTS):
            tasks.create_task(client())
        try:
            yield clients
        finally:
            ended.set()


async def until(holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110  the condition lies in other processes
            await asyncio.sleep(0.02)
