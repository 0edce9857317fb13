"""A server that answers what a test says, byte for byte, and remembers what it was asked."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from onehop.kube import Access, CallPatience, Client, connect

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
QUICK = CallPatience(page_s=0.3, call_s=0.3)
PATIENT = CallPatience(page_s=20.0, call_s=20.0)


class Scripted:
    """Answers every request with what `answer` returns for it."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[web.BaseRequest] = []
        self.answer: Answer = _nothing

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answer(request)

    def says(self, body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Answer everything with this JSON, or with these bytes."""

        async def answer(_: web.BaseRequest) -> web.StreamResponse:
            if isinstance(body, bytes):
                return web.Response(body=body, status=status, headers=headers)
            return web.json_response(body, status=status, headers=headers)

        self.answer = answer

    def streams(self, *chunks: bytes, then: Callable[[], Awaitable[None]] | None = None) -> None:
        """Answer everything with these chunks, then wait for `then`, then end in good order."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for chunk in chunks:
                await response.write(chunk)
            if then is not None:
                await then()
            return response

        self.answer = answer


async def _nothing(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=500)


@asynccontextmanager
async def scripted() -> AsyncGenerator[Scripted]:
    """Run a scripted server on loopback."""
    server = Scripted()
    runner = web.ServerRunner(
        web.Server(server.handle, handler_cancellation=True, access_log=None), shutdown_timeout=0.5
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()


def write_kubeconfig(path: Path, url: str, user: dict[str, Any]) -> str:
    """Write a kubeconfig and return its path."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "nobody", "context": {"cluster": "c"}},
        ],
        "current-context": "one",
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


@asynccontextmanager
async def client_of(
    server: Scripted, folder: Path, patience: CallPatience = PATIENT
) -> AsyncGenerator[Client]:
    """Connect to a scripted server, without credentials."""
    path = write_kubeconfig(folder / "kubeconfig", server.url, {})
    async with connect(Access(kubeconfig=path), patience) as client:
        yield client
