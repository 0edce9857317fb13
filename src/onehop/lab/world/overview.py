"""What a lab looks like now, for `onehop lab status`."""

from typing import TYPE_CHECKING

import msgspec

from onehop.base.errors import OnehopError, RejectedError
from onehop.lab.world.bird import birdc
from onehop.lab.world.plan import pod_space
from onehop.lab.world.ready import balancer_state, ready_pods
from onehop.lab.world.spec import Underlay
from onehop.lab.world.state import Fault

if TYPE_CHECKING:
    from onehop.lab.world.world import World


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One host, program or Pod.

    Attributes:
        is_well: whether it runs, and does what it shall.
    """

    who: str
    addresses: tuple[str, ...]
    is_well: bool
    says: str


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The whole lab.

    Attributes:
        kubeconfig: for kubectl on this machine.
        faults: made, and not mended.
    """

    name: str
    kubeconfig: str
    shared: tuple[str, ...]
    lines: tuple[Line, ...]
    faults: tuple[Fault, ...]

    @property
    def is_well(self) -> bool:
        """Tell whether everything runs and nothing is broken on purpose."""
        return not self.faults and all(line.is_well for line in self.lines)


async def look(world: "World") -> Overview:
    """Look at everybody."""
    record = world.record
    plan = record.plan
    lines = [_program(world, "api", plan.api.addresses, "the Kubernetes API, in memory")]
    lines.append(_program(world, "controller", (), "EndpointSlices, the end of Pods"))
    lines.append(await _router(world))
    lines += [await _balancer(world, host.name, host.addresses) for host in plan.lbs]
    for node in plan.nodes:
        is_calico = plan.spec.network is Underlay.CALICO
        says = f"Pods {', '.join(node.blocks if is_calico else node.pod_cidrs)}"
        lines.append(_program(world, node.name, node.host.addresses, says))
    try:
        ready = await ready_pods(world)
    except OnehopError:
        ready = None
    for pod in plan.pods:
        line = _program(world, pod_space(pod.name), pod.addresses, f"on {pod.node}")
        if ready is not None and pod.name not in ready:
            says = f"{line.says}, not ready"
            line = msgspec.structs.replace(line, is_well=False, says=says)
        lines.append(line)
    return Overview(
        name=plan.spec.name,
        kubeconfig=str(world.state.kubeconfig),
        shared=plan.shared,
        lines=tuple(lines),
        faults=record.faults,
    )


def _program(world: "World", who: str, addresses: tuple[str, ...], says: str) -> Line:
    process = world.state.process(who)
    runs = process is not None and process.is_alive()
    return Line(who=who, addresses=addresses, is_well=runs, says=says if runs else "does not run")


async def _balancer(world: "World", name: str, addresses: tuple[str, ...]) -> Line:
    line = _program(world, name, addresses, "")
    if not line.is_well:
        return line
    snapshot = await balancer_state(world.state.home(name))
    if snapshot is None:
        return msgspec.structs.replace(line, is_well=False, says="runs, and does not answer")
    served = ", ".join(f"{number} {table}" for table, number in sorted(snapshot.served.items()))
    says = f"serves {served}" if snapshot.is_ready else "is not ready"
    return msgspec.structs.replace(line, is_well=snapshot.is_ready, says=says)


async def _router(world: "World") -> Line:
    line = _program(world, "router", world.plan.router.addresses, "")
    try:
        routes = (await birdc(world, "router", "show route count")).splitlines()[-1]
    except RejectedError:
        return line
    return msgspec.structs.replace(line, says=f"BIRD: {routes.strip()}")
