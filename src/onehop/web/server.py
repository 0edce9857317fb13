"""Serving an ASGI application inside somebody else's event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from onehop.base.errors import ConfigError


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: ending is the program's decision, not the server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.asynccontextmanager
async def serve_tcp(app: Starlette, host: str, port: int) -> AsyncGenerator[int]:
    """Serve on an address; yields the port, which is a free one if 0 was asked for.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as err:
        listener.close()
        raise ConfigError(f"listen.metrics: {host}:{port}: {err.strerror}") from err
    async with _serving(app, listener):
        yield listener.getsockname()[1]


@contextlib.asynccontextmanager
async def serve_unix(app: Starlette, path: Path) -> AsyncGenerator[None]:
    """Serve on a Unix socket that only its owner may open; a stale one is replaced."""
    listener = _bind_unix(path)
    try:
        async with _serving(app, listener):
            yield
    finally:
        listener.close()
        _remove(path)


def _bind_unix(path: Path) -> socket.socket:
    _remove(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)  # before it listens, so nobody else gets in between
    return listener


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def _serving(app: Starlette, listener: socket.socket) -> AsyncGenerator[None]:
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            server.force_exit = True
            await task
