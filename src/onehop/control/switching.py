"""Another data plane for a program that runs: its configuration is read again, and moved to.

The file is what counts: it is changed first, and then the program is told (`onehop switch`, or
SIGHUP). Whatever becomes of that, the next start finds in the file what shall serve.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import structlog

from onehop.base.errors import ConfigError, OnehopError
from onehop.control.config import Config, DataPlaneConfig
from onehop.control.configfile import state_directory
from onehop.control.layer4 import with_layer4
from onehop.control.overview import Switched
from onehop.control.places import Places
from onehop.control.planes import make_driver, make_movable
from onehop.control.switchplan import MOVABLE
from onehop.driver import Driver
from onehop.driver.moving import Moved, MovingDriver

log = structlog.get_logger(__name__)


class Switching:
    """The data plane of a program, and how it becomes another one.

    Args:
        config: what runs.
        reread: returns what the file says now.
    """

    def __init__(self, config: Config, reread: Callable[[], Config]) -> None:
        self.on_moved: Callable[[Moved], None] | None = None
        self.outcomes: Counter[str] = Counter()
        """How often it was tried, by what became of it."""
        self._config = config
        self._reread = reread
        self._places = Places(state_directory(config))
        self._moving: MovingDriver | None = None
        self._asked = asyncio.Event()
        self._one = asyncio.Lock()
        self.driver: Driver
        """Whatever serves."""
        if config.data_plane.driver in MOVABLE:
            place = self._places.free(config.data_plane.driver)
            first = make_movable(config, place)
            self._places.take(place, first)
            self._moving = MovingDriver(first, ended=self._places.clear)
            self.driver = with_layer4(config, self._moving)
        else:
            self.driver = make_driver(config)
        self._places.sweep()

    @property
    def running(self) -> dict[str, dict[str, str]]:
        """What data planes say that run beside the one that serves, by name."""
        others = self._moving.others if self._moving is not None else ()
        return {each.name: each.describe() for each in others}

    @property
    def under_way(self) -> str:
        """Which switch is under way, and how far it is; empty if none is."""
        return self._moving.move_under_way if self._moving is not None else ""

    def ask(self) -> None:
        """Have `run` look at the file."""
        self._asked.set()

    async def run(self) -> None:
        """Switch whenever somebody asks, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.switch(force=False)

    async def switch(self, *, force: bool) -> Switched:
        """Serve by what the file says now; whatever goes wrong, what has served goes on.

        Args:
            force: whether rows that the new one refuses may be lost.
        """
        async with self._one:
            outcome = await self._switch(force=force)
        emit = log.info if outcome.is_done else log.error
        emit("data_plane_switch", done=outcome.is_done, driver=outcome.driver, said=outcome.said)
        if outcome.restart:
            log.warning("configuration_waits_for_restart", sections=outcome.restart)
        return outcome

    async def _switch(self, *, force: bool) -> Switched:
        try:
            wanted = await asyncio.to_thread(self._reread)
        except ConfigError as err:
            return self._kept(str(err))
        restart = tuple(_differing(self._config, wanted))
        have, want = self._config.data_plane, wanted.data_plane
        if self._moving is None or want.driver not in MOVABLE or want.layer4 != have.layer4:
            if want == have:
                return self._same(restart)
            return self._kept(_NOT_LIVE, restart)
        if section_of(want) == section_of(have):
            return self._same(restart)
        try:
            moved = await self._move(self._moving, wanted, force=force)
        except (OnehopError, OSError) as err:
            self.outcomes["failed"] += 1
            return self._kept(f"{want.driver}: {err}", restart)
        self.outcomes["done"] += 1
        self._config = msgspec.structs.replace(self._config, data_plane=want)
        lost = f"; {moved.left} connections that waited were lost" if moved.left else ""
        said = f"{want.driver} serves{lost}"
        return Switched(is_done=True, driver=self.driver.name, said=said, restart=restart)

    async def _move(self, moving: MovingDriver, wanted: Config, *, force: bool) -> Moved:
        place = self._places.free(wanted.data_plane.driver)
        driver = make_movable(wanted, place)
        self._places.take(place, driver)
        moved = await moving.move(driver, force=force)
        if self.on_moved is not None:
            self.on_moved(moved)
        return moved

    def _kept(self, said: str, restart: tuple[str, ...] = ()) -> Switched:
        name = self.driver.name
        said = f"{said}; {name} goes on"
        return Switched(is_done=False, driver=name, said=said, restart=restart)

    def _same(self, restart: tuple[str, ...]) -> Switched:
        name = self.driver.name
        return Switched(is_done=True, driver=name, said=f"{name} serves already", restart=restart)


_NOT_LIVE: Final = (
    "only envoy and haproxy take each other's place while they serve; for vtm, or another"
    " dataPlane.layer4, restart onehop"
)


def section_of(data_plane: DataPlaneConfig) -> object:
    """Return what says how the data plane is run: which it is, and its own section."""
    sections = {"haproxy": data_plane.haproxy, "vtm": data_plane.vtm}
    return data_plane.driver, sections.get(data_plane.driver, data_plane.envoy)


def _differing(have: Config, want: Config) -> Iterator[str]:
    """Yield the sections that only a restart takes."""
    for field in msgspec.structs.fields(Config):
        is_other = getattr(have, field.name) != getattr(want, field.name)
        if field.name != "data_plane" and is_other:
            yield field.encode_name
