"""Ladder rows: how soon Pods are off a way that is gone.

* withdrawal: in a lab (`onehop lab`), a node ends its BGP sessions while clients ask; it begins
  when the load balancer's kernel has lost the route, which is BIRD's own notice, and ends with the
  answer to the last request that was sent directly to a Pod of that node.
* demotion: forty routes vanish at once, and with them the ways to a thousand Pods of a hundred
  Services; it ends when Envoy has all of them behind NodePorts.
"""

import asyncio
import contextlib
import datetime as dt
import os
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import yaml

from bench import thousand
from bench.row import MS, Figures, Row, Target, quantile
from bench.world import Size, World
from onehop.lab.world import Spec, down, fault, life
from onehop.lab.world import World as Lab
from onehop.lab.world.program import Program
from onehop.lab.world.ready import balancer_state
from onehop.lab.world.waiting import nothing_missing
from tests.lab.clients import clients
from tests.lab.traffic import Flow, Seen

_NODES: Final = ("node1", "node2", "node3")
_LB: Final = "lb1"
_FLOWS: Final = (Flow(kind="keep-alive", address="203.0.113.10", clients=8, every_s=0.008),)
_WAIT_S: Final = 30.0
_SEEN_S: Final = 0.5
"""After a withdrawal, until the way is given back."""


def measure_withdrawal(_: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Cut sessions, and look who was asked after that."""
    if not os.access("/run", os.W_OK):  # a user namespace's root has no such power
        return Figures(product={}, notes={"left_out": "network namespaces by name need root"})
    return asyncio.run(_withdrawal(rounds=3 if quick else 60))


async def _withdrawal(rounds: int) -> Figures:
    name = f"b{os.getpid()}"[:10]
    try:
        lab = await Lab.up(Spec(name=name, nodes=len(_NODES), pods=2 * len(_NODES)))
        await _promote_at_once(lab)
        async with _lost_routes(lab) as lost, clients(lab, _FLOWS) as requests:
            cuts = [await _cut(lab, _NODES[number % len(_NODES)]) for number in range(rounds)]
        direct = lab.plan.lbs[0].addresses[0]
        by_node = {node.name: node.blocks[0] for node in lab.plan.nodes}
        notices = [
            next(at for at, block in lost if at >= cut and block == by_node[node])
            for cut, node in cuts
        ]
        late = [
            _last(requests.log, node, direct, notice) - notice
            for (_, node), notice in zip(cuts, notices, strict=True)
        ]
        since_cut = [n - cut + each for (cut, _), n, each in zip(cuts, notices, late, strict=True)]
    finally:
        await down(name)
    return Figures(
        product={
            "p50_ms": quantile(late, 0.5) * MS,
            "p99_ms": quantile(late, 0.99) * MS,
            "failed": float(len(requests.failed)),
        },
        notes={
            "withdrawals": rounds,
            "requests": len(requests.log),
            "since_cut_p50_ms": round(quantile(since_cut, 0.5) * MS, 1),
            "since_cut_p99_ms": round(quantile(since_cut, 0.99) * MS, 1),
        },
    )


def _last(log: Sequence[Seen], node: str, direct: str, notice: float) -> float:
    """Return when the last answer came to a request that a node's Pod was sent directly."""
    ends = [
        each.at + each.took_s
        for each in log
        if each.node == node and each.saw == direct and notice - 1 < each.at < notice + _SEEN_S
    ]
    return max([notice, *ends])


async def _promote_at_once(lab: Lab) -> None:
    """Start the load balancer anew so that it believes routes that have just come back.

    Otherwise a block that has been lost sixty times would rest for a minute each time.
    """
    old = lab.state.process(_LB)
    assert old is not None
    await life.stop(lab, _LB)
    file = lab.state.home(_LB) / "onehop.yaml"
    config = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(config | {"reach": {"stableS": 0}}))
    await lab.start(Program(who=_LB, where=_LB, argv=old.argv))
    await nothing_missing(lambda: _not_direct(lab), timeout_s=_WAIT_S)
    # A restarted BIRD leaves the kernel alone until all neighbours have spoken (RFC 4724).
    await nothing_missing(lambda: _recovers(lab), timeout_s=_WAIT_S)


async def _not_direct(lab: Lab) -> str:
    said = await balancer_state(lab.state.home(_LB))
    if said is None or not said.is_ready:
        return f"{_LB} is not ready"
    if any(each.state != "established" for each in said.network.sessions):
        return "a session is down"  # routes outlive a restart, sessions do not
    low = [path for path in said.network.endpoints if path != "pod"]
    return f"Pods are on {low}" if low or not said.network.endpoints else ""


async def _recovers(lab: Lab) -> str:
    socket = lab.state.home(_LB) / "state" / "bird" / "bird.ctl"
    said = await lab.exec(_LB, "birdc", "-r", "-s", str(socket), "show", "status")
    return "BIRD recovers" if said.code or "recovery" in said.out else ""


async def _cut(lab: Lab, node: str) -> tuple[float, str]:
    """Cut a node's sessions for a moment; return when, and whose."""
    await asyncio.sleep(_SEEN_S)
    began = time.monotonic()
    await fault.break_(lab, "bgp", node)
    await asyncio.sleep(_SEEN_S)
    await fault.mend(lab, "bgp", node)
    await nothing_missing(lambda: _not_direct(lab), timeout_s=_WAIT_S)
    return began, node


@contextlib.asynccontextmanager
async def _lost_routes(lab: Lab) -> AsyncGenerator[list[tuple[float, str]]]:
    """Note when the load balancer's kernel loses which route of table 111."""
    lost: list[tuple[float, str]] = []
    argv = lab.inside(_LB, "ip", "-ts", "-oneline", "monitor", "route")
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=DEVNULL)
    assert process.stdout is not None

    async def note(lines: asyncio.StreamReader) -> None:
        offset = time.time() - time.monotonic()
        while line := (await lines.readline()).decode().split():
            if "Deleted" in line and "111" in line:
                at = dt.datetime.fromisoformat(line[0].strip("[]"))
                lost.append((at.timestamp() - offset, line[line.index("Deleted") + 1]))

    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(note(process.stdout))
            yield lost
            task.cancel()
    finally:
        process.kill()
        await process.wait()


def measure_demotion(_: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Have the ways to all Pods vanish, and come back, several times."""
    nodes = 4 if quick else thousand.NODES
    took = asyncio.run(thousand.demotions(nodes=nodes, rounds=2 if quick else 15))
    return Figures(
        product={"p50_ms": quantile(took, 0.5) * MS, "max_ms": max(took) * MS},
        notes={"endpoints": nodes * thousand.PODS_OF_A_NODE, "rounds": len(took)},
    )


ROWS: Final = (
    Row(
        name="withdrawal",
        what="BGP session cut to the last request on the lost way, beyond BIRD's notice (lab)",
        measure=measure_withdrawal,
        size=Size(20, 3),
        quick_size=Size(20, 3),
        targets=(Target("p99_ms", 150), Target("failed", 0)),
    ),
    Row(
        name="demotion",
        what="1,000 Pods lose their routes at once, until Envoy has them behind NodePorts",
        measure=measure_demotion,
        size=Size(20, 3),
        quick_size=Size(20, 3),
        targets=(Target("max_ms", 100),),
    ),
)
