"""`onehop switch` to a vTM (an imitated one), and back, on a host with an interface for them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from onehop.lab.pod import serve_http
from onehop.lab.vtm import Behaviour, VtmCluster, serve_vtm
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY
from onehop.lab.vtm.cluster import Write
from tests.e2e.loopback import POD
from tests.e2e.objects import HOST, Json, endpoints, ingress, ingress_class, service
from tests.e2e.program import Onehop, onehop, running
from tests.e2e.waiting import until
from tests.moving.world import Site, load
from tests.net.namespaces import Machine, machines

pytestmark = [pytest.mark.root, pytest.mark.haproxy, pytest.mark.envoy, pytest.mark.slow]

VIP = "192.0.2.100"
SWITCH_S = 60.0
GROUPS = "traffic_ip_groups"


@pytest.fixture
def link() -> Iterator[list[Machine]]:
    with machines("host", "neighbour") as made:
        yield made


@pytest.fixture
def host(link: list[Machine]) -> Machine:
    return link[0]


@pytest.fixture
def neighbour(link: list[Machine]) -> Machine:
    return link[1]


class Ground(NamedTuple):
    """A shop in a folder, a unit, and the file before the switch and after it."""

    machine: Machine
    folder: Path
    cluster: VtmCluster
    before: Json
    after: Json

    def write(self, program: Onehop, file: Json) -> None:
        """Have the program's file say something else."""
        program.config_file.write_text(yaml.safe_dump(file | {"state": str(program.state)}))

    def is_here(self) -> bool:
        """Tell whether the address is on this host's interface."""
        (link,) = self.machine.show("address", "show", "dev", "eth0")
        return VIP in {entry["local"] for entry in link["addr_info"]}

    def is_raised(self) -> bool:
        """Tell whether some traffic manager has the address."""
        for member in self.cluster.members:
            member.settle()
        return any(each.traffic_ips().get(VIP) == "raised" for each in self.cluster.members)

    def has_only_the_unit(self) -> bool:
        """Tell whether the address has arrived."""
        return self.is_raised() and not self.is_here()

    def is_only_here(self) -> bool:
        """Tell whether the address has come back."""
        return self.is_here() and not self.is_raised()


@contextlib.asynccontextmanager
async def standing(
    machine: Machine,
    folder: Path,
    driver: str,
    behaviour: Behaviour = ONE_WAY,
    *,
    pod: str = POD,
) -> AsyncGenerator[Ground]:
    """Run the Pod and the unit; return the files."""
    manifests = folder / "manifests"
    manifests.mkdir()
    objects = (ingress_class(), service(), endpoints("web", pod), ingress())
    (manifests / "shop.yaml").write_text(yaml.safe_dump_all(objects))
    cluster = VtmCluster(behaviour)
    password = folder / "password"
    password.write_text(cluster.password)
    async with serve_http("web", "web-1", pod, 8080), serve_vtm(cluster) as urls:
        vtm = {"urls": list(urls), "passwordFile": str(password)}
        before: dict[str, Any] = {
            "cluster": {"name": "prod", "manifests": str(manifests), "allowLoopback": pod == POD},
            "addresses": {"shared": VIP, "bind": {"interface": "eth0"}},
            "path": "pod",
            "dataPlane": {"driver": driver, "envoy": {"concurrency": 1}, "vtm": vtm},
            "listen": {"metrics": "127.0.0.1:9080"},
        }
        after = before | {
            "addresses": {"shared": VIP, "bind": {"none": True}},
            "dataPlane": before["dataPlane"] | {"driver": "vtm"},
        }
        yield Ground(machine, folder, cluster, before, after)


@pytest.mark.parametrize(
    ("driver", "behaviour"),
    [("envoy", ONE_WAY), ("haproxy", THE_OTHER_WAY)],
    ids=["envoy-one", "haproxy-other"],
)
def test_at_every_moment_somebody_has_the_address(
    host: Machine, temporary: Path, driver: str, behaviour: Behaviour
) -> None:
    """Requests are answered here until the unit has the address; then it leaves the interface.

    And back: it is here, silently, before the unit lets go of it, and nobody asks in vain.
    """
    nobody: list[str] = []
    overlap: list[bool] = []

    async def main() -> None:
        async with (
            standing(host, temporary, driver, behaviour) as site,
            running(temporary / "a", site.before, waits=False) as program,
        ):
            await until(program.is_ready, "it is ready", timeout_s=SWITCH_S)
            await until(site.is_here, "the address is bound", timeout_s=SWITCH_S)

            def wrote(write: Write) -> None:
                if write.collection == GROUPS:
                    overlap.append(site.is_here())

            async def watch() -> None:
                while True:
                    if not site.is_here() and not site.is_raised():
                        nobody.append("at this moment")
                    await asyncio.sleep(0.05)

            site.cluster.on_write = wrote
            site.write(program, site.after)
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watch())
                async with load(Site(VIP, 80, HOST)) as clients:
                    await clients.more(10)
                    switching = tasks.create_task(
                        onehop("switch", "--config", str(program.config_file))
                    )
                    await until(lambda: overlap != [], "it is written", timeout_s=SWITCH_S)
                assert clients.failures == {}
                done = await switching
                assert (done.code, done.out) == (0, "vtm serves\n"), done
                assert site.has_only_the_unit()
                snapshot = await program.snapshot()
                assert (snapshot.driver, snapshot.problems, snapshot.beside) == ("vtm", (), {})
                assert not [each for each in program.state.iterdir() if each.is_dir()]
                assert site.cluster.members[0].errors() == []

                site.write(program, site.before)
                back = await onehop("switch", "--config", str(program.config_file))
                assert (back.code, back.out) == (0, f"{driver} serves\n"), back
                assert site.is_only_here()
                async with load(Site(VIP, 80, HOST)) as clients:
                    await clients.more(10)
                watching.cancel()
            assert clients.failures == {}
            snapshot = await program.snapshot()
            assert (snapshot.driver, snapshot.problems) == (driver, ())
            await until(partial(_leaves, program), "the unit is being left", timeout_s=SWITCH_S)

    host.run(main)
    assert nobody == []
    assert overlap[:3] == [True, True, True]


async def _leaves(program: Onehop) -> bool:
    """Tell whether the unit is being left, or has been left already."""
    return "vtm" in (await program.snapshot()).beside or bool(program.logged("unit_left"))


@pytest.mark.parametrize("moment", ["lowered", "raising"])
def test_a_crash_at_any_step_is_made_up_for_by_the_next_start(
    host: Machine, temporary: Path, moment: str
) -> None:
    """By what the file says: the unit has the address, and this host has it no more."""

    async def main() -> None:
        async with standing(host, temporary, "envoy") as site:
            async with running(temporary / "a", site.before, waits=False) as program:
                await until(program.is_ready, "it is ready", timeout_s=SWITCH_S)
                await until(site.is_here, "the address is bound", timeout_s=SWITCH_S)
                groups: list[Write] = []

                def dies(write: Write) -> None:
                    groups.extend([write] if write.collection == GROUPS else ())
                    if len(groups) == {"lowered": 1, "raising": 2}[moment]:
                        with contextlib.suppress(ProcessLookupError):
                            program.process.kill()

                site.cluster.on_write = dies
                site.write(program, site.after)
                done = await onehop("switch", "--config", str(program.config_file))
                assert done.code != 0
                await program.ended()
            assert site.is_here()
            site.cluster.on_write = lambda _write: None
            async with running(temporary / "a", site.after, waits=False) as again:
                await until(site.has_only_the_unit, "the unit has it", timeout_s=SWITCH_S)

                async def is_well() -> bool:
                    return (await again.snapshot()).problems == ()

                await until(is_well, "nothing is wrong", timeout_s=SWITCH_S)

    host.run(main)


def test_a_crash_on_the_way_back_is_made_up_for_by_the_next_start(
    host: Machine, temporary: Path
) -> None:
    """Killed when the address is here and the unit has been told: it is told again, and to stop."""

    async def main() -> None:
        async with standing(host, temporary, "envoy") as site:
            async with running(temporary / "a", site.after, waits=False) as program:
                await until(program.is_ready, "it is ready", timeout_s=SWITCH_S)
                assert site.has_only_the_unit()

                def dies(write: Write) -> None:
                    if write.collection == GROUPS:
                        with contextlib.suppress(ProcessLookupError):
                            program.process.kill()

                site.cluster.on_write = dies
                site.write(program, site.before)
                done = await onehop("switch", "--config", str(program.config_file))
                assert done.code != 0
                await program.ended()
            assert site.is_here()
            writes: list[Write] = []
            site.cluster.on_write = writes.append
            async with running(temporary / "a", site.before, waits=False) as again:
                await until(lambda: bool(writes), "the unit is left", timeout_s=SWITCH_S)
                assert site.is_only_here()
                assert (await again.snapshot()).driver == "envoy"

    host.run(main)


def test_a_unit_that_does_not_answer_is_left_by_force_when_nobody_has_its_address(
    host: Machine, neighbour: Machine, temporary: Path
) -> None:
    """A neighbour stands for its data plane, which may go on while nobody answers by REST.

    What it is left for has the kernel's part, too.
    """

    async def main() -> None:
        async with (
            standing(host, temporary, "haproxy", pod="192.0.2.1") as site,
            running(temporary / "a", site.after, waits=False) as program,
        ):
            await until(program.is_ready, "it is ready", timeout_s=SWITCH_S)
            neighbour.ip("address", "add", f"{VIP}/32", "dev", "eth0")
            forwards = Path("/proc/sys/net/ipv4/ip_forward")
            await asyncio.to_thread(forwards.write_text, "1")
            for member in site.cluster.members:
                member.faults.is_down = True
            planes = site.before["dataPlane"] | {"layer4": "kernel"}
            site.write(program, site.before | {"dataPlane": planes})
            words = ("switch", "--config", str(program.config_file))
            said = await onehop(*words, "--force")
            assert (said.code, "carries traffic still" in said.out) == (1, True), said
            assert not site.is_here()
            assert (await program.snapshot()).driver == "vtm"

            neighbour.ip("address", "del", f"{VIP}/32", "dev", "eth0")
            said = await onehop(*words, "--force")
            assert (said.code, "should it come back" in said.out) == (0, True), said
            assert said.out.startswith("haproxy+nftables serves; ")
            assert site.is_here()
            async with load(Site(VIP, 80, HOST)) as clients:
                await clients.more(10)
            assert clients.failures == {}

            async def is_told() -> bool:
                problems = (await program.snapshot()).problems
                return any("two machines answer" in each.message for each in problems)

            await until(is_told, "that the unit was not told is a Problem", timeout_s=SWITCH_S)
            for member in site.cluster.members:
                member.faults.is_down = False
            await until(site.is_only_here, "it is told when it answers", timeout_s=SWITCH_S)

    host.run(main)
