"""The delta ADS server: moves bytes between a Session and the one Envoy it belongs to.

Only `DeltaAggregatedResources` is registered. Everything else of the xDS family (state of the
world streams, unary Fetch, per-type services) answers UNIMPLEMENTED: what is not there cannot be
forgotten when rights are checked (compare CVE-2026-53714, unauthenticated Fetch methods).
The socket lies in a 0700 directory and is itself 0600.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc.aio

from onehop.driver.envoy.proto import DeltaDiscoveryRequest
from onehop.driver.envoy.session import Session

SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHOD: Final = "DeltaAggregatedResources"

_EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]  not in the stubs

_CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),  # the first response to Envoy holds everything
    ("grpc.max_receive_message_length", -1),  # and so does its request after a broken stream
    ("grpc.so_reuseport", 0),
    # gRPC takes pings more often than every 5 minutes for abuse, and ends the connection at the
    # third (https://github.com/grpc/grpc/blob/master/doc/keepalive.md); Envoy sends them as often
    # as its bootstrap says.
    ("grpc.http2.max_ping_strikes", 0),
)


class XdsServer:
    """Serves the newest stream; a stream that was there before is ended.

    Args:
        new_session: called for each stream.
        on_progress: called after each request from Envoy, and when a stream begins or ends.
    """

    def __init__(self, new_session: Callable[[], Session], on_progress: Callable[[], None]) -> None:
        self._new_session = new_session
        self._on_progress = on_progress
        self._session: Session | None = None
        self._wake = asyncio.Event()
        self.sent_bytes = 0
        """Length of all responses so far: what changes nothing must not add to it."""

    @property
    def session(self) -> Session | None:
        """The stream with Envoy, or None while it is not connected."""
        return self._session

    def wake(self) -> None:
        """Send what is pending, at the next turn of the event loop."""
        self._wake.set()

    @asynccontextmanager
    async def listening(self, socket: Path) -> AsyncGenerator[None]:
        """Serve on a Unix socket until the context is left."""
        server = grpc.aio.server(options=_CHANNEL_OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=DeltaDiscoveryRequest.FromString,
            response_serializer=None,  # a Session's responses are bytes already
        )
        service = grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})
        server.add_generic_rpc_handlers((service,))
        _unlink(socket)
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        _make_private(socket)
        try:
            yield
        finally:
            await server.stop(grace=None)
            _unlink(socket)

    async def _stream(self, _requests: Any, context: Any) -> None:
        session = self._new_session()
        self._session = session
        self._wake.set()  # the writer of an older stream sees that it was replaced
        self._wake = asyncio.Event()
        self._on_progress()
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(session, context, self._wake))
                await self._read(session, context)
                writer.cancel()
        finally:
            if self._session is session:
                self._session = None
                self._on_progress()

    async def _read(self, session: Session, context: Any) -> None:
        while (request := await context.read()) is not _EOF:
            if self._session is not session:
                return
            session.receive(request)
            self._wake.set()
            self._on_progress()

    async def _write(self, session: Session, context: Any, wake: asyncio.Event) -> None:
        while self._session is session:
            response = session.next_response()
            if response is None:
                wake.clear()
                await wake.wait()
            else:
                self.sent_bytes += len(response)
                await context.write(response)


def _unlink(socket: Path) -> None:
    socket.unlink(missing_ok=True)


def _make_private(socket: Path) -> None:
    socket.chmod(0o600)
