"""`onehop plan`: what would change, without doing it."""

import sys
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from rich.console import Console
from rich.markup import escape

from onehop.base.errors import ConfigError, OnehopError, TransientError
from onehop.cli.status import ask
from onehop.compile.compiler import Compiled
from onehop.control.abilities import name_of
from onehop.control.config import Config
from onehop.control.configfile import check_config, state_directory
from onehop.control.memory import Memory
from onehop.control.once import compile_once
from onehop.control.overview import Snapshot
from onehop.control.planes import data_plane_version, would_refuse
from onehop.control.sources import source_name
from onehop.control.switchplan import (
    ATTACHED_STAYS,
    Difference,
    SwitchPlan,
    plan_switch,
    with_moved,
)
from onehop.driver.nftables import misfit
from onehop.driver.split import proxy_share
from onehop.model.model import RowKey, change_between, key_of, model_of
from onehop.plan import make_plan

_SHOWN: Final = 5


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a plan; `sign` is `+` for a new one, `~` for one that differs, `-` for none."""

    stage: str
    sign: str
    table: str
    row: str


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What would change.

    Attributes:
        steps: from what is served to what would be, in their order.
        problems: of the objects.
        switch: what another data plane would mean; None if none is asked for.
    """

    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    switch: SwitchPlan | None = None


async def plan(config: Config, driver: str | None, *, as_json: bool) -> bool:
    """Print it; return whether nothing would be lost.

    Args:
        config: what the file says.
        driver: another data plane than the file names; then it is all that is looked at.
        as_json: print data.
    """
    compiled = await compile_once(config)
    runs = await _running(config)
    data_plane = msgspec.structs.replace(
        config.data_plane, driver=driver or config.data_plane.driver
    )
    other = msgspec.structs.replace(config, data_plane=data_plane)
    have, switch = runs or name_of(config.data_plane), None
    if driver is not None or have != name_of(config.data_plane):
        switch = await _plan_switch(other, compiled, have=have)
    planned = Planned(
        steps=() if driver is not None else tuple(_steps(config, compiled)),
        problems=tuple(map(str, compiled.problems)),
        switch=switch,
    )
    if as_json:
        sys.stdout.write(msgspec.json.encode(planned).decode() + "\n")
    else:
        _print(planned, with_steps=driver is None)
    return switch is None or switch.is_whole


async def _running(config: Config) -> str | None:
    """Return which data plane serves on this host, if one does."""
    try:
        return msgspec.json.decode(await ask(config, "GET", "/status"), type=Snapshot).driver
    except TransientError:
        return None


async def _plan_switch(config: Config, compiled: Compiled, *, have: str) -> SwitchPlan:
    """Return what a switch to the data plane of a configuration would mean."""
    obstacles: list[str] = []
    program, want = "", name_of(config.data_plane)
    proxies = {have.partition("+")[0], config.data_plane.driver}
    if config.data_plane.haproxy.master is not None and len(proxies) > 1 and "haproxy" in proxies:
        obstacles.append(ATTACHED_STAYS)
    try:
        check_config(config, name="with this data plane")
    except ConfigError as err:
        obstacles.append(str(err))
    try:
        program = await data_plane_version(config)
    except (OnehopError, OSError) as err:
        obstacles.append(str(err))
    by_proxy = proxy_share(compiled.model, misfit)
    model = by_proxy if "+" in want else compiled.model
    planned = plan_switch(model, have=have, want=want, refuses=would_refuse(config))
    kernels = frozenset(compiled.model.listeners) - frozenset(by_proxy.listeners)
    planned = with_moved(planned, (each for each in compiled.model.listeners if each in kernels))
    return msgspec.structs.replace(planned, program=program, obstacles=tuple(obstacles))


def _steps(config: Config, compiled: Compiled) -> Iterator[Step]:
    """Yield the way from what is served to what would be served."""
    have = model_of(Memory(state_directory(config), source_name(config)).load().rows)
    known = {key_of(row) for row in have.rows()}
    for stage in make_plan(change_between(have, compiled.model)).stages:
        for row in stage.put:
            yield _step(stage.kind, "~" if key_of(row) in known else "+", key_of(row))
        for key in stage.remove:
            yield _step(stage.kind, "-", key)


def _step(stage: str, sign: str, key: RowKey) -> Step:
    return Step(stage=stage, sign=sign, table=str(key.table), row=key.id)


_COLOURS: Final = {"~": "yellow", "+": "green", "-": "red"}


def _print(planned: Planned, *, with_steps: bool) -> None:
    console = Console(highlight=False)
    if with_steps and not planned.steps:
        console.print("nothing would change")
    stage = ""
    for step in planned.steps:
        if step.stage != stage:
            stage = step.stage
            console.print(f"[bold]{stage}[/bold]")
        colour = _COLOURS[step.sign]
        _line(console, f"  [{colour}]{step.sign}[/{colour}] ", f"{step.table} {step.row}")
    for problem in planned.problems:
        _line(console, "[red]![/red] ", problem)
    if planned.switch is not None:
        _print_switch(console, planned.switch)


def _print_switch(console: Console, switch: SwitchPlan) -> None:
    program = switch.program.splitlines()[0] if switch.program else "not there"
    _line(console, f"[bold]{switch.have} -> {switch.want}[/bold] ", f"({program})")
    for obstacle in switch.obstacles:
        _line(console, "[red]cannot be[/red]  ", obstacle)
    same = ", ".join(f"{count} {table}" for table, count in sorted(switch.same.items()))
    _line(console, "[green]the same[/green]   ", same or "nothing")
    for title, differences in (
        ("[red]lost[/red]       ", switch.lost),
        ("[green]gained[/green]     ", switch.gained),
        ("[yellow]different[/yellow]  ", switch.differs),
    ):
        for each in differences:
            _line(console, title, _told(each))
    for number, step in enumerate(switch.way, start=1):
        _line(console, "[bold]how[/bold]        " if number == 1 else " " * 11, f"{number}. {step}")


def _line(console: Console, title: str, text: str) -> None:
    """Print a title with its colours, and a text as it is."""
    console.print(f"{title}{escape(text)}", soft_wrap=True)


def _told(difference: Difference) -> str:
    concerned: Iterable[str] = difference.concerned
    more = len(difference.concerned) - _SHOWN
    if more > 0:
        concerned = (*difference.concerned[:_SHOWN], f"{more} more")
    advice = f"\n           -> {difference.advice}" if difference.advice else ""
    return f"{difference.said}: {', '.join(concerned)}{advice}"
