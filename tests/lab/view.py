"""What a user sees of a load balancer of the lab: status, metrics, log, events."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from onehop.control.overview import Snapshot
from onehop.lab.world import World
from onehop.lab.world.balancer import METRICS_PORT
from onehop.lab.world.ready import balancer_state
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem
from tests.e2e.waiting import until

MOVE_S: Final = 30.0
"""Longer than a route must stand that was lost a few times of late."""
_RUNGS: Final = re.compile(r'^onehop_endpoints\{path="(\w+)"\} (\S+)$', re.MULTILINE)
_EVENTS: Final = "/api/v1/namespaces/shop/events"
WEB: Final = ObjectRef("Service", "shop", "web")


class View:
    """A load balancer of a lab, from now on.

    Attributes:
        world: the lab.
        lb: the host's name.
    """

    def __init__(self, world: World, lb: str = "lb1") -> None:
        self.world = world
        self.lb = lb
        self._log = world.state.log(lb)
        self._begins = self._log.stat().st_size

    @property
    def address(self) -> str:
        """What Pods see that are reached directly, over IPv4."""
        return next(host.addresses[0] for host in self.world.plan.lbs if host.name == self.lb)

    def node_address(self, node: str) -> str:
        """What Pods see that are reached by a node's NodePort."""
        return self.world.plan.node(node).host.addresses[0]

    async def snapshot(self) -> Snapshot:
        """Return what `onehop status` shows."""

        async def look() -> list[Snapshot]:
            found = await balancer_state(self.world.state.home(self.lb))
            return [found] if found is not None else []

        return (await until(look, f"{self.lb} says how it is"))[0]

    async def rungs(self) -> dict[str, int]:
        """Return how many members of pools are on each rung, as the metrics say."""
        url = f"http://127.0.0.1:{METRICS_PORT}/metrics"
        said = await self.world.exec(self.lb, "curl", "-s", "--max-time", "3", url)
        return {path: int(float(n)) for path, n in _RUNGS.findall(said.out) if float(n)}

    async def until_rungs(self, *rungs: str) -> dict[str, int]:
        """Wait until there are members on these rungs, and on no others; return how many."""

        async def look() -> bool:
            network = (await self.snapshot()).network  # cheaper than a process for the metrics
            return network.endpoints.keys() == set(rungs)

        await until(look, f"members are on {rungs}", timeout_s=MOVE_S)
        found = await self.rungs()
        assert found.keys() == set(rungs)
        return found

    async def until_direct(self) -> None:
        """Wait until every Pod is reached directly, and all BGP sessions stand."""

        async def look() -> bool:
            network = (await self.snapshot()).network
            stands = all(each.state == "established" for each in network.sessions)
            return stands and network.endpoints.keys() == {"pod"} and not network.findings

        await until(look, "every Pod is reached directly", timeout_s=2 * MOVE_S)

    async def problem(self, reason: str, text: str = "") -> Problem:
        """Wait for a problem that `onehop status` shows, and return it."""

        async def look() -> list[Problem]:
            found = (await self.snapshot()).problems
            return [each for each in found if each.reason == reason and text in each.message]

        return (await until(look, f"a problem {reason} with {text!r}", timeout_s=MOVE_S))[0]

    async def event(self, reason: str, text: str, about: str = "web") -> dict[str, Any]:
        """Wait for an event of an object that kubectl shows, and return it."""

        async def look() -> list[dict[str, Any]]:
            async with self.world.cluster() as cluster:
                events = await cluster.items(_EVENTS)
            return [
                event
                for event in events
                if event["involvedObject"]["name"] == about
                and event["reason"] == reason
                and text in event["message"]
            ]

        what = f"an event {reason} with {text!r}"
        found: list[dict[str, Any]] = await until(look, what, timeout_s=MOVE_S)
        return found[0]

    def said(self, event: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of the log about something, since this view began."""
        with self._log.open("rb") as file:
            file.seek(self._begins)
            for line in file:
                if f'"{event}"'.encode() in line:
                    yield msgspec.json.decode(line)

    def moves(self) -> set[tuple[str, str]]:
        """Return which nodes' Pods went where, since this view began."""
        return {(line["node"], line["to"]) for line in self.said("path_moved")}
