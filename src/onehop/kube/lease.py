"""Who of several onehops does what must be done once: leader election on a Lease.

Leadership is a promise about time, so it is decided by our own clock at the moment of asking: a
leader that was stopped (SIGSTOP, a paused VM) for too long wakes up as no leader, before it has
talked to anybody. It stops after `renew_deadline_s`, others may begin after `lease_s`, and the time
in between is the room for a write that is under way.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from math import inf
from random import random
from time import CLOCK_BOOTTIME, clock_gettime
from typing import Any, Final, Protocol

import msgspec

from onehop.base.errors import ConfigError, KubeConflict, KubeNotFound, OnehopError
from onehop.base.latest import Latest
from onehop.kube.client import Change
from onehop.kube.collection import Collection
from onehop.kube.lease_record import LEASES, Lease, LeaseSpec, Observed, observe, released, taken

NEVER: Final = -inf
SHORTEST_PAUSE_S: Final = 0.05


class ElectionTimes(msgspec.Struct, frozen=True, kw_only=True):
    """client-go's defaults.

    Attributes:
        lease_s: how long others wait after the last renewal they saw.
        renew_deadline_s: how long we are leader after the last renewal that succeeded.
        retry_s: between two attempts.
    """

    lease_s: int = 15
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0

    def __post_init__(self) -> None:
        if not self.retry_s < self.renew_deadline_s < self.lease_s:
            raise ConfigError(
                "leader election needs retry < renew deadline < lease duration, got "
                f"{self.retry_s:g}, {self.renew_deadline_s:g} and {self.lease_s} seconds"
            )


class Leadership(msgspec.Struct, frozen=True):
    """Who leads, as far as this process knows.

    Attributes:
        holder: an identity; empty when nobody does or nothing is known yet.
        term: counts holders; a write may carry it, so that an older leader's is recognised.
        fault: what went wrong at the last attempt; empty when nothing did.
    """

    is_leader: bool
    holder: str = ""
    term: int = 0
    fault: str = ""


class LeaseApi(Protocol):
    """What of `kube.Client` is needed."""

    async def get(self, collection: Collection[Lease], namespace: str, name: str) -> Lease:
        """Return the Lease."""
        ...

    async def create(
        self, collection: Collection[Lease], namespace: str, body: dict[str, Any]
    ) -> Lease:
        """Create the Lease."""
        ...

    async def merge_patch(
        self, collection: Collection[Lease], namespace: str, name: str, change: Change
    ) -> Lease:
        """Change the Lease if it is still at the change's resourceVersion."""
        ...


class Candidacy(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to lead what.

    Attributes:
        identity: unique among all candidates, and not used again by a later process.
    """

    namespace: str
    name: str
    identity: str
    times: ElectionTimes = ElectionTimes()


def boot_time() -> float:
    """Return seconds that go on while the machine sleeps, which CLOCK_MONOTONIC's do not."""
    return clock_gettime(CLOCK_BOOTTIME)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Timekeeping(msgspec.Struct, frozen=True, kw_only=True):
    """Where an election gets its time and its chance from.

    Attributes:
        clock: decides who leads; it must go on while we are stopped.
        wall: written into the record for people to read.
        random: in [0, 1); makes candidates that started together drift apart.
    """

    clock: Callable[[], float] = boot_time
    wall: Callable[[], datetime] = _utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random


REAL_TIME: Final = Timekeeping()


class Election:
    """Stands for election for as long as `run` runs.

    Attributes:
        changes: the newest state of affairs; `is_leader` is what counts before a write.
    """

    def __init__(self, api: LeaseApi, candidacy: Candidacy, time: Timekeeping = REAL_TIME) -> None:
        self.changes: Latest[Leadership] = Latest()
        self._api = api
        self._candidacy = candidacy
        self._times = candidacy.times
        self._clock = time.clock
        self._wall = time.wall
        self._sleep = time.sleep
        self._random = time.random
        self._observed: Observed | None = None
        self._mine: Lease | None = None
        self._leads_until = NEVER
        self._tell("")

    @property
    def is_leader(self) -> bool:
        """Whether we lead now. Ask before each write, not once for many."""
        return self._clock() < self._leads_until

    async def run(self) -> None:
        """Seek the lease, keep it, seek it again; give it up when cancelled."""
        try:
            while True:
                fault = await self._attempt()
                self._tell(fault)
                await self._sleep(self._pause_s())
        finally:
            await self._release()

    async def _attempt(self) -> str:
        """Try once to take or to renew the lease; return what went wrong, if something did.

        A renewal that fails ends nothing: the clock does, unless the next one succeeds.
        """
        try:
            async with asyncio.timeout(self._attempt_s()):
                await self._take_or_renew()
        except (OnehopError, TimeoutError) as error:
            # A write may have arrived although its answer did not: read before the next one.
            self._mine = None
            return str(error) or "no answer in time"
        return ""

    async def _take_or_renew(self) -> None:
        if self.is_leader and self._mine is not None:
            try:
                return await self._write(self._mine)
            except KubeConflict:
                self._mine = None  # somebody wrote to it: perhaps a new holder, so look at once
        try:
            lease = await self._api.get(LEASES, self._candidacy.namespace, self._candidacy.name)
        except KubeNotFound:
            return await self._create()
        self._observed = observe(lease, self._observed, self._clock())
        if self._observed.is_free_for(self._candidacy.identity, self._clock()):
            return await self._write(lease)
        self._leads_until = NEVER
        return None

    async def _create(self) -> None:
        started = self._clock()
        spec = taken(self._candidacy.identity, self._times.lease_s, None, self._wall())
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._candidacy.name},
            "spec": spec,
        }
        self._won(started, await self._api.create(LEASES, self._candidacy.namespace, body))

    async def _write(self, lease: Lease) -> None:
        started = self._clock()
        spec = taken(self._candidacy.identity, self._times.lease_s, lease.spec, self._wall())
        self._won(started, await self._patch(lease, spec))

    async def _patch(self, lease: Lease, spec: dict[str, Any]) -> Lease:
        change = Change(patch={"spec": spec}, resource_version=lease.metadata.resource_version)
        return await self._api.merge_patch(
            LEASES, self._candidacy.namespace, self._candidacy.name, change
        )

    def _won(self, started: float, lease: Lease) -> None:
        """Count our time from before the request: others count theirs from after it."""
        self._mine = lease
        self._observed = observe(lease, self._observed, self._clock())
        self._leads_until = started + self._times.renew_deadline_s

    async def _release(self) -> None:
        mine, was_leader = self._mine, self.is_leader
        self._leads_until = NEVER
        self._tell("")
        if mine is None or not was_leader:
            return
        try:
            async with asyncio.timeout(self._times.retry_s):
                await self._patch(mine, released(self._wall()))
        except (OnehopError, TimeoutError):
            return  # it runs out by itself

    def _attempt_s(self) -> float:
        """Return how long an attempt may take: there should be time for another one."""
        longest_s = self._times.renew_deadline_s / 2
        left_s = self._leads_until - self._clock()
        return min(left_s, longest_s) if left_s > 0 else longest_s

    def _pause_s(self) -> float:
        """Return the time to the next attempt, or to the end of our leadership if that is sooner.

        The spread is client-go's (JitterFactor 1.2): candidates that started together drift apart.
        """
        pause_s = self._times.retry_s * (1.0 + 0.2 * self._random())
        left_s = self._leads_until - self._clock()
        return min(pause_s, max(left_s, SHORTEST_PAUSE_S)) if left_s > 0 else pause_s

    def _tell(self, fault: str) -> None:
        spec = self._observed.lease.spec if self._observed is not None else LeaseSpec()
        now = Leadership(
            is_leader=self.is_leader,
            holder=spec.holder_identity or "",
            term=spec.lease_transitions or 0,
            fault=fault,
        )
        if self.changes.peek() != now:
            self.changes.put(now)
