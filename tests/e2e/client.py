"""Clients: one request, a steady loop of them, raw TCP and UDP."""

import asyncio
import contextlib
import socket
import ssl
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
_ANSWER_S: Final = 15.0


class Reply(NamedTuple):
    """An HTTP answer; `pod` is empty when no Pod gave it."""

    status: int
    pod: str = ""


class Target(NamedTuple):
    """Whom to ask for what; `tls` is the client's context for HTTPS."""

    host: str = HOST
    address: str = SHARED
    tls: ssl.SSLContext | None = None

    def url(self, path: str = "/") -> str:
        return f"{'https' if self.tls else 'http'}://{self.address}{path}"


async def ask(
    host: str = HOST, *, path: str = "/", at: str = SHARED, tls: ssl.SSLContext | None = None
) -> Reply:
    """Send one request, to the shared address if not `at` another, on a new connection."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        return await _ask(session, Target(host, at, tls), path)


async def status_of(host: str = HOST, tls: ssl.SSLContext | None = None) -> int:
    """Return the status of one request, or 0 when there is no answer at all."""
    try:
        return (await ask(host, tls=tls)).status
    except (aiohttp.ClientError, TimeoutError):
        return 0


async def is_served(host: str = HOST, tls: ssl.SSLContext | None = None) -> bool:
    """Tell whether a host answers 200."""
    return await status_of(host, tls) == 200


async def is_unknown(host: str = HOST) -> bool:
    """Tell whether a host answers 404."""
    return await status_of(host) == 404


async def _ask(session: aiohttp.ClientSession, target: Target, path: str = "/") -> Reply:
    async with session.get(
        target.url(path),
        headers={"Host": target.host},
        timeout=aiohttp.ClientTimeout(total=_ANSWER_S),
        ssl=target.tls or True,
        server_hostname=target.host if target.tls else None,
    ) as response:
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

    def __init__(self, target: Target) -> None:
        self.pods: Counter[str] = Counter()
        self.failures: list[str] = []
        self._target = target

    @property
    def total(self) -> int:
        """How many requests have been answered, well or not."""
        return self.pods.total() + len(self.failures)

    async def some_more(self, number: int = 20) -> None:
        """Wait for so many further answers."""
        wanted = self.total + number
        await until(lambda: self.total >= wanted, f"{number} more answers")

    async def run(self, *, keeps: bool) -> None:
        """Ask until cancelled, on one kept connection or on a new one for each request."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=not keeps)
        ) as session:
            while True:
                try:
                    status, pod = await _ask(session, self._target)
                    fault = "" if status == 200 else str(status)
                except (aiohttp.ClientError, TimeoutError) as err:
                    pod, fault = "", repr(err)
                if fault:
                    said = f"{self._target.host} after {loop.time() - began:.3f} s: {fault}"
                    self.failures.append(said)
                else:
                    self.pods[pod] += 1
                await asyncio.sleep(PAUSE_S)


@contextlib.asynccontextmanager
async def steady(*targets: Target) -> AsyncGenerator[Steady]:
    """Ask all the time, on kept connections and on new ones; demand at the end that none failed.

    Without a target it is the shop that is asked. What is yielded is of the first target.
    """
    asked = [Steady(target) for target in targets or (Target(),)]
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(each.run(keeps=k)) for each in asked for k in (True, False)]
        try:
            for each in asked:
                await each.some_more(2)
            yield asked[0]
            for each in asked:
                await each.some_more(5)
        finally:
            for task in asking:
                task.cancel()
    failures = [failure for each in asked for failure in each.failures]
    assert not failures, (len(failures), [each.total for each in asked], failures[:5])


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
