"""This host's part in the cluster's network: what it learns from the kernel, and keeps in it.

    kernel ──▶ net.fib ──▶ areas ──▶ Pipeline.routes_changed           (the endpoint lane)
    compiler.network() ──▶ Network ──▶ parts: static routes, tunnel, BIRD ──▶ kernel
    what stands behind VIPs ──▶ parts: BIRD ──▶ routers upstream

Only what the configuration asks for is started. Stopping leaves routes where they are, so that a
restart loses none.
"""

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec
import structlog

from onehop.base.errors import ConfigError, TransientError
from onehop.compile.compiler import Compiler
from onehop.control.announce import answerable
from onehop.control.bgp import BgpPart
from onehop.control.binding import Binding
from onehop.control.overview import NetworkSnapshot
from onehop.control.pipeline import Pipeline
from onehop.control.reach import Reach
from onehop.control.served import Served
from onehop.model.address import AddressSet, Cidr, IpAddr, ends_of, is_ipv6, prefix_set
from onehop.model.network import Network
from onehop.model.problem import Problem
from onehop.net.fib import Fib
from onehop.net.leftover import sweep

GATHER_S: Final = 0.02
"""How long changes of the cluster's network gather: nodes and blocks come in bursts."""
PROBE_TARGETS_S: Final = 10.0
"""How often Pods are chosen that stand for areas of trusted prefixes."""
RETRY_S: Final = 5.0

log = structlog.get_logger(__name__)


class Part(Protocol):
    """One of the things that are kept in step with the cluster's network."""

    def want(self, network: Network) -> None:
        """Say what shall be; the latest word counts."""
        ...

    def problems(self) -> tuple[Problem, ...]:
        """Return what is not as it shall be."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...


class Trials(Protocol):
    """What is tried again and again (`returns.Returns`), where the configuration asks for it."""

    def problems(self) -> tuple[Problem, ...]:
        """Return what keeps it from being tried."""
        ...

    async def run(self, pipeline: Pipeline) -> None:
        """Work until cancelled."""
        ...


class Keeps(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration has us keep in the kernel; the rest of ours is taken away."""

    static: bool = False
    tunnel: bool = False


class Networking:
    """Runs the parts and the routing table, and keeps the pipeline told.

    Enter `fib` before the pipeline runs: from then on the routing table can be asked.
    """

    def __init__(  # noqa: PLR0913  what it runs, by name
        self,
        fib: Fib,
        parts: Iterable[Part],
        *,
        bgp: BgpPart | None,
        returns: Trials | None,
        trusted: tuple[Cidr, ...],
        keeps: Keeps,
    ) -> None:
        self.fib = fib
        self.bgp = bgp
        self.remembered = Network()
        self._parts = (*parts, *((bgp,) if bgp is not None else ()))
        self._returns = returns
        self._trusted = trusted
        self._keeps = keeps
        self.is_draining = False
        self._redecide = asyncio.Event()

    def restore(self, network: Network) -> None:
        """Hold the BGP sessions of before, until the cluster says who its nodes are.

        Routes and tunnels of before are in the kernel still.
        """
        self.remembered = network
        if self.bgp is not None and network.asn is not None:
            self.bgp.want(network)

    def snapshot(self, served: Served) -> NetworkSnapshot:
        """Return how Pods are reached, and what is told by BGP."""
        endpoints = {str(path): count for path, count in served.paths.items() if count}
        if self.bgp is None:
            return NetworkSnapshot(endpoints=endpoints, is_draining=self.is_draining)
        return NetworkSnapshot(
            endpoints=endpoints,
            is_draining=self.is_draining,
            announced=self.bgp.vips,
            bird=self.bgp.state.version,
            sessions=self.bgp.sessions(),
            findings=dict(self.bgp.counts),
        )

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with the ways to Pods and to VIPs."""
        problems = (problem for part in self._parts for problem in part.problems())
        return (*problems, *(self._returns.problems() if self._returns is not None else ()))

    async def run(
        self, pipeline: Pipeline, reach: Reach, compiler: Compiler, binding: Binding
    ) -> None:
        """Work until cancelled."""
        await self._sweep()
        async with asyncio.TaskGroup() as tasks:
            for part in self._parts:
                tasks.create_task(part.run())
            if self._returns is not None:
                tasks.create_task(self._returns.run(pipeline))
            tasks.create_task(self._follow_routes(pipeline, reach))
            tasks.create_task(self._follow_network(pipeline, compiler))
            if self.bgp is not None:
                tasks.create_task(self._follow_vips(self.bgp, pipeline, binding))
            if self._trusted:
                tasks.create_task(self._choose_targets(compiler))

    async def _sweep(self) -> None:
        """Take away what an earlier configuration has left in the kernel."""
        try:
            swept = await sweep(
                keeps_static=self._keeps.static,
                keeps_tunnel=self._keeps.tunnel,
                keeps_bgp=self.bgp is not None,
            )
        except (ConfigError, TransientError) as err:
            log.warning("leftovers_not_removed", error=str(err))
        else:
            if swept:
                log.info("leftovers_removed", what=swept)

    def drain(self, *, is_draining: bool) -> None:
        """Withdraw all VIPs, or announce them again."""
        if is_draining != self.is_draining:
            log.info("draining" if is_draining else "not_draining")
            self.is_draining = is_draining
            self._redecide.set()

    async def withdraw(self) -> None:
        """Withdraw all VIPs, and wait until the routers have been told."""
        self.drain(is_draining=True)
        if self.bgp is not None:
            await self.bgp.withdraw()

    async def _follow_routes(self, pipeline: Pipeline, reach: Reach) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(pipeline))
            while True:
                await asyncio.sleep(RETRY_S)
                if reach.ask_again():
                    pipeline.routes_changed(())

    async def _listen(self, pipeline: Pipeline) -> None:
        while True:
            try:
                await self.fib.run(pipeline.routes_changed)
            except* TransientError as group:
                log.warning("routes_not_followed", error=str(group.exceptions[0]))
            await asyncio.sleep(RETRY_S)

    async def _follow_network(self, pipeline: Pipeline, compiler: Compiler) -> None:
        await pipeline.is_complete.wait()  # half a list of nodes would take away routes
        seen = 0
        while True:
            seen, _ = await pipeline.network.newer(seen)
            await asyncio.sleep(GATHER_S)
            seen = pipeline.network.revision
            network = self.remembered = compiler.network()
            for part in self._parts:
                part.want(network)

    async def _follow_vips(self, bgp: BgpPart, pipeline: Pipeline, binding: Binding) -> None:
        binding.on_outcome.append(lambda _owners: self._redecide.set())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_behind(pipeline))
            while True:
                await self._redecide.wait()
                await asyncio.sleep(GATHER_S)
                self._redecide.clear()
                vips = frozenset[IpAddr]()
                if not self.is_draining:
                    vips = answerable(pipeline.served, binding.is_bound)
                bgp.announce(vips)

    async def _follow_behind(self, pipeline: Pipeline) -> None:
        seen = 0
        while True:
            seen, _ = await pipeline.behind.newer(seen)
            self._redecide.set()

    async def _choose_targets(self, compiler: Compiler) -> None:
        """Have a Pod of each area probed where a trusted prefix is all that speaks for it."""
        trust = prefix_set(self._trusted)
        while True:
            areas = {area for area in compiler.wanted_areas() if _is_within(area, trust)}
            self.fib.probe_with(compiler.pods_in(areas))
            await asyncio.sleep(PROBE_TARGETS_S)


def _is_within(area: Cidr, trust: AddressSet) -> bool:
    return all(trust.has(end, ipv6=is_ipv6(area)) for end in ends_of(area))
