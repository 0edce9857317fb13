"""The programs of a lab, and how each is started."""

import sys
from collections.abc import Iterator
from typing import Final

import msgspec
import yaml

from onehop.lab.node import SOCKET
from onehop.lab.world.balancer import balancer_config
from onehop.lab.world.link import UPLINK
from onehop.lab.world.plan import API_PORT, NODE_ASN, Host, Node, Plan, Pod, pod_space
from onehop.lab.world.router import router_config
from onehop.lab.world.spec import Underlay
from onehop.lab.world.state import State
from onehop.model.address import is_ipv6

DOOR = "door"
CONTROLLER = "controller"
ONEHOP: Final = (sys.executable, "-c", "from onehop.cli import main; main()")
"""The command itself, wherever pip has put it."""
CONFIG: Final = "onehop.yaml"


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program that shall run.

    Attributes:
        where: the host or Pod in whose network it runs; "" is the machine's own.
    """

    who: str
    where: str
    argv: tuple[str, ...]


def pod_program(pod: Pod) -> Program:
    """Return what runs in a Pod."""
    addresses = (word for address in pod.addresses for word in ("--address", address))
    return Program(
        who=pod_space(pod.name),
        where=pod_space(pod.name),
        argv=_python("onehop.lab.world.pod", "--name", pod.name, "--node", pod.node, *addresses),
    )


def api_program(plan: Plan, state: State) -> Program:
    """Return the API."""
    address = plan.api.addresses[0]
    argv = _python(
        "onehop.lab.api",
        *("--host", address, "--port", str(API_PORT)),
        *("--load", str(state.manifests), "--kubeconfig", str(state.inner_kubeconfig)),
    )
    return Program(who="api", where="api", argv=argv)


def controller_program(plan: Plan, state: State) -> Program:
    """Return the control plane beside the API."""
    flag = "--calico" if plan.spec.network is Underlay.CALICO else "--no-calico"
    argv = _python("onehop.lab.controller", "--kubeconfig", str(state.inner_kubeconfig), flag)
    return Program(who=CONTROLLER, where="api", argv=argv)


def door_program(plan: Plan) -> Program:
    """Return the door by which this machine reaches the API."""
    argv = _python(
        "onehop.lab.world.door",
        *("--enter", f"/run/netns/{plan.namespace('api')}"),
        *("--to", plan.api.addresses[0], "--to-port", str(API_PORT)),
    )
    return Program(who=DOOR, where="", argv=argv)


def node_program(plan: Plan, node: Node, state: State) -> Program:
    """Return what a node does: Calico, kube-proxy, kubelet."""
    flags = ["--name", node.name, "--kubeconfig", str(state.inner_kubeconfig)]
    flags += ["--state", str(state.home(node.name)), "--uplink", UPLINK]
    for address in node.host.addresses:
        flags += ["--address6" if is_ipv6(address) else "--address", address]
    flags += ["--asn", str(NODE_ASN), "--network", plan.spec.network]
    return Program(who=node.name, where=node.name, argv=_python("onehop.lab.node", *flags))


def router_program(plan: Plan, state: State) -> Program:
    """Return the router's BIRD, after writing its configuration."""
    home = state.home("router")
    file = home / "bird.conf"
    file.write_text(router_config(plan), encoding="utf-8")
    argv = ("bird", "-f", "-c", str(file), "-s", str(home / SOCKET))
    return Program(who="router", where="router", argv=argv)


def balancer_program(plan: Plan, host: Host, state: State) -> Program:
    """Return a load balancer, after writing its `onehop.yaml`."""
    home = state.home(host.name)
    config = balancer_config(plan, host, kubeconfig=state.inner_kubeconfig, state=home / "state")
    file = home / CONFIG
    file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    argv = (*ONEHOP, "run", "--config", str(file))
    return Program(who=host.name, where=host.name, argv=argv)


def later_programs(plan: Plan, state: State) -> Iterator[Program]:
    """Yield all that need the API, and the router."""
    yield from cluster_programs(plan, state)
    yield from balancer_programs(plan, state)


def cluster_programs(plan: Plan, state: State) -> Iterator[Program]:
    """Yield what is there before anybody installs a load balancer."""
    yield controller_program(plan, state)
    yield router_program(plan, state)
    for node in plan.nodes:
        yield node_program(plan, node, state)


def balancer_programs(plan: Plan, state: State) -> Iterator[Program]:
    """Yield the load balancers."""
    for host in plan.lbs:
        yield balancer_program(plan, host, state)


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)
