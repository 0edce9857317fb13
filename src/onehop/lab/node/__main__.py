"""`python -m onehop.lab.node`: be a node, in the network namespace it was started in."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated

import typer

from onehop.lab.node.agent import Agent, NetworkMode, NodeOptions
from onehop.lab.node.api import open_api
from onehop.telemetry.log import configure_logging


def main(  # noqa: PLR0913, PLR0917  the flags of a command line
    name: Annotated[str, typer.Option(help="The name of the Node.")],
    kubeconfig: Annotated[Path, typer.Option(exists=True, help="Which API to listen to.")],
    state: Annotated[Path, typer.Option(help="A folder for BIRD's files.")],
    address: Annotated[str, typer.Option(help="The node's IPv4 address.")] = "",
    address6: Annotated[str, typer.Option(help="The node's IPv6 address.")] = "",
    asn: Annotated[int, typer.Option(help="Our ASN, if no object says one.")] = 64512,
    uplink: Annotated[str, typer.Option(help="The device to the other nodes.")] = "eth0",
    network: Annotated[
        NetworkMode, typer.Option(help="Who leads to other nodes' Pods.")
    ] = NetworkMode.CALICO,
    level: Annotated[str, typer.Option("--log-level", help="How much to say.")] = "info",
) -> None:
    """Do what kube-proxy, Calico's BIRD and a kubelet do. It is none of them."""
    addresses = tuple(each for each in (address, address6) if each)
    if not addresses:
        raise typer.BadParameter("a node needs --address, --address6 or both")
    configure_logging(level=level)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = NodeOptions(
        name=name, state=state, addresses=addresses, uplink=uplink, asn=asn, network=network
    )
    asyncio.run(_run(kubeconfig, options))


async def _run(kubeconfig: Path, options: NodeOptions) -> None:
    async with open_api(kubeconfig) as api, asyncio.TaskGroup() as tasks:
        working = tasks.create_task(Agent(api, options).run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await working


if __name__ == "__main__":
    typer.run(main)
