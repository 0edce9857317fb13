"""The hosts of the load balancer: who is alive, and what each of them answers.

A CA looks from several places at once, and routers spread its looks over all hosts. So an answer
counts as given when every living host has it in its data plane; each says so in a Lease.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog

from onehop.base.errors import (
    KubeConflict,
    KubeNotFound,
    OnehopError,
    RejectedError,
    TransientError,
)
from onehop.base.latest import Latest
from onehop.control.issuing.confirmation import PATIENCE_S, Here
from onehop.control.issuing.fault import plain_faults
from onehop.control.issuing.host import (
    COMPONENT,
    HOST_LEASES,
    HostLease,
    Sighting,
    beat,
    sight,
)
from onehop.control.issuing.mark import selector_of
from onehop.control.issuing.name import host_name
from onehop.kube import Change, Client, Right, Selection
from onehop.kube.lease import boot_time

log = structlog.get_logger(__name__)


class FleetTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How often hosts speak, and how long they are waited for.

    Attributes:
        lease_s: a host that was silent for so long is dead.
        renew_s: between two renewals.
        poll_s: between two looks at the others, while somebody waits for them.
        patience_s: how long an answer may take to reach all hosts.
    """

    lease_s: int = 40
    renew_s: float = 10.0
    poll_s: float = 0.2
    retry_s: float = 1.0
    patience_s: float = PATIENCE_S


USUAL: Final = FleetTimes()


class Fleet:
    """Implements `Confirmation` by Leases `onehop-host-HOSTNAME-DIGEST`.

    Args:
        client: of the cluster.
        namespace: where the Leases are.
        hostname: of this host, for people.
        acknowledged: the entries that our data plane serves now.
        instance: tells us from any other onehop, but not from ourselves after a restart
            (`this_instance`).
        times: see there.
        clock: seconds; it must go on while we are stopped.
    """

    def __init__(  # noqa: PLR0913  who we are, and knobs by name
        self,
        client: Client,
        namespace: str,
        hostname: str,
        acknowledged: Latest[frozenset[str]],
        *,
        instance: str,
        times: FleetTimes = USUAL,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._hostname = hostname
        self._name = host_name(hostname, instance)
        self._here = Here(acknowledged)
        self._times = times
        self._clock = clock
        self._sightings: dict[str, Sighting] = {}
        self._looking = asyncio.Lock()
        self._looks_begun = 0
        self._looks_done = 0

    @property
    def hosts(self) -> tuple[str, ...]:
        """The other hosts that were alive when last looked at, sorted."""
        now = self._clock()
        alive = (each.lease for each in self._sightings.values() if not each.has_run_out(now))
        return tuple(sorted(lease.hostname for lease in alive))

    async def run(self) -> None:
        """Renew our Lease, at once when our data plane has other answers; look at the others."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._beat())
                tasks.create_task(self._watch_over())
        finally:
            await self._leave()

    async def everywhere(self, entry: str) -> None:
        """Return when this host, and every other that lives, gives the answer.

        Our own data plane is asked directly, not by way of the Lease.
        """
        late: tuple[str, ...] = (self._hostname,)
        try:
            async with asyncio.timeout(self._times.patience_s):
                await self._look()  # while the answer is on its way to our own data plane
                await self._here.until(entry)
                if self._late(entry):
                    await self._look()
                while late := self._late(entry):
                    await asyncio.sleep(self._times.poll_s)
                    await self._look()
        except TimeoutError as err:
            names = ", ".join(late)
            said = f"no answer after {self._times.patience_s:g} s from {names}: is onehop stuck?"
            raise TransientError(said) from err

    def _late(self, entry: str) -> tuple[str, ...]:
        """Return who lives and did not give the answer when we looked last."""
        now = self._clock()
        leases = (each.lease for each in self._sightings.values() if not each.has_run_out(now))
        return tuple(sorted(lease.hostname for lease in leases if not lease.has(entry)))

    async def _look(self) -> None:
        """Look at the other hosts: by a look that began after we asked, one for all who wait."""
        before = self._looks_begun
        async with self._looking:
            if self._looks_done > before:
                return
            self._looks_begun += 1
            number = self._looks_begun
            began = self._clock()
            found = {
                lease.metadata.name: sight(lease, self._sightings.get(lease.metadata.name), began)
                for lease in await self._list()
                if lease.metadata.name != self._name
            }
            self._sightings, self._looks_done = found, number

    async def _list(self) -> tuple[HostLease, ...]:
        found: list[HostLease] = []
        selection = Selection(namespace=self._namespace, labels=selector_of(COMPONENT))
        with plain_faults(self._right("list")):
            async with contextlib.aclosing(self._client.pages(HOST_LEASES, selection)) as pages:
                async for page in pages:
                    found += (msgspec.json.decode(raw, type=HostLease) for raw in page.items)
        return tuple(found)

    async def _watch_over(self) -> None:
        """Know who is alive before somebody asks, and take away what the dead have left."""
        while True:
            try:
                await self._look()
                await self._bury()
            except OnehopError as err:
                log.warning("hosts_unknown", error=str(err))
            await asyncio.sleep(self._times.renew_s)

    async def _bury(self) -> None:
        """Delete Leases that have run out, as they were seen; a host that comes back makes one."""
        now = self._clock()
        for sighting in tuple(self._sightings.values()):
            if not sighting.has_run_out(now):
                continue
            meta = sighting.lease.metadata
            with (
                plain_faults(self._right("delete")),
                contextlib.suppress(KubeNotFound, KubeConflict),
            ):
                await self._client.delete(
                    HOST_LEASES,
                    self._namespace,
                    meta.name,
                    resource_version=meta.resource_version,
                )
                log.info("host_gone", host=sighting.lease.hostname)

    async def _beat(self) -> None:
        revision = 0
        while True:
            revision = self._here.acknowledged.revision
            try:
                await self._say()
            except OnehopError as err:
                log.warning("host_lease_not_renewed", error=str(err))
                await asyncio.sleep(self._times.retry_s)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._times.renew_s):
                    await self._here.acknowledged.newer(revision)

    async def _say(self) -> None:
        """Write our Lease: no other host does, so nothing can be lost by writing over it."""
        entries = self._here.acknowledged.peek() or frozenset()
        body = beat(self._hostname, entries, lasts_s=self._times.lease_s, wall=datetime.now(UTC))
        change = Change(patch=body)
        try:
            with plain_faults(self._right("patch")):
                try:
                    await self._client.merge_patch(HOST_LEASES, self._namespace, self._name, change)
                except KubeNotFound:
                    body["metadata"]["name"] = self._name
                    new = {"apiVersion": HOST_LEASES.api_version, "kind": "Lease", **body}
                    await self._client.create(HOST_LEASES, self._namespace, new)
        except KubeConflict as err:
            raise TransientError(str(err)) from err

    async def _leave(self) -> None:
        """Take our Lease away, so that nobody has to wait for it to run out."""
        with contextlib.suppress(TransientError, RejectedError, TimeoutError):
            async with asyncio.timeout(self._times.retry_s):
                await self._client.delete(HOST_LEASES, self._namespace, self._name)

    def _right(self, verb: str) -> Right:
        return Right(
            verb=verb, group="coordination.k8s.io", resource="leases", namespace=self._namespace
        )
