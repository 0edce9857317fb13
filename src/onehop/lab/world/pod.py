"""`python -m onehop.lab.world.pod`: what runs in a Pod of the lab.

HTTP, TCP and UDP servers that say who they are, on which node, and whom they saw.
"""

import asyncio
import contextlib
import signal
from typing import Annotated, Final, NamedTuple

import typer

from onehop.lab.pod import serve_http, serve_tcp, serve_udp

HTTP_PORT: Final = 8080
TCP_PORT: Final = 5000
UDP_PORT: Final = 5353


class Who(NamedTuple):
    """A Pod: what it says of itself."""

    app: str
    name: str
    node: str


def main(
    name: Annotated[str, typer.Option(help="The Pod's name.")],
    node: Annotated[str, typer.Option(help="The node it runs on.")],
    address: Annotated[list[str], typer.Option(help="An address to listen on; may be repeated.")],
    app: Annotated[str, typer.Option(help="What it calls itself.")] = "echo",
    linger_s: Annotated[float, typer.Option(help="How long it serves on after SIGTERM.")] = 2.0,
) -> None:
    """Serve until SIGTERM, and a while longer, as a program with manners does.

    A Pod that is deleted gets SIGTERM at the same moment as everybody else hears of it: who sends
    to it has not heard yet (kubernetes.io, Pod lifecycle, "Termination of Pods").
    """
    asyncio.run(_serve(Who(app, name, node), address, linger_s))


async def _serve(who: Who, addresses: list[str], linger_s: float) -> None:
    app, name, node = who
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with contextlib.AsyncExitStack() as stack:
        for address in addresses:
            await stack.enter_async_context(serve_http(app, name, address, HTTP_PORT, node=node))
            await stack.enter_async_context(serve_tcp(name, address, TCP_PORT))
            await stack.enter_async_context(serve_udp(name, address, UDP_PORT))
        typer.echo("ready")
        await ended.wait()
        await asyncio.sleep(linger_s)


if __name__ == "__main__":
    typer.run(main)
