"""Making and unmaking the networks of a lab."""

import asyncio
import re
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from onehop.lab.world.command import inside, ip, run
from onehop.lab.world.link import Wiring
from onehop.lab.world.plan import Plan
from onehop.lab.world.process import Process, gone, inhabitants, send

NETNS: Final = Path("/run/netns")

_HOSTS: Final = r"switch|client|router|api|lb\d+|node\d+|pod-echo-\d+"

_SET = 'for each; do echo "${each#*=}" >"/proc/sys/${each%%=*}" || exit 1; done'


async def make_namespaces(plan: Plan, who: Iterable[str]) -> None:
    """Make empty networks."""
    await ip([f"netns add {plan.namespace(each)}" for each in who])


async def wire(plan: Plan, stage: Iterable[Wiring]) -> None:
    """Carry out wirings that do not depend on each other."""
    async with asyncio.TaskGroup() as tasks:
        for each in stage:
            tasks.create_task(_wire(plan.namespace(each.who), each))


def namespaces_of(name: str) -> tuple[str, ...]:
    """Return the networks of a lab, by its name and the names that its hosts have."""
    pattern = re.compile(rf"{re.escape(name)}-(?:{_HOSTS})")
    return tuple(sorted(f.name for f in NETNS.glob(f"{name}-*") if pattern.fullmatch(f.name)))


async def remove_namespaces(names: Iterable[str], *, also: Iterable[Process] = ()) -> None:
    """End everything that runs in these networks, and remove them; their links go with them."""
    names = tuple(names)
    files = [NETNS / name for name in names]
    # They all end at once: there is nothing that one of them would have to tell another.
    while found := {*inhabitants(files), *(each for each in also if each.is_alive())}:
        for process in found:
            send(process, signal.SIGKILL)
        await gone(found)
    if names:
        await ip([f"netns del {name}" for name in names])


async def _wire(namespace: str, wiring: Wiring) -> None:
    if wiring.settings:
        await run(*inside(namespace, "sh", "-c", _SET, "sh", *wiring.settings))
    await ip(wiring.lines, namespace=namespace)
