"""Several hosts: who is waited for, for how long, and who is not."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from onehop.base.errors import TransientError
from onehop.base.latest import Latest
from onehop.control.issuing.fleet import Fleet, FleetTimes
from onehop.control.issuing.host import ANSWERS, HOST_LEASES, beat, this_instance
from onehop.control.issuing.name import host_name
from onehop.kube import Client
from onehop.lab.api import put, read
from onehop.lab.api.faults import Hang, ServerError
from tests.issuing.stage import NAMESPACE, Cluster, until

LEASES = "leases.coordination.k8s.io"
ENTRY = "0123456789abcdef" * 2
FAST = FleetTimes(lease_s=3600, renew_s=0.05, poll_s=0.01, retry_s=0.01, patience_s=30.0)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Host:
    """A host of the load balancer."""

    def __init__(self, name: str, client: Client, times: FleetTimes, clock: Clock) -> None:
        self.name = name
        self.acknowledged = Latest[frozenset[str]]()
        self.fleet = Fleet(
            client, NAMESPACE, name, self.acknowledged, instance="", times=times, clock=clock
        )

    def serves(self, *entries: str) -> None:
        self.acknowledged.put(frozenset(entries))


class Balancer:
    """Hosts that come and go."""

    def __init__(self, client: Client, cluster: Cluster) -> None:
        self.client = client
        self.cluster = cluster
        self.clock = Clock()

    def host(self, name: str, **times: Any) -> Host:
        """Return a host that does not run."""
        fast = {name: getattr(FAST, name) for name in FAST.__struct_fields__}
        return Host(name, self.client, FleetTimes(**fast | times), self.clock)

    @asynccontextmanager
    async def running(self, *hosts: Host) -> AsyncGenerator[None]:
        """Run hosts, each with its Lease in the cluster."""
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            for host in hosts:
                task = group.create_task(host.fleet.run())
                stack.callback(task.cancel)
            await until(lambda: {host_name(h.name, "") for h in hosts} <= set(self.leases))
            yield

    def crashed(self, name: str, *entries: str, lasts_s: int = 40) -> None:
        """Leave the Lease of a host that has been cut down."""
        body = beat(name, entries, lasts_s=lasts_s, wall=datetime.now(UTC))
        metadata = {**body["metadata"], "name": host_name(name, ""), "namespace": NAMESPACE}
        lease = {"apiVersion": HOST_LEASES.api_version, "kind": "Lease", **body}
        put(self.cluster.store, lease | {"metadata": metadata})

    @property
    def leases(self) -> list[str]:
        return self.cluster.names(LEASES)

    def lease(self, name: str) -> dict[str, Any]:
        return read(self.cluster.store, LEASES, NAMESPACE, host_name(name, ""))


@pytest.fixture
def balancer(client: Client, cluster: Cluster) -> Balancer:
    return Balancer(client, cluster)


async def settles(wait: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(30):
        await wait


async def test_an_answer_is_everywhere_when_the_last_host_has_it(balancer: Balancer) -> None:
    """Each host says so at once, and not with its next renewal."""
    one, two, three = (balancer.host(f"lb-{n}", renew_s=600.0) for n in (1, 2, 3))
    async with balancer.running(one, two, three), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(one.fleet.everywhere(ENTRY))
        one.serves(ENTRY)
        two.serves(ENTRY, "another")
        await until(
            lambda: ENTRY[:12] in balancer.lease("lb-2")["metadata"]["annotations"][ANSWERS]
        )
        assert not waiting.done()

        three.serves(ENTRY)
        await settles(waiting)


async def test_a_single_host_confirms_without_its_lease(balancer: Balancer) -> None:
    """Its own data plane is asked directly; its Lease need not even be there."""
    one = balancer.host("lb-1")
    one.serves(ENTRY)

    await one.fleet.everywhere(ENTRY)

    assert balancer.cluster.server.requests.count(verb="list", agent="onehop") == 1
    assert balancer.cluster.writes == 0


async def test_many_who_wait_look_together(balancer: Balancer) -> None:
    """A hundred answers of one order do not list the Leases a hundred times."""
    one = balancer.host("lb-1")
    entries = [f"{number:032x}" for number in range(100)]
    one.serves(*entries)

    async with asyncio.TaskGroup() as tasks:
        for entry in entries:
            tasks.create_task(one.fleet.everywhere(entry))

    assert balancer.cluster.server.requests.count(verb="list", agent="onehop") <= 2


async def test_hosts_that_are_late_are_named(balancer: Balancer) -> None:
    """The operator knows where to look; the others are not blamed."""
    one = balancer.host("lb-1", patience_s=2.0)
    two, three = balancer.host("lb-2"), balancer.host("lb-3")
    async with balancer.running(one, two, three):
        one.serves(ENTRY)
        two.serves(ENTRY)
        await until(
            lambda: ENTRY[:12] in balancer.lease("lb-2")["metadata"]["annotations"][ANSWERS]
        )

        with pytest.raises(TransientError, match=r"from lb-3:") as caught:
            await one.fleet.everywhere(ENTRY)

    assert "lb-2" not in str(caught.value)


async def test_our_own_data_plane_may_be_the_late_one(balancer: Balancer) -> None:
    """It is named like any other."""
    one = balancer.host("lb-1", patience_s=0.05)

    with pytest.raises(TransientError, match=r"from lb-1:"):
        await one.fleet.everywhere(ENTRY)


async def test_a_dead_host_stops_counting_when_its_lease_has_run_out(balancer: Balancer) -> None:
    """Not before, by our own clock; and its Lease is taken away."""
    one = balancer.host("lb-1")
    balancer.crashed("lb-2", lasts_s=40)
    one.serves(ENTRY)
    async with balancer.running(one), asyncio.TaskGroup() as tasks:
        await until(lambda: one.fleet.hosts == ("lb-2",))
        waiting = tasks.create_task(one.fleet.everywhere(ENTRY))
        balancer.clock.now = 39.0
        before = balancer.cluster.server.requests.count(verb="list", agent="onehop")
        await until(
            lambda: balancer.cluster.server.requests.count(verb="list", agent="onehop") > before + 2
        )
        assert not waiting.done()

        balancer.clock.now = 41.0
        await settles(waiting)
        await until(lambda: balancer.leases == [host_name("lb-1", "")])

        assert one.fleet.hosts == ()


async def test_a_host_that_is_silent_but_renews_in_time_counts(balancer: Balancer) -> None:
    """A Lease that changed was seen anew."""
    one = balancer.host("lb-1", patience_s=2.0)
    balancer.crashed("lb-2", lasts_s=40)
    one.serves(ENTRY)
    async with balancer.running(one):
        await until(lambda: one.fleet.hosts == ("lb-2",))
        balancer.clock.now = 39.0
        balancer.crashed("lb-2", lasts_s=40)
        before = balancer.cluster.server.requests.count(verb="list", agent="onehop")
        await until(
            lambda: balancer.cluster.server.requests.count(verb="list", agent="onehop") > before + 1
        )
        balancer.clock.now = 50.0

        with pytest.raises(TransientError, match="lb-2"):
            await one.fleet.everywhere(ENTRY)


async def test_a_host_that_ends_in_good_order_is_not_waited_for(balancer: Balancer) -> None:
    """It takes its Lease along."""
    one, two = balancer.host("lb-1"), balancer.host("lb-2", retry_s=30.0)  # for the last request
    one.serves(ENTRY)
    async with balancer.running(one):
        async with balancer.running(two):
            pass
        assert balancer.leases == [host_name("lb-1", "")]

        async with asyncio.timeout(30):
            await one.fleet.everywhere(ENTRY)


async def test_a_host_that_comes_back_makes_its_lease_anew(balancer: Balancer) -> None:
    """Somebody has buried it while it could not reach the API."""
    one = balancer.host("lb-1")
    async with balancer.running(one):
        balancer.cluster.store.delete(
            balancer.cluster.store.registry.named(LEASES), (NAMESPACE, host_name("lb-1", ""))
        )
        await until(lambda: balancer.leases == [host_name("lb-1", "")])


async def test_a_beat_goes_on_after_trouble_with_the_api(balancer: Balancer) -> None:
    """No fault of the API ends it; nor does a missing right."""
    one = balancer.host("lb-1")
    async with balancer.running(one):
        balancer.cluster.server.faults.arm(ServerError(), LEASES, times=5)
        balancer.cluster.denied |= {("patch", "leases"), ("list", "leases")}
        one.serves(ENTRY)
        before = balancer.cluster.server.requests.count(verb="patch", agent="onehop")
        await until(
            lambda: (
                balancer.cluster.server.requests.count(verb="patch", agent="onehop") > before + 5
            )
        )
        balancer.cluster.denied.clear()

        await until(
            lambda: ENTRY[:12] in balancer.lease("lb-1")["metadata"]["annotations"][ANSWERS]
        )


async def test_who_may_not_list_leases_reads_what_is_missing(balancer: Balancer) -> None:
    """Rather than to wait for nobody."""
    one = balancer.host("lb-1")
    one.serves(ENTRY)
    balancer.cluster.denied.add(("list", "leases"))

    with pytest.raises(TransientError, match=r"no right to list leases\.coordination\.k8s\.io in"):
        await one.fleet.everywhere(ENTRY)


async def test_an_api_that_does_not_answer_is_waited_for_no_longer_than_a_host(
    balancer: Balancer,
) -> None:
    """The wait has one limit, whatever it is for."""
    one = balancer.host("lb-1", patience_s=0.1)
    one.serves(ENTRY)
    balancer.cluster.server.faults.arm(Hang(), LEASES, verbs={"list"})

    with pytest.raises(TransientError, match="no answer after"):
        await one.fleet.everywhere(ENTRY)


async def test_two_onehops_on_one_host_wait_for_each_other(
    balancer: Balancer, client: Client
) -> None:
    """They have one name and two state directories; a restart changes neither."""
    first, second, restarted = (
        Fleet(
            client,
            NAMESPACE,
            "lb-1",
            Latest[frozenset[str]](),
            instance=this_instance(Path(state)),
            times=FAST,
        )
        for state in ("/var/lib/onehop", "/var/lib/onehop-b", "/var/lib/onehop")
    )
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(fleet.run()) for fleet in (first, second)]
        await until(lambda: first.hosts == second.hosts == ("lb-1",))
        leases = balancer.leases
        running.append(tasks.create_task(restarted.run()))
        await until(lambda: restarted.hosts == ("lb-1",))

        assert balancer.leases == leases
        assert len(leases) == 2
        for task in running:
            task.cancel()


async def test_another_programs_leases_are_not_hosts(balancer: Balancer) -> None:
    """The Lease of the one writer lives in the same namespace."""
    metadata = {"name": "onehop", "namespace": NAMESPACE}
    spec = {"holderIdentity": "lb-9", "leaseDurationSeconds": 15}
    lease = {"apiVersion": HOST_LEASES.api_version, "kind": "Lease", "metadata": metadata}
    put(balancer.cluster.store, lease | {"spec": spec})
    one = balancer.host("lb-1")
    one.serves(ENTRY)

    async with asyncio.timeout(30):
        await one.fleet.everywhere(ENTRY)
