"""Steady requests, as a program: it runs in the network of the lab's client.

Started with flows as JSON; ended by the end of its standard input, upon which it prints every
request that it made. Failures are failures of a client with manners: one that finds a connection
closed before any of the answer came makes a request again, once, if the connection was not new
(RFC 9112, section 9.3.1; every browser and every library does that). It says so (`again`).
"""

import asyncio
import sys
import time
from typing import Final

import msgspec

PATIENCE_S: Final = 5.0
"""Who waits longer than this has been failed, unless a flow says otherwise."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of client.

    Attributes:
        kind: `keep-alive` and `fresh` speak HTTP, `tcp` hears a Pod's greeting and an echo.
        every_s: from the beginning of a request to that of the next.
        clients: how many at once.
        patience_s: who waits longer has been failed.
    """

    kind: str
    address: str
    port: int = 80
    every_s: float = 0.02
    clients: int = 2
    patience_s: float = PATIENCE_S


class Seen(msgspec.Struct, kw_only=True):
    """One request.

    Attributes:
        at: when it began, by the clock that all processes share (CLOCK_MONOTONIC).
        pod, node, saw: as the Pod says.
        error: why there was no good answer; "" if there was.
        again: whether it was made on a second connection.
    """

    kind: str
    at: float
    took_s: float = 0.0
    pod: str = ""
    node: str = ""
    saw: str = ""
    error: str = ""
    again: bool = False


class _Said(msgspec.Struct):
    pod: str
    node: str
    saw: str


class _ClosedEarlyError(ConnectionError):
    """A connection ended before any of the answer came."""


class _BadAnswerError(Exception):
    """An answer that is none."""


class _Connection:
    """A connection for HTTP/1.1."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.is_new = True

    async def ask(self) -> _Said:
        """Return what a Pod says."""
        if self._writer is None:
            self._reader, self._writer = await _open(self._flow)
            self.is_new = True
        assert self._reader is not None
        try:
            self._writer.write(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
            first = await self._reader.read(1)
        except ConnectionError as err:
            raise _ClosedEarlyError(repr(err)) from err
        if not first:
            raise _ClosedEarlyError("closed without an answer")
        head = first + await self._reader.readuntil(b"\r\n\r\n")
        status, fields = _parsed(head)
        body = await self._reader.readexactly(int(fields.get("content-length", "0")))
        self.is_new = False
        if status != 200 or fields.get("connection") == "close":
            self.close()
        if status != 200:
            raise _BadAnswerError(f"{status} {body.decode(errors='replace')[:80]}")
        return msgspec.json.decode(body, type=_Said)

    def close(self) -> None:
        """Have the next request made on another connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def _parsed(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value.strip() for name, value in pairs}


async def _open(flow: Flow) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(flow.address, flow.port)


async def _keep_alive(_: Flow, connection: _Connection, seen: Seen) -> None:
    try:
        _note(seen, await connection.ask())
    except _ClosedEarlyError:
        connection.close()
        if connection.is_new:
            raise
        seen.again = True
        _note(seen, await connection.ask())


async def _fresh(flow: Flow, _: _Connection, seen: Seen) -> None:
    connection = _Connection(flow)
    try:
        _note(seen, await connection.ask())
    finally:
        connection.close()


async def _tcp(flow: Flow, _: _Connection, seen: Seen) -> None:
    reader, writer = await _open(flow)
    try:
        greeting = (await reader.readline()).decode().split()
        if len(greeting) != 3:
            raise _BadAnswerError(f"closed after {greeting}")
        writer.write(b"hello\n")
        if await reader.readline() != b"hello\n":
            raise _BadAnswerError("no echo")
        seen.pod, _verb, seen.saw = greeting
    finally:
        writer.close()


def _note(seen: Seen, said: _Said) -> None:
    seen.pod, seen.node, seen.saw = said.pod, said.node, said.saw


_KINDS: Final = {"keep-alive": _keep_alive, "fresh": _fresh, "tcp": _tcp}


async def _client(flow: Flow, log: list[Seen], ended: asyncio.Event) -> None:
    connection = _Connection(flow)
    due = time.monotonic()
    while not ended.is_set():
        seen = Seen(kind=flow.kind, at=time.monotonic())
        try:
            async with asyncio.timeout(flow.patience_s):
                await _KINDS[flow.kind](flow, connection, seen)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, _BadAnswerError) as err:
            seen.error = str(err) or type(err).__name__
            connection.close()
        seen.took_s = time.monotonic() - seen.at
        log.append(seen)
        due = max(due + flow.every_s, time.monotonic())
        await asyncio.sleep(due - time.monotonic())
    connection.close()


async def main() -> None:
    """Make requests until standard input ends, then print them."""
    flows = msgspec.json.decode(sys.argv[1], type=tuple[Flow, ...])
    ended = asyncio.Event()
    log: list[Seen] = []
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    async with asyncio.TaskGroup() as group:
        for flow in flows:
            for _ in range(flow.clients):
                group.create_task(_client(flow, log, ended))
    sys.stdout.buffer.write(msgspec.json.encode(log))


if __name__ == "__main__":
    asyncio.run(main())
