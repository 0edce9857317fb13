"""The faults of a lab that can be mended again, each by its name.

A fault is something that happens to real clusters, made with the tools that an administrator has:
`birdc`, `ip`, `nft`, signals. Nothing of onehop takes part in it.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from onehop.base.errors import ConfigError
from onehop.lab.world import outage, routing
from onehop.lab.world.packet import Act, let_pass
from onehop.lab.world.spec import Underlay
from onehop.lab.world.state import Fault

if TYPE_CHECKING:
    from onehop.lab.world.world import World


class Place(StrEnum):
    """What a fault can happen to."""

    NODE = "node"
    LB = "lb"
    POD = "pod"
    HOST = "node or lb"
    NOWHERE = ""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of fault.

    Attributes:
        says: what happens, for people.
        make: does it, to a place.
        mend: undoes it; None where onehop itself must put it right.
        needs_bgp: whether it is one of the nodes' BGP, which only Calico's nodes speak.
    """

    what: str
    place: Place
    says: str
    make: Act
    mend: Act | None
    needs_bgp: bool = False


async def break_(world: "World", what: str, where: str = "") -> None:
    """Make a fault.

    Raises:
        ConfigError: there is no such fault, no such place, or nothing there that could break.
    """
    trouble = trouble_of(what)
    _check_place(world, trouble, where)
    await trouble.make(world, where)
    if trouble.mend is not None:
        faults = {*world.record.faults, Fault(what, where)}
        world.change(faults=tuple(sorted(faults)))


async def mend(world: "World", what: str, where: str = "") -> None:
    """Mend a fault; one that was never made is no fault of the caller's.

    Raises:
        ConfigError: there is no such fault or place, or nothing to mend in it.
    """
    trouble = trouble_of(what)
    _check_place(world, trouble, where)
    if trouble.mend is None:
        raise ConfigError(f"{what}: nobody but onehop shall mend this")
    await trouble.mend(world, where)
    world.change(faults=tuple(f for f in world.record.faults if f != Fault(what, where)))


async def mend_all(world: "World") -> tuple[Fault, ...]:
    """Mend all that is broken; return what that was."""
    faults = world.record.faults
    for fault in faults:
        await mend(world, fault.what, fault.where)
    return faults


def trouble_of(what: str) -> Trouble:
    """Return the kind of fault of a name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return {trouble.what: trouble for trouble in TROUBLES}[what]
    except KeyError:
        names = ", ".join(trouble.what for trouble in TROUBLES)
        raise ConfigError(f"{what}: no such fault; there are {names}") from None


def places(world: "World", place: Place) -> tuple[str, ...]:
    """Return where a fault of this kind can happen."""
    plan = world.plan
    nodes = tuple(node.name for node in plan.nodes)
    lbs = tuple(host.name for host in plan.lbs)
    match place:
        case Place.NODE:
            return nodes
        case Place.LB:
            return lbs
        case Place.HOST:
            return (*nodes, *lbs)
        case Place.POD:
            return tuple(pod.name for pod in plan.pods)
        case Place.NOWHERE:
            return ("",)


def _check_place(world: "World", trouble: Trouble, where: str) -> None:
    network = world.plan.spec.network
    if trouble.needs_bgp and network is not Underlay.CALICO:
        raise ConfigError(f"{trouble.what}: the nodes of --network {network} speak no BGP")
    known = places(world, trouble.place)
    if where not in known:
        said = f"{trouble.what} {where}".strip()
        raise ConfigError(f"{said}: where? {', '.join(filter(None, known)) or 'it has no place'}")


TROUBLES: Final = (
    Trouble(
        what="bgp",
        place=Place.NODE,
        says="the node ends its BGP sessions with the load balancers",
        make=routing.end_sessions,
        mend=routing.begin_sessions,
        needs_bgp=True,
    ),
    Trouble(
        what="bgp-silence",
        place=Place.NODE,
        says="BGP packets between the node and the load balancers are lost; nobody says goodbye",
        make=routing.silence_bgp,
        mend=let_pass("bgp"),
        needs_bgp=True,
    ),
    Trouble(
        what="route",
        place=Place.NODE,
        says="the node withdraws its blocks, but its BGP sessions stand",
        make=routing.withdraw,
        mend=routing.announce,
        needs_bgp=True,
    ),
    Trouble(
        what="hijack",
        place=Place.NODE,
        says="the node announces half of the next node's block, and drops what comes",
        make=routing.hijack,
        mend=routing.stop_hijack,
        needs_bgp=True,
    ),
    Trouble(
        what="kernel-route",
        place=Place.NODE,
        says="somebody deletes the load balancers' kernel routes to the node's Pods, by hand",
        make=routing.forget_routes,
        mend=None,
    ),
    Trouble(
        what="link",
        place=Place.HOST,
        says="the cable is pulled out",
        make=outage.unplug,
        mend=outage.plug_in,
    ),
    Trouble(
        what="nodeport",
        place=Place.NODE,
        says="a firewall drops what comes to the node's NodePorts",
        make=outage.close_node_ports,
        mend=let_pass("nodeport"),
    ),
    Trouble(
        what="pod",
        place=Place.POD,
        says="the Pod's program hangs: connections are accepted and nobody answers",
        make=outage.pause_pod,
        mend=outage.continue_pod,
    ),
    Trouble(
        what="api",
        place=Place.NOWHERE,
        says="the API refuses connections from the network; kubectl on this machine still works",
        make=outage.refuse_api,
        mend=let_pass("api"),
    ),
    Trouble(
        what="api-hang",
        place=Place.NOWHERE,
        says="the API hangs: connections are accepted and nobody answers",
        make=outage.pause_api,
        mend=outage.continue_api,
    ),
    Trouble(
        what="upstream",
        place=Place.LB,
        says="the router ends its BGP sessions with the load balancer",
        make=routing.end_upstream,
        mend=routing.begin_upstream,
    ),
)
