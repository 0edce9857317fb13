"""An HTTP/3 client."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent

from tests.driver_envoy.world import ADDRESS


class H3Reply(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    body: str


class H3Client(QuicConnectionProtocol):
    """One connection, one request at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._http = H3Connection(self._quic)
        self._headers: dict[str, str] = {}
        self._body = b""
        self._ended = asyncio.Event()
        self.is_closed = False

    def quic_event_received(self, event: QuicEvent) -> None:
        """Gather the response, and hear of the end of the connection."""
        if isinstance(event, ConnectionTerminated):
            self.is_closed = True
            self._ended.set()
        for got in self._http.handle_event(event):
            if isinstance(got, HeadersReceived):
                self._headers = {name.decode(): value.decode() for name, value in got.headers}
            elif isinstance(got, DataReceived):
                self._body += got.data
            if isinstance(got, HeadersReceived | DataReceived) and got.stream_ended:
                self._ended.set()

    async def ask(self, name: str, path: str = "/") -> H3Reply:
        """Send one request, and return its response."""
        self._headers, self._body = {}, b""
        self._ended.clear()
        pseudo = {":method": "GET", ":scheme": "https", ":authority": name, ":path": path}
        stream = self._quic.get_next_available_stream_id()
        headers = [(key.encode(), value.encode()) for key, value in pseudo.items()]
        self._http.send_headers(stream, headers, end_stream=True)
        self.transmit()
        async with asyncio.timeout(30):
            while not self._ended.is_set() and not self.is_closed:
                await self._ended.wait()
        if self.is_closed:
            raise ConnectionError("closed before the response ended")
        return H3Reply(int(self._headers[":status"]), self._headers, self._body.decode())


@asynccontextmanager
async def h3_connected(
    port: int, name: str, chain_pem: str, *, address: str = ADDRESS
) -> AsyncGenerator[H3Client]:
    """Open a connection that trusts one certificate, or those that it signed."""
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=H3_ALPN,
        server_name=name,
        cadata=chain_pem.encode(),
        idle_timeout=6.0,
    )
    async with connect(
        address, port, configuration=configuration, create_protocol=H3Client
    ) as client:
        assert isinstance(client, H3Client)
        yield client
