"""What is ours on a unit that serves no more: taken away, beside what serves now.

A file in the state directory stands for it, from before the unit is asked for the addresses until
nothing of ours is left there. So a start after a crash ends what a switch has begun: the unit lets
go of the addresses, and two machines do not go on answering for them.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from onehop.base.errors import OnehopError
from onehop.control.config import Config, VtmConfig
from onehop.control.vtmconfig import unit_options, vtm_owner
from onehop.driver import Driver
from onehop.driver.moving.stay import Stay
from onehop.driver.vtm import VtmDriver, VtmOptions
from onehop.model.ident import ObjectRef
from onehop.model.model import Row
from onehop.model.problem import Problem, Reason, Severity

LOOK_EVERY_S: Final = 0.5

log = structlog.get_logger(__name__)


class _Note(msgspec.Struct, frozen=True):
    """Which unit it is: the file may name another one by the next start, or none."""

    owner: str
    vtm: VtmConfig


class Parting:
    """Leaves one unit at a time, for as long as it takes.

    Args:
        state: the state directory.
        may_write: whether it is for this host to write to the unit.
        rows: returns what the unit was told to serve.
    """

    def __init__(
        self,
        state: Path,
        may_write: Callable[[], bool],
        rows: Callable[[], tuple[Row, ...]],
    ) -> None:
        self._file = state / "unit"
        self._may_write = may_write
        self._rows = rows
        self._driver: VtmDriver | None = None
        self._fault = ""
        self._tasks: asyncio.TaskGroup | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def driver(self) -> Driver | None:
        """The way to the unit while something of ours is there."""
        return self._driver

    async def note(self, config: Config) -> None:
        """Keep in mind that the unit that serves is to be left; `forget` if it is not.

        Raises:
            OSError: the state directory takes no file; nothing may be begun then.
        """
        note = _Note(vtm_owner(config), config.data_plane.vtm)
        await asyncio.to_thread(self._file.write_bytes, msgspec.json.encode(note))

    async def forget(self) -> None:
        """Leave whatever is on the unit to whoever serves by it."""
        await asyncio.to_thread(self._file.unlink, missing_ok=True)

    async def run(self, config: Config, is_served: asyncio.Event) -> None:
        """End what an earlier run has begun, and what `begin` begins; until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            if config.data_plane.driver == "vtm":
                await self._forget_old()
            elif await asyncio.to_thread(self._file.exists):
                await is_served.wait()
                self.begin()
            await asyncio.Event().wait()

    async def _forget_old(self) -> None:
        try:
            await self.forget()
        except OSError as err:
            log.error("unit_still_noted", file=str(self._file), error=str(err))  # noqa: TRY400

    def begin(self) -> None:
        """Take everything of ours off the unit that is noted, if one is, from now on."""
        assert self._tasks is not None  # noqa: S101  who leaves a unit is running
        if self._task is None or self._task.done():
            self._task = self._tasks.create_task(self._part())

    async def end(self) -> None:
        """Leave the rest as it is: the unit is to serve again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _part(self) -> None:
        try:
            note = msgspec.json.decode(await asyncio.to_thread(self._file.read_bytes), type=_Note)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as err:
            log.error("unit_not_left", file=str(self._file), error=str(err))  # noqa: TRY400
            return
        options = unit_options(note.vtm, owner=note.owner)
        try:
            while not await self._visit(options):
                log.warning("unit_not_left", error=self._fault, retry_in_s=options.again_s)
                await asyncio.sleep(options.again_s)
        finally:
            self._driver, self._fault = None, ""
        await self.forget()
        log.info("unit_left", owner=note.owner, urls=note.vtm.urls)

    async def _visit(self, options: VtmOptions) -> bool:
        """Have the unit lower, stop and delete what is ours; return whether it is all gone."""
        driver = VtmDriver(options, raises=False)
        driver.may_write = self._may_write
        async with asyncio.TaskGroup() as group:
            stay = Stay(driver)
            group.create_task(stay.run())
            failure = await stay.wait_up()
            self._driver = driver
            try:
                if failure is None:
                    await driver.leave(self._rows())
            except OnehopError as err:
                failure = err
            self._fault = str(failure or "")
            while failure is None and driver.left:  # noqa: ASYNC110  a unit tells nobody
                await asyncio.sleep(LOOK_EVERY_S)
            stay.leave()
        return failure is None

    def problems(self) -> tuple[Problem, ...]:
        """Return what keeps it from being done."""
        if not self._fault:
            told = self._driver.problems() if self._driver is not None else ()
            return tuple(each for each in told if each.reason is Reason.DATA_PLANE_LEFTOVERS)
        unit = ObjectRef("DataPlane", "", "vtm")
        message = (
            "this host has the addresses now, and the unit has not been told to let go of them: "
            "if it comes back with its traffic IP groups enabled, two machines answer; it is told "
            f"as soon as it answers: {self._fault}"
        )
        reason = Reason.DATA_PLANE_UNAVAILABLE
        return (Problem(subject=unit, reason=reason, message=message, severity=Severity.ERROR),)

    def confirm(self) -> int:
        """Have deleted what is withheld there; return how many objects that are."""
        return self._driver.confirm() if self._driver is not None else 0
