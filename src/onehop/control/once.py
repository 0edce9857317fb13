"""One look at a source, for commands that show and end: render, plan, check."""

import asyncio
import time
from collections.abc import Callable

from onehop.base.errors import TransientError
from onehop.compile.compiler import Compiled, Compiler
from onehop.control.abilities import lacks_of, name_of
from onehop.control.config import Config
from onehop.control.configfile import compile_options, state_directory
from onehop.control.foresight import foreseen
from onehop.control.memory import Memory
from onehop.control.sources import Origin, open_source, source_name
from onehop.model.problem import Problem
from onehop.source import Batch, Deleted


class _Look:
    """A Sink that only takes in."""

    def __init__(self, compiler: Compiler) -> None:
        self.is_complete = asyncio.Event()
        self.problems: tuple[Problem, ...] = ()
        self._compiler = compiler

    def changed(self, batch: Batch) -> None:
        for change in batch.changes:
            if isinstance(change, Deleted):
                self._compiler.remove(change.ref)
            else:
                self._compiler.put(change)
        if batch.problems is not None:
            self.problems = batch.problems

    def complete(self) -> None:
        self.is_complete.set()


async def compile_once(config: Config, *, timeout_s: float = 30.0) -> Compiled:
    """Read everything there is once and compile it; nothing is written anywhere.

    Addresses given to Services are those that a program with this configuration would give: its
    memory is read as well. Among the problems is what the configured data plane would refuse.

    Raises:
        ConfigError: see `open_source`.
        TransientError: the source was not read in time.
    """
    compiler = Compiler(compile_options(config))
    compiler.set_lacks(lacks_of(name_of(config.data_plane)))
    problems = await read_once(config, compiler, timeout_s=timeout_s)
    model = compiler.model()
    told = (*problems, *compiler.problems(), *foreseen(model, config))
    return Compiled(model, tuple(sorted(told)), compiler.verdicts())


async def read_once(
    config: Config,
    compiler: Compiler,
    *,
    settle: Callable[[], object] | None = None,
    timeout_s: float = 30.0,
) -> tuple[Problem, ...]:
    """Tell a compiler everything there is, and settle it; return what is wrong with the source.

    Args:
        config: names the source, and the memory of addresses given before.
        compiler: is told.
        settle: does so, where more than the compiler has a part in it.
        timeout_s: for the source.

    Raises:
        ConfigError: see `open_source`.
        TransientError: the source was not read in time.
    """
    compiler.set_hour(int(time.time()))
    for held in Memory(state_directory(config), source_name(config)).load().held:
        compiler.hold(held)
    look = _Look(compiler)
    async with open_source(config) as origin:
        try:
            async with asyncio.timeout(timeout_s):
                await _read(origin, compiler, look, settle or compiler.settle)
        except TimeoutError as err:
            faults = "; ".join(map(str, look.problems)) or "no answer"
            raise TransientError(
                f"{origin.name} was not read in {timeout_s:g} s: {faults}"
            ) from err
    return look.problems


async def _read(
    origin: Origin, compiler: Compiler, look: _Look, settle: Callable[[], object]
) -> None:
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(origin.source.run(look))
        await look.is_complete.wait()
        settle()
        origin.source.want(compiler.wanted())
        await origin.source.wants_settled()
        settle()
        reading.cancel()
