"""The whole program: everything that runs, and how it ends.

One TaskGroup holds all tasks. What the world does wrong each of them deals with by itself; what
raises here is our own fault or the operator's, and ends the program with everybody told.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Final

import msgspec
import structlog

import onehop
from onehop.base.errors import TransientError
from onehop.compile.compiler import Compiler
from onehop.control.abilities import lacks_of
from onehop.control.binding import Binding
from onehop.control.certificates.live import LiveCertificates
from onehop.control.certificates.report import CertificateList, HostStory, Renewal
from onehop.control.config import Config
from onehop.control.configfile import compile_options, state_directory
from onehop.control.explain.explanation import Answer
from onehop.control.explain.live import explain_live, live_facts
from onehop.control.fromunit import FromUnit
from onehop.control.garbage import collect_after
from onehop.control.gate import Budget, Gate
from onehop.control.issuing.port import Issuing, NoIssuing
from onehop.control.lag import Lag
from onehop.control.layer4 import sweep_layer4
from onehop.control.lock import hold
from onehop.control.memory import Memory, Remembered
from onehop.control.overview import Snapshot, Switched
from onehop.control.parting import Parting
from onehop.control.pipeline import Pipeline
from onehop.control.planes import make_binder, make_networking
from onehop.control.reach import Reach
from onehop.control.refusals import Refusals
from onehop.control.scrape import Gauges, Scrape
from onehop.control.served import Served
from onehop.control.sources import Origin, open_source, source_name
from onehop.control.stapling.stapling import Stapling
from onehop.control.stapling.trust import Trust, system_roots
from onehop.control.switching import Switching, Units
from onehop.control.tounit import ToUnit
from onehop.control.unread import secret_of
from onehop.control.vacating import vacate
from onehop.control.writeback import ClusterWriteBack, NoWriteBack, WriteBack
from onehop.driver import Reloads
from onehop.driver.driver import Connections, drifts_of
from onehop.driver.moving import Moved
from onehop.driver.remote import Remote
from onehop.model.certificate import Certificate, is_challenge
from onehop.model.ident import ObjectRef
from onehop.model.model import Table
from onehop.model.problem import Problem
from onehop.model.staple import Inquiry
from onehop.telemetry.metrics import Metrics

HOUR_S: Final = 3600.0
SAVE_AFTER_S: Final = 1.0
SAVE_AT_MOST_EVERY_S: Final = 10.0

log = structlog.get_logger(__name__)


class Program:
    """A load balancer that runs; what its faces ask is answered from here (`Overview`)."""

    def __init__(self, config: Config, origin: Origin, switching: Switching) -> None:
        self._config = config
        self._origin = origin
        self._switching = switching
        self._driver = driver = switching.driver
        self._memory = Memory(state_directory(config), source_name(config))
        self._metrics = Metrics(version=onehop.__version__, driver=driver.name)
        budget = config.safety.deletion_budget
        self._gate = Gate(Budget(budget.percent, budget.rows))
        self._binding = Binding(make_binder(config))
        options = msgspec.structs.replace(compile_options(config), proves_reach=True)
        self._compiler = Compiler(options)
        self._compiler.set_lacks(lacks_of(driver.name))
        self._networking = make_networking(config, self._compiler)
        responders = config.tls.ocsp_responders
        self._stapling = Stapling(
            self._compiler, Trust(responders, system_roots), on_revoked=self._replace_revoked
        )
        self._reach = Reach(self._compiler, self._networking.fib)
        self._served = Served()
        self._refusals = Refusals(lambda: driver.name)
        self._write_back = self._make_write_back()
        driver.may_write = self._write_back.is_leader
        self._pipeline = Pipeline(
            compiler=self._compiler,
            reach=self._reach,
            source=origin.source,
            driver=driver,
            binding=self._binding,
            gate=self._gate,
            served=self._served,
            refusals=self._refusals,
            write_back=self._write_back,
            metrics=self._metrics,
        )
        switching.on_moved = self._moved
        self._parting = Parting(state_directory(config), driver.may_write, self._served.rows)
        switching.units = Units(
            ToUnit(driver, self._served.rows, self._binding),
            FromUnit(driver, self._served.rows, self._binding),
            self._parting,
        )
        driver.on_news = self._pipeline.data_plane_news
        self._issuing = self._make_issuing()
        self._certificates = LiveCertificates(
            compiler=self._compiler,
            served=self._served,
            write_back=self._write_back,
            issuing=self._issuing,
            problems=self.problems,
        )
        self._lag = Lag()
        self._metrics.registry.register(
            Scrape(self._gauges, origin.reflectors, self._write_back.metrics)
        )

    def _make_write_back(self) -> WriteBack:
        client = self._origin.client
        if client is None:
            return NoWriteBack()
        return ClusterWriteBack(
            client,
            self._config,
            compiler=self._compiler,
            served=self._served,
            binding=self._binding,
            refusals=self._refusals,
            api_version=self._origin.api_version,
        )

    def _make_issuing(self) -> Issuing:
        if not self._config.acme.issuers:
            return NoIssuing()
        # Only if asked for: the engine brings a DNS client and more.
        from onehop.control.issuing.make import make_issuing  # noqa: PLC0415

        return make_issuing(
            self._config, self._origin, self._compiler, self._write_back, self._pipeline
        )

    def _replace_revoked(self, inquiry: Inquiry) -> None:
        """Order another certificate in place of one that its CA has revoked, if it is ours."""
        for name, shown in self._served.certificates().items():
            if shown.chain_pem == inquiry.chain_pem:
                self._issuing.renew(secret_of(name))

    async def run(self) -> None:
        """Serve until cancelled."""
        self._compiler.set_hour(int(time.time()))
        remembered = self._memory.load()
        self._origin.source.expect(_expected(remembered))
        async with self._networking.fib, asyncio.TaskGroup() as reading:
            # The lists are read while the data plane starts.
            reading.create_task(collect_after(self._pipeline.is_served))
            reading.create_task(self._origin.source.run(self._pipeline))
            async with self._driver.running():
                await self._serve(remembered)

    async def _serve(self, remembered: Remembered) -> None:
        async with asyncio.TaskGroup() as tasks:
            await self._pipeline.restore(remembered)
            self._stapling.restore(remembered.rows)
            self._networking.restore(remembered.network)
            tasks.create_task(self._pipeline.run())
            tasks.create_task(self._binding.run())
            tasks.create_task(self._stapling.run(self._pipeline))
            tasks.create_task(
                self._networking.run(self._pipeline, self._reach, self._compiler, self._binding)
            )
            tasks.create_task(self._write_back.run())
            tasks.create_task(self._issuing.run(self._pipeline))
            tasks.create_task(self._save())
            tasks.create_task(self._tell_the_hour())
            tasks.create_task(sweep_layer4(self._config, self._pipeline.is_served))
            tasks.create_task(vacate(self._config, self._pipeline.is_served))
            tasks.create_task(self._parting.run(self._config, self._pipeline.is_served))
            tasks.create_task(self._lag.run())
            tasks.create_task(self._switching.run())

    async def wait_ready(self) -> None:
        """Wait until the first plan from the source is acknowledged."""
        await self._pipeline.is_served.wait()

    # -- Overview ---------------------------------------------------------------------------------

    def is_ready(self) -> bool:
        """Tell whether all lists have been read and the data plane has acknowledged the outcome."""
        return self._pipeline.is_served.is_set()

    def problems(self) -> tuple[Problem, ...]:
        """Return everything that is wrong: with objects, the source, the addresses."""
        return (
            *self._pipeline.source_problems,
            *self._binding.problems(),
            *self._networking.problems(),
            *self._refusals.problems(),
            *self._driver.problems(),
            *self._parting.problems(),
            *self._write_back.problems(),
            *self._issuing.problems(),
            *self._compiler.problems(),
        )

    def snapshot(self) -> Snapshot:
        """Return the present state."""
        return Snapshot(
            version=onehop.__version__,
            driver=self._driver.name,
            source=self._origin.name,
            is_synced=self._pipeline.is_complete.is_set(),
            is_ready=self.is_ready(),
            is_leader=self._write_back.is_leader(),
            served=_named(self._served.counts),
            withheld=_named(self._gate.withheld),
            problems=self.problems(),
            data_plane=self._driver.describe(),
            switch=self._switching.under_way,
            beside=self._switching.running,
            network=self._networking.snapshot(self._served),
            certificates=self._certificates.summary(),
        )

    def certificates(self) -> CertificateList:
        """Return how each certificate is doing."""
        return self._certificates.list()

    def why(self, host: str) -> HostStory:
        """Return how a host comes to its certificate, or why it does not."""
        return self._certificates.why(host)

    def renew(self, names: tuple[str, ...], *, spares_valid: bool) -> Renewal:
        """Get new certificates now; see `control.certificates.renewal`."""
        return self._certificates.renew(names, spares_valid=spares_valid)

    async def explain(self, target: str) -> Answer:
        """Return the way to a URL, a Service or an Ingress."""
        facts = live_facts(
            config=self._config,
            compiler=self._compiler,
            served=self._served,
            binding=self._binding,
            networking=self._networking,
            problems=self.problems(),
            states=self._issuing.states(),
        )
        return await explain_live(facts, target, self._driver.serving)

    def render_metrics(self) -> bytes:
        """Return all series in Prometheus' text format."""
        return self._metrics.render()

    def _gauges(self) -> Gauges:
        serving = self._driver.serving
        return Gauges(
            is_synced=self._pipeline.is_complete.is_set(),
            is_ready=self.is_ready(),
            is_leader=self._write_back.is_leader(),
            served=_named(self._served.counts),
            withheld=_named(self._gate.withheld),
            refused=_named(Counter(key.table for key in self._refusals.rows())),
            problems=Counter(problem.reason for problem in self.problems()),
            loop_lag_s=self._lag.worst_s,
            network=self._networking.snapshot(self._served),
            staples=self._stapling.counts(),
            reloads=serving.reload_reasons if isinstance(serving, Reloads) else {},
            drifts=drifts_of(serving),
            connections=serving.connections if isinstance(serving, Connections) else {},
            switches=self._switching.outcomes,
            planes=Counter((self._driver.name, *self._switching.running)),
            remote=serving.remote_counts() if isinstance(serving, Remote) else None,
            issuing=Counter(state.phase for state in self._issuing.states().values()),
            certificates={
                name: shown.not_after
                for name, shown in self._served.certificates().items()
                if not is_challenge(name)
            },
        )

    async def drain(self, *, is_draining: bool) -> None:
        """Send clients to other hosts, and then withdraw all VIPs; or take part again."""
        try:
            await self._driver.send_away(is_leaving=is_draining)
        except TransientError as err:
            log.warning("clients_not_sent_away", error=str(err))
        if is_draining:
            log.info("leaving", withdrawing_in_s=self._config.bgp.drain_s)
            await asyncio.sleep(self._config.bgp.drain_s)
            await self._networking.withdraw()
        else:
            self._networking.drain(is_draining=False)

    async def leave(self) -> None:
        """Drain, where there are other hosts that clients can be sent to."""
        bgp = self._networking.bgp
        if bgp is not None and bgp.has_listeners:
            await self.drain(is_draining=True)

    async def switch(self, *, force: bool) -> Switched:
        """Serve by the data plane that the file names now."""
        return await self._switching.switch(force=force)

    def reload(self) -> None:
        """Look at the file, in a moment; what comes of it is logged."""
        self._switching.ask()

    def _moved(self, moved: Moved) -> None:
        self._metrics.runs(onehop.__version__, self._driver.name)
        self._compiler.set_lacks(lacks_of(self._driver.name))
        self._pipeline.moved(moved)
        self._pipeline.look_again()

    def confirm(self) -> int:
        """Let go what the deletion gate and the data plane keep back; return how many that are."""
        return self._pipeline.confirm() + self._driver.confirm() + self._parting.confirm()

    # -- small tasks ------------------------------------------------------------------------------

    async def _save(self) -> None:
        """Keep what is served on disk, a moment after it changed, and when we go."""
        seen = saved = 0
        try:
            while True:
                seen, _ = await self._pipeline.applied.newer(seen)
                await asyncio.sleep(SAVE_AFTER_S)
                seen = self._pipeline.applied.revision
                await self._save_now()
                saved = seen
                await asyncio.sleep(SAVE_AT_MOST_EVERY_S - SAVE_AFTER_S)
        finally:
            if self._pipeline.applied.revision != saved:
                await self._save_now()

    async def _save_now(self) -> None:
        known = tuple(self._origin.source.known())
        network = self._networking.remembered
        remembered = Remembered(self._served.rows(), self._compiler.held(), known, network)
        try:
            await self._memory.save(remembered)
        except OSError as err:
            log.error("last_known_good_not_saved", error=str(err))  # noqa: TRY400  the world's

    async def _tell_the_hour(self) -> None:
        while True:
            await asyncio.sleep(HOUR_S - time.time() % HOUR_S)
            self._compiler.set_hour(int(time.time()))
            self._pipeline.look_again()


@contextlib.asynccontextmanager
async def open_program(
    config: Config, reread: Callable[[], Config] | None = None
) -> AsyncGenerator[Program]:
    """Make a program of a configuration, ready to `run`.

    Args:
        config: as it was read.
        reread: reads it again; without it, it stays as it is.

    Raises:
        ConfigError: something in the configuration cannot work on this machine.
    """
    with hold(state_directory(config)):
        async with open_source(config) as origin:
            yield Program(config, origin, Switching(config, reread or (lambda: config)))


def _expected(remembered: Remembered) -> frozenset[ObjectRef]:
    """Return what the source shall not believe to be gone without doubt."""
    certificates = (row.id for row in remembered.rows if isinstance(row, Certificate))
    secrets = (secret_of(name) for name in certificates if not is_challenge(name))
    return frozenset((*remembered.known, *secrets))


def _named(counts: Counter[Table]) -> dict[str, int]:
    return {str(table): count for table, count in counts.items() if count}
