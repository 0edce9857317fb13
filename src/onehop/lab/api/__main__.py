"""`python -m onehop.lab.api`: serve manifests to kubectl, until Ctrl-C."""

import asyncio
import datetime as dt
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from onehop.lab.api import Refused, Settings, Store, load, manifests, self_signed, serve


def main(  # noqa: PLR0913, PLR0917  the flags of a command line
    load_from: Annotated[
        list[Path] | None,
        typer.Option("--load", exists=True, help="A YAML or JSON file, or a folder of them."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 for any free one.")] = 0,
    token: Annotated[str, typer.Option(help="Demand this bearer token.")] = "",
    tls: Annotated[bool, typer.Option(help="Serve HTTPS with a fresh certificate.")] = False,  # noqa: FBT002  a flag of the command line
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="Where to write the kubeconfig; a temporary file by default."),
    ] = None,
) -> None:
    """Serve an in-memory API that kubectl can talk to. It is not Kubernetes."""
    # Revisions that grow with the time: a client of an earlier run is told 410, not nothing.
    store = Store(first_revision=int(time.time()))
    try:
        number = sum(load(store, manifests(path)) for path in load_from or ())
    except Refused as refused:
        typer.echo(f"cannot load the manifests: {refused}", err=True)
        sys.exit(2)
    typer.echo(f"loaded {number} objects")
    with tempfile.TemporaryDirectory(prefix="onehop-lab-") as folder:
        path = kubeconfig or Path(folder) / "kubeconfig"
        certificate = self_signed(hosts=(host, "localhost"), now=dt.datetime.now(dt.UTC))
        settings = Settings(token=token, tls=certificate if tls else None)
        asyncio.run(_serve(store, (host, port), settings, path))


async def _serve(
    store: Store, address: tuple[str, int], settings: Settings, kubeconfig: Path
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serve(store, *address, settings) as server:
        kubeconfig.write_text(server.kubeconfig())  # noqa: ASYNC240  once, before anybody waits
        typer.echo("This is not Kubernetes: it is onehop's in-memory API for tests and the lab.")
        typer.echo(f"url: {server.url}")
        typer.echo(f"kubeconfig: {kubeconfig}")
        typer.echo(f"try: kubectl --kubeconfig {kubeconfig} get ingress,service -A")
        await stop.wait()


if __name__ == "__main__":
    typer.run(main)
