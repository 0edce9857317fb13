"""A CA's responder that does as it is told: a real HTTP server on loopback."""

import contextlib
import datetime as dt
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from aiohttp import web
from cryptography.x509 import ocsp

from tests.stapling.ca import Ca, Party

Handler = Callable[[], Awaitable[web.StreamResponse]]


class Responder:
    """Answers for the leaves it knows; `behave` has it do something else.

    Attributes:
        asked: serial numbers, in the order of the questions.
        says: how its answers differ from the usual (see `Ca.says`).
    """

    def __init__(self, ca: Ca, clock: Callable[[], float]) -> None:
        self.ca = ca
        self.url = ""
        self.asked: list[int] = []
        self.says: dict[str, Any] = {}
        self.behave: Handler | None = None
        self.at_once = self.most_at_once = 0
        self._clock = clock
        self._leaves: dict[int, Party] = {}

    @property
    def origin(self) -> str:
        return self.url.rstrip("/")

    def leaf(self, host: str = "www.example", **fields: Any) -> Party:
        """Return a leaf that names this responder."""
        leaf = self.ca.leaf(host, self.url, **fields)
        self._leaves[leaf.certificate.serial_number] = leaf
        return leaf

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        assert request.headers["Content-Type"] == "application/ocsp-request"
        serial = ocsp.load_der_ocsp_request(await request.read()).serial_number
        self.asked.append(serial)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.behave is not None:
                return await self.behave()
        finally:
            self.at_once -= 1
        now = dt.datetime.fromtimestamp(int(self._clock()), dt.UTC)
        body = self.ca.says(self._leaves[serial], now, **self.says)
        return web.Response(body=body, content_type="application/ocsp-response")


@contextlib.asynccontextmanager
async def responding(ca: Ca, clock: Callable[[], float]) -> AsyncGenerator[Responder]:
    """Run a responder until the context ends."""
    responder = Responder(ca, clock)
    application = web.Application()
    application.router.add_post("/", responder.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        responder.url = f"http://{host}:{port}/"
        yield responder
    finally:
        await runner.cleanup()
