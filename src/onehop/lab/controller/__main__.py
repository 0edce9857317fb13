"""`python -m onehop.lab.controller --kubeconfig FILE`: work until SIGTERM."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated

import typer

from onehop.kube import Access, connect
from onehop.lab.controller.run import Controller
from onehop.telemetry.log import configure_logging


def main(
    kubeconfig: Annotated[Path, typer.Option(exists=True, help="Which API to work for.")],
    calico: Annotated[  # noqa: FBT002  a flag of the command line
        bool, typer.Option(help="Install Calico's definitions, pools and blocks.")
    ] = True,
    level: Annotated[str, typer.Option("--log-level", help="How much to say.")] = "info",
) -> None:
    """Write EndpointSlices and Calico's blocks, as a control plane would. It is not Kubernetes."""
    configure_logging(level=level)
    asyncio.run(_run(kubeconfig, calico=calico))


async def _run(kubeconfig: Path, *, calico: bool) -> None:
    async with connect(Access(kubeconfig=str(kubeconfig))) as client, asyncio.TaskGroup() as tasks:
        working = tasks.create_task(Controller(client, calico=calico).run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await working


if __name__ == "__main__":
    typer.run(main)
