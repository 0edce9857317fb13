"""The comparison itself: packets are counted once, then rounds are timed."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec

from onehop.base.errors import TransientError
from onehop.lab.bench import cpu, figure
from onehop.lab.bench.count import Count, Counters, added
from onehop.lab.bench.load import Answered, ask, check_load, run_load, wrk_script
from onehop.lab.bench.plane import Plane, envoy_version, version_here
from onehop.lab.bench.result import Cell, Machine, Result, Rounds, Sample, make_cell
from onehop.lab.bench.result import Path as WayPath
from onehop.lab.bench.stage import Stage, carried_by, set_up
from onehop.lab.bench.way import WAYS, Load, Way
from onehop.lab.world.plan import Plan, pod_space
from onehop.lab.world.world import Say

_COUNT_S: Final = 0.4
_ASKED: Final = 24

_Counts: TypeAlias = Mapping[tuple[Way, Load], tuple[Count, int]]
_Samples: TypeAlias = Mapping[Load, Mapping[Way, list[Sample]]]


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done.

    Attributes:
        rounds: how often each load takes each way.
        seconds: how long, each time.
    """

    rounds: int = 5
    seconds: float = 0.8

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"rounds {self.rounds}: at least 1")
        if not self.seconds >= 0.2:  # noqa: PLR2004  wrk has connected by then
            raise ValueError(f"seconds {self.seconds:g}: at least 0.2")


QUICK: Final = Effort(rounds=2, seconds=0.3)


async def compare(
    name: str, planes: tuple[Plane, ...], effort: Effort, *, say: Say
) -> tuple[Result, ...]:
    """Measure all ways in a lab of their own, and return what came out for each data plane.

    Args:
        name: of the lab.
        planes: the data planes; in every round, each of them has its turn.
        effort: how much is done.
        say: is told what is being done.

    Raises:
        ConfigError: the machine lacks something.
        TransientError: the lab does not come up, or nobody answers.
    """
    check_load()
    versions = {plane: await version_here(plane) for plane in planes}
    machine = await _machine()
    seating = cpu.seats(sorted(os.sched_getaffinity(0)))
    seen: dict[Plane, _Seen] = {}
    async with set_up(name, seating, say=say) as begun:
        stage = begun
        with wrk_script() as script:
            for plane in planes:
                say(f"counting packets, {plane.title}")
                stage = await carried_by(stage, plane)
                seen[plane] = await _Bench(stage, script).look()
            for number in range(effort.rounds):
                for plane in figure.turn(planes, number):
                    say(f"round {number + 1} of {effort.rounds}, {plane.title}")
                    stage = await carried_by(stage, plane)
                    await _Bench(stage, script).round(number, effort.seconds, seen[plane].samples)
    return tuple(_result(plane, versions[plane], machine, effort, seen) for plane in planes)


class _Seen(NamedTuple):
    """What was seen of a data plane."""

    counts: _Counts
    saw: Mapping[Way, Mapping[str, str]]
    samples: _Samples

    def rounds(self, load: Load) -> Rounds:
        return {way: tuple(self.samples[load][way]) for way in WAYS}


class _Bench:
    def __init__(self, stage: Stage, script: Path) -> None:
        self._stage = stage
        self._script = script

    async def look(self) -> _Seen:
        """Return what can be told without a clock; samples are still to come."""
        saw = {way: await self.saw(way) for way in WAYS}
        samples = {load: {way: list[Sample]() for way in WAYS} for load in self._stage.plane.loads}
        return _Seen(await self.count(), saw, samples)

    async def count(self) -> _Counts:
        """Return the packets and the requests of each load on each way."""
        counters = Counters(self._stage.world)
        found: dict[tuple[Way, Load], tuple[Count, int]] = {}
        try:
            for way in WAYS:
                for load in self._stage.plane.loads:
                    await counters.start(way)
                    answered = await self._load(way, load, _COUNT_S)
                    found[way, load] = (await counters.read(), answered.requests)
        finally:
            await counters.stop()
        return found

    async def saw(self, way: Way) -> Mapping[str, str]:
        """Return the source addresses that Pods see, and whose they are."""
        names = _names(self._stage.world.plan)
        seen = [
            each.saw
            for load in self._stage.plane.loads
            for each in await ask(self._stage.world, self._stage.target(way, load), times=_ASKED)
        ]
        return {address: names.get(address, "unknown") for address in sorted(set(seen))}

    async def round(self, number: int, lasts_s: float, samples: _Samples) -> None:
        """Let every load take every way once, and add what came out."""
        for load in self._stage.plane.loads:
            for way in figure.turn(WAYS, number):
                before = cpu.read(self._stage.actors)
                answered = await self._load(way, load, lasts_s)
                spent = cpu.read(self._stage.actors) - before
                samples[load][way].append(Sample(answered=answered, cpu=spent))

    async def _load(self, way: Way, load: Load, lasts_s: float) -> Answered:
        answered = await run_load(
            self._stage.world,
            self._stage.target(way, load),
            load,
            lasts_s=lasts_s,
            processor=self._stage.seats.client,
            script=self._script,
        )
        if not answered.requests:
            raise TransientError(f"{way.title}, {load.title}: no request was answered")
        return answered


def _result(
    plane: Plane, version: str, machine: Machine, effort: Effort, seen: Mapping[Plane, _Seen]
) -> Result:
    mine, first = seen[plane], next(iter(seen))
    cells: list[Cell] = []
    for load in plane.loads:
        is_compared = plane != first and load in first.loads
        for way in WAYS:
            count, requests = mine.counts[way, load]
            cell = make_cell(
                way,
                load,
                mine.rounds(load),
                packets=count.wire / requests,
                plane=plane,
                first=seen[first].rounds(load) if is_compared else None,
            )
            cells.append(cell)
    return Result(
        machine=machine,
        plane=plane.name,
        version=version,
        rounds=effort.rounds,
        seconds=effort.seconds,
        paths=tuple(
            _path(way, added(mine.counts[way, load][0] for load in plane.loads), mine.saw[way])
            for way in WAYS
        ),
        cells=tuple(cells),
    )


def _path(way: Way, count: Count, saw: Mapping[str, str]) -> WayPath:
    return WayPath(
        way=way.name,
        title=way.title,
        hops=count.hops(has_edge=way.is_two_tiers),
        links=count.links(has_edge=way.is_two_tiers),
        translations=count.translations,
        saw=saw,
    )


def _names(plan: Plan) -> Mapping[str, str]:
    """Return who has which address."""
    hosts = (plan.client, *plan.lbs, *(node.host for node in plan.nodes))
    names: dict[str, str] = {address: host.name for host in hosts for address in host.addresses}
    return names | {address: pod_space(pod.name) for pod in plan.pods for address in pod.addresses}


async def _machine() -> Machine:
    return Machine(
        processors=len(os.sched_getaffinity(0)),
        kernel=platform.release(),
        python=platform.python_version(),
        envoy=await envoy_version(),
        load_average=os.getloadavg()[0],
    )
