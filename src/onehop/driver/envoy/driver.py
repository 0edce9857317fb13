"""Envoy as a data plane: our child process, fed by delta xDS over a Unix socket."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog

from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.driver.capability import Capability, capabilities_of
from onehop.driver.driver import EndpointCount, Receipt, Refusal
from onehop.driver.envoy.admin import EnvoyAdmin
from onehop.driver.envoy.binary import find_envoy
from onehop.driver.envoy.bootstrap import render_bootstrap
from onehop.driver.envoy.cache import ResourceCache
from onehop.driver.envoy.counts import count_members
from onehop.driver.envoy.discard import Discards
from onehop.driver.envoy.links import routers_of
from onehop.driver.envoy.options import EnvoyOptions
from onehop.driver.envoy.process import EnvoyProcess
from onehop.driver.envoy.progress import Progress
from onehop.driver.envoy.proto import as_dict
from onehop.driver.envoy.resource import ResourceKey, ResourceType
from onehop.driver.envoy.server import XdsServer
from onehop.driver.envoy.session import Session
from onehop.driver.envoy.support import SHORTCOMINGS
from onehop.driver.envoy.translator import Translator
from onehop.driver.shortfall import served_without
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.model.listener import Listener
from onehop.model.model import Model, Row, RowKey, Table, key_of, model_of
from onehop.model.pool import Pool
from onehop.plan import Plan, Stage, StageKind

log = structlog.get_logger(__name__)


class EnvoyDriver:
    """One Envoy, from start to stop."""

    name: str = "envoy"
    capabilities: frozenset[Capability] = capabilities_of(SHORTCOMINGS)

    def __init__(self, options: EnvoyOptions) -> None:
        self.options = options
        self.is_beside = False  # Envoy shares its sockets with whoever lets it
        self._cache = ResourceCache()
        self._rows = Translator(self._cache, options.access_log)
        self._applying = asyncio.Lock()
        self._refused: dict[RowKey, Row] = {}
        self._owed: tuple[ResourceKey, ...] = ()
        """Sent, and not waited for to the end: who applies the same again waits for them anew."""
        self._discards = Discards(options.drain_grace_s, self._discard)
        self.admin = EnvoyAdmin(options.admin_socket)
        """Statistics and what Envoy says it serves."""
        self._process = EnvoyProcess(options, find_envoy(), self.admin)
        self._progress = Progress(
            self._cache,
            self._rows,
            self.admin,
            session=lambda: self._server.session,
            last_words=lambda: self._process.last_words,
        )
        self._server = XdsServer(self._new_session, self._progress.note)

    # The Driver protocol

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start the server and Envoy; leaving drains and stops both.

        Raises:
            ConfigError: the state directory cannot be used.
            DriverUnavailable: Envoy does not connect in time.
        """
        _prepare_state(self.options)
        failure: DriverUnavailable | None = None
        async with self._server.listening(self.options.xds_socket), asyncio.TaskGroup() as group:
            supervisor = group.create_task(self._process.supervise())
            discarder = group.create_task(self._discards.run())
            retrier = group.create_task(self._retry_listeners())
            try:
                failure = await self._connect()
                if failure is None:
                    yield
            finally:
                await self._process.stop()
                supervisor.cancel()
                discarder.cancel()
                retrier.cancel()
        if failure is not None:
            raise failure  # out here, because a TaskGroup would wrap it

    async def read_back(self) -> Model:
        """Return what Envoy serves, which is what it was told: it holds nothing across a start."""
        return model_of(row for key, row in self._rows.rows.items() if key not in self._discards)

    async def apply(self, plan: Plan) -> Receipt:
        """Make the plan. Rows that Envoy refuses are in the Receipt, and stay as they were."""
        started = time.monotonic()
        before: dict[RowKey, Row | None] = {}
        changed = [*self._owed, *self._put_pools(plan, before)]
        async with self._applying:
            for stage in plan.stages:
                changed += self._put_stage(stage, plan, before)
                self._owed = tuple(changed)
                await self._progress.settled(stage, changed)
                self._owed, changed = (), []
            refused = self._take_back(before)
        for refusal in refused:
            log.warning("envoy_refused", row=refusal.key, reason=refusal.reason)
        kept = {refusal.key for refusal in refused}
        taken = (row for stage in plan.stages for row in stage.put if key_of(row) not in kept)
        partial = served_without(taken, SHORTCOMINGS)
        ordered = tuple(sorted((*refused, *partial), key=lambda refusal: refusal.key))
        return Receipt(refused=ordered, duration_s=time.monotonic() - started)

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Send a pool's endpoints now; they overtake everything that waits to be sent."""
        pool = RowKey(Table.POOL, members.pool)
        if pool in self._rows.rows and pool not in self._discards:
            self._send(self._rows.put(members))

    async def send_away(self, *, is_leaving: bool) -> None:
        """Have answers say `Connection: close`, or connections GOAWAY, while Envoy is failed.

        https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/operations/draining:
        "the server is manually health check failed via /healthcheck/fail".
        """
        await self.admin.post("/healthcheck/fail" if is_leaving else "/healthcheck/ok")

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        """Return what Envoy has counted for the members of a few pools."""
        rows = (self._rows.rows.get(RowKey(Table.POOL, pool)) for pool in pools)
        return await count_members(self.admin, [row for row in rows if isinstance(row, Pool)])

    # What the status page shows

    def describe(self) -> dict[str, str]:
        """Return what an operator wants to know of this Envoy now."""
        acked = self._progress.last_ack_at
        return {
            "connected": "yes" if self.is_connected else "no",
            "pid": str(self.pid or "-"),
            "restarts": str(self.restarts),
            "last_ack": "-" if acked is None else _utc(acked),
            **{type_.name.lower(): str(count) for type_, count in self.resources.items()},
            "quarantined": str(len(self._cache.quarantined)),
            "sent_bytes": str(self._server.sent_bytes),
        }

    @property
    def is_connected(self) -> bool:
        """Whether Envoy is there and listens to us."""
        return self._progress.is_connected

    @property
    def restarts(self) -> int:
        """How often Envoy died by itself and was started again."""
        return self._process.restarts

    @property
    def pid(self) -> int | None:
        """Envoy's process id."""
        return self._process.pid

    @property
    def last_ack_at(self) -> float | None:
        """When Envoy last answered, in seconds since the epoch."""
        return self._progress.last_ack_at

    @property
    def resources(self) -> Mapping[ResourceType, int]:
        """How many resources of each type Envoy is offered."""
        return {type_: len(self._cache.names(type_)) for type_ in ResourceType}

    @property
    def quarantined(self) -> Mapping[RowKey, str]:
        """The rows Envoy refused, and why."""
        return {
            row: held.reason
            for resource, held in self._cache.quarantined.items()
            if (row := self._rows.row_of(resource)) is not None
        }

    @property
    def names_asked_for(self) -> int:
        """How many server names Envoy holds a certificate for, or is about to."""
        return self._rows.names_asked_for

    # The Movable protocol, with `pid`

    @property
    def stop_grace_s(self) -> float:
        """How long open connections may go on when it is stopped."""
        return self._process.stop_grace_s

    @stop_grace_s.setter
    def stop_grace_s(self, grace_s: float) -> None:
        self._process.stop_grace_s = grace_s

    async def stop_listening(self) -> None:
        """Close the listening sockets; connections go on."""
        await self._process.stop_listening()

    async def stats(self) -> str:
        """Return Envoy's statistics in Prometheus text format."""
        return await self.admin.stats()

    # Stages

    def _put_pools(self, plan: Plan, before: dict[RowKey, Row | None]) -> list[ResourceKey]:
        """Take pools and endpoints in before the first await; see `Driver.apply`."""
        stages = (stage for stage in plan.stages if stage.kind is StageKind.PREPARE)
        return self._put_rows((row for stage in stages for row in stage.put), before)

    def _put_stage(
        self, stage: Stage, plan: Plan, before: dict[RowKey, Row | None]
    ) -> list[ResourceKey]:
        changed: list[ResourceKey] = []
        match stage.kind:
            case StageKind.PREPARE:
                pass  # they are in already
            case StageKind.LISTEN:
                changed += self._put_rows(self._hosts_of_new_routers(stage, plan), before)
                changed += self._put_rows(stage.put, before)
            case StageKind.ROUTE | StageKind.RETIRE:
                changed += self._put_rows(stage.put, before)
            case StageKind.DISCARD:
                self._discards.add(key for key in stage.remove if key in self._rows.rows)
                return changed
        for key in stage.remove:
            changed += self._rows.remove(key)
        changed += self._rows.settle()
        self._send(changed)
        return changed

    def _put_rows(self, rows: Iterable[Row], before: dict[RowKey, Row | None]) -> list[ResourceKey]:
        changed: list[ResourceKey] = []
        for row in rows:
            self._discards.keep(key := key_of(row))
            before.setdefault(key, self._rows.rows.get(key))
            changed += self._rows.put(row)
        self._send(changed)
        return changed

    def _hosts_of_new_routers(self, stage: Stage, plan: Plan) -> list[Row]:
        """Return the hosts and names of the routers that get their first listener in this stage.

        Nobody can see them before it is there; put in after it, they would be missed for a
        moment, and every request answered 404.
        """
        routers = {
            router
            for row in stage.put
            for router in routers_of(row)
            if not self._rows.serves(router)
        }
        later = (row for each in plan.stages if each.kind is StageKind.ROUTE for row in each.put)
        return [row for row in later if getattr(row, "router", None) in routers]

    def _take_back(self, before: dict[RowKey, Row | None]) -> tuple[Refusal, ...]:
        """Say what was refused, and note that Envoy still serves what it had before."""
        refused = [
            Refusal(key, reason) for key, reason in self.quarantined.items() if key in before
        ]
        for key in before:
            self._refused.pop(key, None)
        for refusal in refused:
            row = self._rows.rows.get(refusal.key)
            if row is not None:
                self._refused[refusal.key] = row
            self._rows.revert(refusal.key, before[refusal.key])
        return tuple(sorted(refused, key=lambda refusal: refusal.key))

    async def _retry_listeners(self) -> None:
        """Try refused listeners again, until cancelled: what held their port may have gone."""
        while True:
            await asyncio.sleep(self.options.listener_retry_s)
            if not any(isinstance(row, Listener) for row in self._refused.values()):
                continue
            async with self._applying:
                with contextlib.suppress(DriverUnavailable):
                    await self._retry(
                        [r for r in self._refused.values() if isinstance(r, Listener)]
                    )

    async def _retry(self, listeners: list[Listener]) -> None:
        before: dict[RowKey, Row | None] = {}
        for listener in listeners:
            self._cache.release(ResourceKey(ResourceType.LISTENER, listener.id))
        stage = Stage(kind=StageKind.LISTEN, put=tuple(listeners))
        await self._progress.settled(stage, self._put_rows(listeners, before))
        refused = {refusal.key for refusal in self._take_back(before)}
        for listener in listeners:
            if key_of(listener) not in refused:
                log.info("envoy_took_listener_at_last", listener=listener.id)

    def _discard(self, key: RowKey) -> bool:
        row = self._rows.rows.get(key)
        match row:
            case Pool(id=pool) | PoolEndpoints(pool=pool) if self._rows.is_pointed_at(pool):
                return False
            case _:
                pass
        self._send(self._rows.remove(key))
        return True

    # The stream

    async def _connect(self) -> DriverUnavailable | None:
        try:
            await self._progress.connected(self.options.start_timeout_s)
        except DriverUnavailable as err:
            return err
        return None

    def _new_session(self) -> Session:
        log.info("envoy_connected", restarts=self.restarts)
        return Session(self._cache, self._on_demand)

    def _on_demand(self, key: ResourceKey, wanted: bool) -> None:  # noqa: FBT001  a callback
        self._send(self._rows.demand(key, wanted))

    def _send(self, changed: Iterable[ResourceKey]) -> None:
        session = self._server.session
        if session is not None:
            for key in changed:
                session.touch(key)
            self._server.wake()


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="seconds")


def _prepare_state(options: EnvoyOptions) -> None:
    """Make the directory for the sockets, ours alone, and write the bootstrap into it."""
    longest = len(str(options.admin_socket))
    if longest > 107:  # noqa: PLR2004  unix(7): sun_path holds 108 bytes, one of them NUL
        raise ConfigError(f"state directory {options.state_dir}: its path is too long for a socket")
    try:
        options.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        options.state_dir.chmod(0o700)
        options.admin_socket.unlink(missing_ok=True)
        options.bootstrap_file.write_text(json.dumps(as_dict(render_bootstrap(options)), indent=1))
        options.bootstrap_file.chmod(0o600)
    except OSError as err:
        raise ConfigError(f"state directory {options.state_dir}: {err}") from err
