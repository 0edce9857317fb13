"""Clients: one request, a steady loop of them, raw TCP and UDP."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

import aiohttp
import msgspec

from onehop.lab.pod import Answer
from tests.e2e.objects import HOST
from tests.e2e.waiting import until

SHARED: Final = "192.0.2.10"
PAUSE_S: Final = 0.004
_ANSWER_S: Final = 5.0


class Reply(NamedTuple):
    """An HTTP answer; `pod` is empty when no Pod gave it."""

    status: int
    pod: str = ""


async def ask(host: str = HOST, *, to: str = SHARED, path: str = "/") -> Reply:
    """Send one request on a connection of its own."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        return await _ask(session, f"http://{to}{path}", host)


async def status_of(host: str = HOST) -> int:
    """Return the status of one request, or 0 when there is no answer at all."""
    try:
        return (await ask(host)).status
    except aiohttp.ClientError:
        return 0


async def is_served(host: str = HOST) -> bool:
    """Tell whether a host answers 200."""
    return await status_of(host) == 200


async def is_unknown(host: str = HOST) -> bool:
    """Tell whether a host answers 404."""
    return await status_of(host) == 404


async def _ask(session: aiohttp.ClientSession, url: str, host: str) -> Reply:
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    async with session.get(url, headers={"Host": host}, timeout=timeout) as response:
        body = await response.read()
    if response.status != 200:
        return Reply(response.status)
    return Reply(200, msgspec.json.decode(body, type=Answer).pod)


class Steady:
    """A loop of requests that must all succeed.

    Attributes:
        pods: how many answers each Pod gave.
        failures: what went wrong, each with its time since the start of the loop.
    """

    def __init__(self, host: str, to: str) -> None:
        self.pods: Counter[str] = Counter()
        self.failures: list[str] = []
        self._host = host
        self._url = f"http://{to}/"

    @property
    def total(self) -> int:
        return self.pods.total()

    async def some_more(self, number: int = 20) -> None:
        """Wait for so many further answers."""
        wanted = self.total + number + len(self.failures)
        await until(lambda: self.total + len(self.failures) >= wanted, f"{number} more answers")

    async def run(self, *, keeps: bool) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        connector = aiohttp.TCPConnector(force_close=not keeps)
        async with aiohttp.ClientSession(connector=connector) as session:
            while True:
                try:
                    reply = await _ask(session, self._url, self._host)
                except (aiohttp.ClientError, TimeoutError, OSError) as err:
                    self.failures.append(f"{loop.time() - began:.3f} s: {err!r}")
                else:
                    self.pods[reply.pod] += reply.status == 200
                    if reply.status != 200:
                        self.failures.append(f"{loop.time() - began:.3f} s: {reply.status}")
                await asyncio.sleep(PAUSE_S)


@contextlib.asynccontextmanager
async def steady(host: str = HOST, to: str = SHARED) -> AsyncGenerator[Steady]:
    """Ask all the time, on kept connections and on new ones; demand at the end that none failed."""
    loop = Steady(host, to)
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(loop.run(keeps=keeps)) for keeps in (True, False)]
        try:
            await loop.some_more(2)
            yield loop
            await loop.some_more()
        finally:
            for task in asking:
                task.cancel()
    assert not loop.failures, (len(loop.failures), loop.total, loop.failures[:5])


async def greeting(address: str, port: int) -> str:
    """Connect by TCP, and return the line a Pod greets with; empty when the connection ends."""
    async with asyncio.timeout(_ANSWER_S):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            return (await reader.readline()).decode().strip()
        finally:
            writer.close()


async def accepts(address: str, port: int) -> bool:
    """Tell whether somebody listens there."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True


async def echo(address: str, port: int, word: str = "ping") -> str:
    """Send a datagram, and return the answer; empty when there is none for a quarter second."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((address, port))
        try:
            async with asyncio.timeout(0.25):
                await loop.sock_sendall(client, word.encode())
                return (await loop.sock_recv(client, 2048)).decode()
        except (TimeoutError, ConnectionRefusedError):
            return ""
