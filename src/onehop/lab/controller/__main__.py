"""`python -m onehop.lab.controller --kubeconfig FILE`: work until SIGTERM."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated

import typer

from onehop.kube import Access, Client, connect
from onehop.lab.controller.lifecycle import GRACE_S, Watchman
from onehop.lab.controller.run import Controller
from onehop.telemetry.log import configure_logging


def main(
    kubeconfig: Annotated[Path, typer.Option(exists=True, help="Which API to work for.")],
    calico: Annotated[  # noqa: FBT002  a flag of the command line
        bool, typer.Option(help="Install Calico's definitions, pools and blocks.")
    ] = True,
    grace_s: Annotated[
        float, typer.Option(help="Seconds of silence after which a node is not ready.")
    ] = GRACE_S,
    level: Annotated[str, typer.Option("--log-level", help="How much to say.")] = "info",
) -> None:
    """Write EndpointSlices, blocks and lost nodes, as control planes do. It is not Kubernetes."""
    configure_logging(level=level)
    asyncio.run(_run(kubeconfig, calico=calico, grace_s=grace_s))


async def _run(kubeconfig: Path, *, calico: bool, grace_s: float) -> None:
    async with connect(Access(kubeconfig=str(kubeconfig))) as client, asyncio.TaskGroup() as tasks:
        working = tasks.create_task(_work(client, calico=calico, grace_s=grace_s))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await working


async def _work(client: Client, *, calico: bool, grace_s: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Controller(client, calico=calico).run())
        tasks.create_task(Watchman(client, grace_s=grace_s).run())


if __name__ == "__main__":
    typer.run(main)
