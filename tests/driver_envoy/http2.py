"""HTTP/2 without TLS, as a server that answers like gRPC and as a client."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

import h2.config
import h2.connection
import h2.events

from tests.driver_envoy.world import tcp_server


class H2Reply(NamedTuple):
    """A response with its trailers."""

    status: int
    headers: dict[str, str]
    trailers: dict[str, str]
    body: bytes


def _text(headers: object) -> dict[str, str]:
    pairs: list[tuple[bytes | str, bytes | str]] = list(headers or ())  # type: ignore[call-overload]
    return {_str(name): _str(value) for name, value in pairs}


def _str(text: bytes | str) -> str:
    return text.decode() if isinstance(text, bytes) else text


@asynccontextmanager
async def h2_backend() -> AsyncGenerator[tuple[int, list[dict[str, str]]]]:
    """Answer every request with an empty gRPC message and trailers; yield port and headers."""
    seen: list[dict[str, str]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = h2.config.H2Configuration(client_side=False)
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while data := await reader.read(65_536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    seen.append(_text(event.headers))
                elif isinstance(event, h2.events.StreamEnded):
                    stream = event.stream_id
                    connection.send_headers(
                        stream, [(":status", "200"), ("content-type", "application/grpc")]
                    )
                    connection.send_data(stream, b"\0\0\0\0\0")
                    connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)
            writer.write(connection.data_to_send())
        writer.close()

    async with tcp_server(answer) as port:
        yield port, seen


class H2Client:
    """One HTTP/2 connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration())
        self._connection.initiate_connection()

    async def post(
        self, name: str, path: str, body: bytes, headers: dict[str, str], scheme: str = "http"
    ) -> H2Reply:
        """Send one request, and return its response."""
        connection = self._connection
        stream = connection.get_next_available_stream_id()
        pseudo = {":method": "POST", ":scheme": scheme, ":authority": name, ":path": path}
        connection.send_headers(stream, list({**pseudo, **headers}.items()))
        connection.send_data(stream, body, end_stream=True)
        self._writer.write(connection.data_to_send())
        got: dict[str, str] = {}
        trailers: dict[str, str] = {}
        answer = b""
        async with asyncio.timeout(30):
            while data := await self._reader.read(65_536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        got = _text(event.headers)
                    elif isinstance(event, h2.events.TrailersReceived):
                        trailers = _text(event.headers)
                    elif isinstance(event, h2.events.DataReceived):
                        answer += event.data or b""
                    elif isinstance(event, h2.events.StreamEnded):
                        return H2Reply(int(got[":status"]), got, trailers, answer)
                self._writer.write(connection.data_to_send())
        raise ConnectionError("closed before the response ended")
