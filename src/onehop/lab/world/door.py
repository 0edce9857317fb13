"""`python -m onehop.lab.world.door`: the lab's API, on a loopback port of the machine itself.

A socket belongs to the network it was made in, wherever its owner goes. So this program listens
here first, then moves into the lab, and what it dials from then on, it dials there: kubectl needs
no route into the lab, and the machine's own network stays as it is.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
from pathlib import Path
from typing import Annotated, Final

import typer

_CLONE_NEWNET: Final = 0x40000000  # <linux/sched.h>; os.setns came with Python 3.12
_DIAL_S: Final = 5.0
_CHUNK: Final = 65536


def main(
    enter: Annotated[Path, typer.Option(help="The network namespace, as a file of /run/netns.")],
    to: Annotated[str, typer.Option(help="The address to dial in there.")],
    to_port: Annotated[int, typer.Option(help="The port to dial.")],
    listen_port: Annotated[int, typer.Option(help="The port to listen on; 0 for any.")] = 0,
) -> None:
    """Carry connections from 127.0.0.1 into a network namespace."""
    with socket.create_server(("127.0.0.1", listen_port)) as listener:
        _enter(enter)
        typer.echo(f"port: {listener.getsockname()[1]}")
        asyncio.run(_serve(listener, to, to_port))


def _enter(namespace: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with namespace.open("rb") as file:
        if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(namespace))


async def _serve(listener: socket.socket, to: str, to_port: int) -> None:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_DIAL_S):
                far_reader, far_writer = await asyncio.open_connection(to, to_port)
            with contextlib.closing(far_writer):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_pump(reader, far_writer))
                    tasks.create_task(_pump(far_reader, writer))

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with await asyncio.start_server(carry, sock=listener):
        await ended.wait()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one direction; when it ends, the other side is told that no more comes."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


if __name__ == "__main__":
    typer.run(main)
