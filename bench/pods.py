"""`python -m bench.pods`: every Pod there is, in one process.

The whole of `namespace.PODS` is local, so one socket bound to no address in particular takes the
connections to all of them; each answer names the address and port that were asked. It is as cheap
as Python allows, because it shares two processors with what is measured.
"""

import asyncio
import signal
import sys
from typing import Final, cast

PORTS: Final = (8080, 8081)


class _Pod(asyncio.Protocol):
    """One connection; requests have no body, so each blank line ends one."""

    def __init__(self) -> None:
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        address, port = transport.get_extra_info("sockname")[:2]
        name = f"{address}:{port}".encode()
        self._answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(name), name)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(self._answer * data.count(b"\r\n\r\n"))


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    servers = [
        await loop.create_server(_Pod, "0.0.0.0", port, backlog=4096)  # noqa: S104  see above
        for port in PORTS
    ]
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    await ended.wait()
    for server in servers:
        server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
