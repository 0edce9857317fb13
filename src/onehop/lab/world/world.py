"""A lab: brought up, looked at, and taken down again without a trace.

Everything that it knows is on disk (`state`), so that any command can go on where another ended.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Final, Self

import msgspec

from onehop.base.errors import ConfigError, KubeUnavailable
from onehop.lab.api.kubeconfig import kubeconfig
from onehop.lab.node import process_mark
from onehop.lab.world.build import make_namespaces, namespaces_of, remove_namespaces, wire
from onehop.lab.world.cluster import Cluster
from onehop.lab.world.command import Done, as_host, attempt
from onehop.lab.world.link import wirings
from onehop.lab.world.machine import check_machine
from onehop.lab.world.objects import NAMESPACE, as_yaml, cluster_objects, pod_object, sample_objects
from onehop.lab.world.peers import introduce
from onehop.lab.world.plan import Plan, make_plan, pod_space
from onehop.lab.world.process import Process, last_words, start
from onehop.lab.world.program import (
    DOOR,
    Program,
    api_program,
    balancer_programs,
    cluster_programs,
    door_program,
    pod_program,
)
from onehop.lab.world.ready import wait_ready
from onehop.lab.world.spec import Spec
from onehop.lab.world.state import Record, State
from onehop.lab.world.waiting import nothing_missing

_START_S: Final = 30.0

Say = Callable[[str], None]


def silent(_text: str) -> None:
    """Say nothing of the progress."""


class World:
    """A lab that is there.

    Attributes:
        state: where its files are.
    """

    def __init__(self, name: str) -> None:
        self.state = State(name)

    @property
    def record(self) -> Record:
        """What is written down of it, as it is now."""
        return self.state.load()

    @property
    def plan(self) -> Plan:
        """Who there is, as it is now."""
        return self.record.plan

    @classmethod
    async def up(cls, spec: Spec, *, say: Say = silent) -> Self:
        """Bring a lab up, and return it once its Pods are ready and its load balancers serve.

        Args:
            spec: what it shall be.
            say: is told what is being done.

        Raises:
            ConfigError: the machine lacks something, or the lab is up already.
            TransientError: something did not come up; what is there is left, for looking at.
        """
        check_machine()
        world = cls(spec.name)
        if world.state.exists() and world._is_complete():
            raise ConfigError(f"the lab {spec.name!r} is up already; onehop lab down ends it")
        await down(spec.name)
        world.state.make()
        with world.state.locked():
            await world._build(make_plan(spec), say)
        return world

    @classmethod
    def open(cls, name: str) -> Self:
        """Return a lab that is there; one that did not come up may be looked at, too.

        Raises:
            ConfigError: it is not.
        """
        check_machine()
        world = cls(name)
        world.state.load()
        return world

    async def down(self) -> None:
        """Take it down; see the function of that name."""
        await down(self.state.folder.name)

    def change(self, **fields: object) -> Record:
        """Write some of the record anew; return all of it."""
        record = msgspec.structs.replace(self.record, **fields)
        self.state.save(record)
        return record

    async def exec(self, who: str, *argv: str, told: str = "") -> Done:
        """Run a command to its end in the network of a host or a Pod."""
        return await attempt(*self.inside(who, *argv), told=told)

    def inside(self, who: str, *argv: str) -> tuple[str, ...]:
        """Return the command that runs in the network of a host or a Pod.

        Raises:
            ConfigError: there is nobody of that name.
        """
        everybody = self.plan.everybody()
        pod = pod_space(who)
        if who not in everybody and pod not in everybody:
            raise ConfigError(f"{who}: nobody in the lab; there are {', '.join(everybody)}")
        space = who if who in everybody else pod
        return as_host(self.plan.namespace(space), who, *argv)

    @contextlib.asynccontextmanager
    async def cluster(self) -> AsyncGenerator[Cluster]:
        """Open a connection to the API."""
        async with Cluster(self.record.door_port) as cluster:
            yield cluster

    async def start(self, program: Program) -> Process:
        """Start a program of the lab, and write that down."""
        where = self.plan.namespace(program.where) if program.where else ""
        log = self.state.log(program.who)
        process = await start(program.who, program.argv, log, namespace=where, host=program.where)
        self.state.note(process)
        return process

    async def start_all(self, programs: Iterable[Program]) -> tuple[Process, ...]:
        """Start programs at once."""
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(self.start(program)) for program in programs]
        return tuple(task.result() for task in started)

    def write_manifests(self) -> None:
        """Write what the API shall hold when it starts: its Pods are those that run now."""
        plan = self.plan
        running = {process.who: process for process in self.state.processes()}
        pods = (
            pod_object(pod, process=process_mark(running[pod_space(pod.name)].pid))
            for pod in plan.pods
        )
        folder = self.state.manifests
        (folder / "cluster.yaml").write_text(as_yaml(cluster_objects(plan)))
        (folder / "pods.yaml").write_text(as_yaml(pods))
        (folder / "sample.yaml").write_text(as_yaml(sample_objects(plan)))

    def _is_complete(self) -> bool:
        return self.state.exists() and self.record.is_complete

    async def _build(self, plan: Plan, say: Say) -> None:
        self.state.save(Record(plan=plan))
        say(f"networks: {len(plan.everybody())} namespaces {plan.spec.name}-*")
        await make_namespaces(plan, plan.everybody())
        for stage in wirings(plan):
            await wire(plan, stage)
        say(f"programs: {len(plan.pods)} Pods, the API, {len(plan.nodes)} nodes, onehop")
        await self.start_all(pod_program(pod) for pod in plan.pods)
        self.write_manifests()
        await self.start_all((api_program(plan, self.state), door_program(plan)))
        await self._open_door()
        await self.start_all(cluster_programs(plan, self.state))
        balancers = tuple(balancer_programs(plan, self.state))
        await introduce(self)
        await self.start_all(balancers)
        say("waiting until Pods are ready and onehop serves")
        await wait_ready(self)
        self.change(is_complete=True)

    async def _open_door(self) -> None:
        """Wait until the API answers through the door, and write this machine's kubeconfig."""
        await nothing_missing(self._door_missing, timeout_s=_START_S)
        port = self._door_port()
        self.change(door_port=port)
        text = kubeconfig(f"http://127.0.0.1:{port}", namespace=NAMESPACE)
        self.state.kubeconfig.write_text(text)
        await nothing_missing(self._api_missing, timeout_s=_START_S)

    def _door_missing(self) -> str:
        return "" if self._door_port() else f"no door: {last_words(self.state.log(DOOR))}"

    async def _api_missing(self) -> str:
        try:
            async with self.cluster() as cluster:
                await cluster.get("/version")
        except KubeUnavailable:
            return f"the API does not come up: {last_words(self.state.log('api'))}"
        return ""

    def _door_port(self) -> int:
        with contextlib.suppress(OSError):
            text = self.state.log(DOOR).read_text()
            if text.startswith("port: ") and text.endswith("\n"):
                return int(text.splitlines()[0].removeprefix("port: "))
        return 0


async def down(name: str) -> bool:
    """Take a lab down, whatever state it is in; return whether there was any.

    Raises:
        TransientError: another command is changing it, or a process would not end.
    """
    state = State(name)
    spaces = namespaces_of(name)
    there = bool(spaces) or state.exists()
    if state.exists():
        with state.locked():
            await remove_namespaces(spaces, also=state.processes())
            state.remove()
    else:
        await remove_namespaces(spaces)
    return there
