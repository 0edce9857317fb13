"""`python -m onehop.lab.ca`: a test CA for any ACME client, until Ctrl-C."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from onehop.lab.ca.authority import NAME
from onehop.lab.ca.option import DAY_S, CaOptions
from onehop.lab.ca.server import running_ca


def main(  # noqa: PLR0913, PLR0917  the flags of a command line
    root: Annotated[Path, typer.Option(help="Where to write the root's certificate.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 for any free one.")] = 0,
    target: Annotated[
        str, typer.Option(help="The address where every host is looked at.")
    ] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(help="Where http-01 is looked at.")] = 80,
    tls_port: Annotated[int, typer.Option(help="Where tls-alpn-01 is looked at.")] = 443,
    days: Annotated[float, typer.Option(help="How long certificates are good.", min=0.001)] = 90,
) -> None:
    """Serve a test CA by ACME. Everything is in memory; trust it nowhere else."""
    options = CaOptions(
        host=host,
        port=port,
        target=target,
        http_port=http_port,
        tls_port=tls_port,
        lifetime_s=days * DAY_S,
    )
    try:
        asyncio.run(_serve(options, root))
    except OSError as err:
        typer.echo(f"cannot serve: {err}", err=True)
        sys.exit(2)


async def _serve(options: CaOptions, root: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running_ca(options) as ca:
        root.write_text(ca.root_pem)  # noqa: ASYNC240  once, before anybody waits
        typer.echo(f"This is the {NAME}.")
        typer.echo(f"root: {root}")
        typer.echo(f"directory: {ca.directory}")
        await stop.wait()


if __name__ == "__main__":
    typer.run(main)
