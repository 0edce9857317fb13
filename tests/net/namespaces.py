"""Machines on one link, each a network namespace, and a way to run our code on one of them."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pyroute2 import netns

T = TypeVar("T")

DEADLINE_S = 30.0


class Machine:
    """A network namespace; `eth0` is on the common link."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ip(self, *arguments: str) -> None:
        """Run `ip` on the machine."""
        _run("ip", "-n", self.name, *arguments)

    def show(self, *arguments: str) -> Any:
        """Return what `ip -json -details` says on the machine."""
        shown = _run("ip", "-n", self.name, "-json", "-details", *arguments)
        return json.loads(shown or "[]")

    def bridge(self, *arguments: str) -> str:
        """Run `bridge` on the machine, and return what it says."""
        return _run("bridge", "-n", self.name, *arguments)

    def do(self, work: Callable[[], T]) -> T:
        """Run a function on the machine; sockets that it opens stay there."""

        def inside() -> T:
            netns.setns(self.name)
            return work()

        with ThreadPoolExecutor(1) as pool:  # a thread of its own, which takes the namespace along
            return pool.submit(inside).result()

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the machine, as a process of its own would."""
        return self.do(lambda: asyncio.run(main()))


@contextlib.contextmanager
def machines(*roles: str) -> Generator[list[Machine]]:
    """Make machines on one link, with 192.0.2.1 and 2001:db8::1 for the first, and so on."""
    prefix = f"oh-net-{os.getpid()}"
    switch = Machine(f"{prefix}-switch")
    made = [Machine(f"{prefix}-{role}") for role in roles]
    try:
        _run("ip", "netns", "add", switch.name)
        switch.ip("link", "add", "br0", "type", "bridge", "forward_delay", "0")
        switch.ip("link", "set", "br0", "up")
        for number, machine in enumerate(made, start=1):
            _run("ip", "netns", "add", machine.name)
            _plug_in(machine, switch, number)
        yield made
    finally:
        for machine in (switch, *made):
            with contextlib.suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "del", machine.name)


def _plug_in(machine: Machine, switch: Machine, number: int) -> None:
    port = f"p{number}"
    switch.ip(*("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", machine.name))
    switch.ip("link", "set", port, "master", "br0", "up")
    machine.ip("link", "set", "lo", "up")
    machine.ip("link", "set", "eth0", "up")
    machine.ip("address", "add", f"192.0.2.{number}/24", "dev", "eth0")
    machine.ip("address", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")


def source_seen(pod: Machine, address: str, client: Machine) -> str:
    """Connect to a Pod by TCP, and return the address that the Pod saw.

    Raises:
        OSError: there is no way there, or none back.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def listen() -> socket.socket:
        return socket.create_server((address, 8080), family=family)

    def connect() -> socket.socket:
        return socket.create_connection((address, 8080), timeout=DEADLINE_S)

    with pod.do(listen) as server, client.do(connect):
        server.settimeout(DEADLINE_S)
        connection, peer = server.accept()
        connection.close()
        return str(peer[0])


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run something that never ends for as long as the context lasts."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the kernel sets no Event for."""
    async with asyncio.timeout(DEADLINE_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def soon(awaitable: Awaitable[T]) -> T:
    """Return what is awaited, which must come."""
    async with asyncio.timeout(DEADLINE_S):
        return await awaitable


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
