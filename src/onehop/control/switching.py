"""Another data plane for a program that runs: its configuration is read again, and moved to.

The file is what counts: it is changed first, and then the program is told (`onehop switch`, or
SIGHUP). Whatever becomes of that, the next start finds in the file what shall serve.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from onehop.base.errors import ConfigError, OnehopError
from onehop.control.config import Config, DataPlaneConfig
from onehop.control.configfile import state_directory
from onehop.control.layer4 import withdraw
from onehop.control.overview import Switched
from onehop.control.places import Places
from onehop.control.planes import make_driver, make_movable
from onehop.control.switchplan import ATTACHED_STAYS, MOVABLE, is_attached
from onehop.control.tounit import ToUnit, as_with_unit
from onehop.driver import Driver
from onehop.driver.moving import Moved, MoveRefused, MovingDriver
from onehop.driver.moving.driver import DRAIN_S
from onehop.driver.moving.exchange import Exchange
from onehop.driver.moving.handover import HANDSHAKE_S
from onehop.driver.moving.movable import Movable
from onehop.driver.moving.optional import OptionalKernel
from onehop.driver.nftables import NftablesDriver
from onehop.driver.split import SplitDriver

log = structlog.get_logger(__name__)


class Switching:
    """The data plane of a program, and how it becomes another one.

    Args:
        config: what runs.
        reread: returns what the file says now.
    """

    def __init__(self, config: Config, reread: Callable[[], Config]) -> None:
        self.on_moved: Callable[[Moved], None] = lambda _moved: None
        self.outcomes: Counter[str] = Counter()
        """How often it was tried, by what became of it."""
        self._config = config
        self._reread = reread
        self._places = Places(state_directory(config))
        self._local: _Local | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._asked = asyncio.Event()
        self._one = asyncio.Lock()
        self.to_unit: ToUnit | None = None
        """The way to a vTM."""
        first: Driver
        if config.data_plane.driver in MOVABLE:
            self._local = self._make_local(config)
            first = self._local.split
        else:
            first = make_driver(config)
        self.driver: Final = Exchange(first)
        """Whatever serves."""
        self._places.sweep()

    def _make_local(self, config: Config) -> "_Local":
        proxy = MovingDriver(self._make_proxy(config), ended=self._places.clear)
        kernel = OptionalKernel(NftablesDriver, is_on=config.data_plane.layer4 == "kernel")
        return _Local(proxy, kernel, SplitDriver(kernel, proxy))

    def _make_proxy(self, config: Config) -> Movable:
        place = self._places.free(config.data_plane.driver)
        proxy = make_movable(config, place)
        self._places.take(place, proxy)
        return proxy

    @property
    def running(self) -> dict[str, dict[str, str]]:
        """What data planes say that run beside the one that serves, by name."""
        others: list[Driver] = [*self._local.proxy.others] if self._local is not None else []
        if self.driver.coming is not None:
            others.append(self.driver.coming)
        return {each.name: each.describe() for each in others}

    @property
    def under_way(self) -> str:
        """Which switch is under way, and how far it is; empty if none is."""
        local = self._local.proxy.move_under_way if self._local is not None else ""
        return local or self.driver.under_way

    def ask(self) -> None:
        """Have `run` look at the file."""
        self._asked.set()

    async def run(self) -> None:
        """Switch whenever somebody asks, while the data plane runs; until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
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
        if self._tasks is None:
            return self._kept("onehop is still starting")
        try:
            wanted = await asyncio.to_thread(self._reread)
        except ConfigError as err:
            return self._kept(str(err))
        have, want = self._config.data_plane, wanted.data_plane
        is_to_unit = self._local is not None and want.driver == "vtm"
        base = as_with_unit(self._config, wanted) if is_to_unit else self._config
        restart = tuple(_differing(base, wanted))
        if have.layer4 == want.layer4 and section_of(have) == section_of(want):
            said = f"{self.driver.name} serves already"
            return Switched(is_done=True, driver=self.driver.name, said=said, restart=restart)
        if self._local is None:
            return self._kept(_NOT_LIVE, restart)
        if section_of(have) != section_of(want) and (is_attached(have) or is_attached(want)):
            return self._kept(ATTACHED_STAYS, restart)
        try:
            if is_to_unit:
                return await self._bring_to_unit(wanted, restart, force=force)
            lost = await self._bring(self._local, wanted, force=force)
        except (OnehopError, OSError) as err:
            self.outcomes["failed"] += 1
            return self._kept(f"{want.driver}: {err}", restart)
        self.outcomes["done"] += 1
        name = self.driver.name
        said = f"{name} serves" + (f"; {lost} connections that waited were lost" if lost else "")
        return Switched(is_done=True, driver=name, said=said, restart=restart)

    async def _bring_to_unit(
        self, wanted: Config, restart: tuple[str, ...], *, force: bool
    ) -> Switched:
        """Have a vTM serve, with the addresses; nothing of a data plane is left on this host."""
        assert self.to_unit is not None  # noqa: S101  a program that runs has set it
        moved = await self.to_unit.go(self._config, wanted, force=force)
        self._local = None
        self._config = as_with_unit(self._config, wanted)
        self.outcomes["done"] += 1
        self.on_moved(moved)
        await asyncio.to_thread(self._places.clear_all)
        name = self.driver.name
        left = "".join(f"; {each} is still on the interface here" for each in self.to_unit.stayed)
        return Switched(is_done=True, driver=name, said=f"{name} serves{left}", restart=restart)

    async def _bring(self, local: "_Local", wanted: Config, *, force: bool) -> int:
        """Bring the data plane to what is wanted; return how many connections were lost.

        The kernel comes before another proxy, and goes after it: so it has what that refuses.
        """
        have, want, lost = self._config.data_plane, wanted.data_plane, 0
        if want.layer4 == "kernel" and have.layer4 == "proxy":
            if not local.kernel.is_on:
                await local.kernel.open()
            self._take(await _reconsider(local), layer4="kernel")
        if section_of(have) != section_of(want):
            moved = await local.proxy.move(self._make_proxy(wanted), force=force)
            self._take(moved, **{name: getattr(want, name) for name in _PROXY_KEYS})
            lost = moved.left
        if want.layer4 == "proxy" and have.layer4 == "kernel":
            self._take(await _without_kernel(local, force=force), layer4="proxy")
            assert self._tasks is not None  # noqa: S101  looked at before
            self._tasks.create_task(_sweep_later(local.kernel))
        return lost

    def _take(self, moved: Moved, **keys: Any) -> None:
        """Note what serves now."""
        data_plane = msgspec.structs.replace(self._config.data_plane, **keys)
        self._config = msgspec.structs.replace(self._config, data_plane=data_plane)
        self.on_moved(moved)

    def _kept(self, said: str, restart: tuple[str, ...] = ()) -> Switched:
        name = self.driver.name
        said = f"{said}; {name} goes on"
        return Switched(is_done=False, driver=name, said=said, restart=restart)


class _Local(NamedTuple):
    """A data plane of this host, by its parts."""

    proxy: MovingDriver
    kernel: OptionalKernel
    split: SplitDriver


async def _reconsider(local: _Local) -> Moved:
    return Moved(*await local.split.reconsider(HANDSHAKE_S))


async def _without_kernel(local: _Local, *, force: bool) -> Moved:
    """Give the proxy what the kernel has, and have that go.

    Raises:
        MoveRefused: the proxy does not take all of it; the kernel has it as before.
    """
    local.kernel.takes = False
    try:
        moved = await _reconsider(local)
    except OnehopError:
        local.kernel.takes = True
        raise
    refused = [each for each in moved.receipt.refused if not each.is_partial]
    if refused and not force:
        local.kernel.takes = True
        await _reconsider(local)
        raise MoveRefused("; ".join(f"{each.key.id}: {each.reason}" for each in refused))
    await local.kernel.close()
    local.split.forget_kernel()
    return moved


async def _sweep_later(kernel: OptionalKernel) -> None:
    """Take away what the kernel keeps for connections, once they have had their time."""
    await asyncio.sleep(DRAIN_S)
    if not kernel.is_on:
        await withdraw()


_PROXY_KEYS: Final = ("driver", "envoy", "haproxy", "vtm")

_NOT_LIVE: Final = "a vTM is another machine, and has the addresses: back takes a restart"


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
