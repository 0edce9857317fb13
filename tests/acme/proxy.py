"""A CA's bad days: a proxy before it that writes everything down and answers as it is told.

It terminates TLS and hands the `Host` on, so that Pebble makes URLs that lead through it, and
signatures, which cover the URL, hold.
"""

import base64
import contextlib
import json
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from tests.acme.pebble import Pebble, free_ports

NAMES = {
    "dir": "directory",
    "nonce-plz": "nonce",
    "sign-me-up": "account",
    "order-plz": "order",
    "authZ": "authorization",
    "chalZ": "challenge",
    "finalize-order": "finalize",
    "my-order": "look",
    "certZ": "certificate",
    "renewal-info": "renewal",
    "list-orderz": "list",
    "my-account": "self",
    "revoke-cert": "revoke",
}
STEPS = ("directory", "account", "order", "authorization", "challenge", "finalize", "certificate")
_SLACK_S = 0.25
"""What was sent before a pause was heard of is here by then, on a busy machine too; who does not
heed pauses asks all through them."""


class Answer(NamedTuple):
    """Answer this, without asking the CA."""

    status: int
    retry_after: str | None = None
    kind: str = ""
    detail: str = "said the proxy"


class Cut(NamedTuple):
    """Cut the connection: once the CA has done its part, or before it hears of it."""

    is_after: bool


class Header(NamedTuple):
    """Ask the CA, and have its answer carry Retry-After."""

    retry_after: str


Fault = Answer | Cut | Header


@dataclass
class Request:
    """One request, and what came of it."""

    at: float
    what: str
    path: str
    body: Any
    answered_at: float = 0.0
    status: int = 0
    retry_after_s: float = 0.0
    hosts: tuple[str, ...] = ()
    fault: Fault | None = None


@dataclass
class Proxy:
    """Attributes are to be set while it runs.

    Attributes:
        fault: what befalls a request; asked for each, in the order of their coming.
        heard: told of each answer, just before it leaves.
        directory_extra: added to the CA's directory.
        windows: answers to renewalInfo by certificate id, "*" for all.
    """

    port: int
    pebble: Pebble
    upstream: aiohttp.ClientSession
    fault: Callable[[Request], Fault | None] = lambda _: None
    heard: Callable[[Request], None] = lambda _: None
    requests: list[Request] = field(default_factory=list)
    directory_extra: dict[str, Any] = field(default_factory=dict)
    windows: dict[str, dict[str, Any]] = field(default_factory=dict)
    renewal_retry_after: str | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def directory(self) -> str:
        return f"{self.url}/dir"

    def of(self, what: str) -> list[Request]:
        return [request for request in self.requests if request.what == what]

    @property
    def orders(self) -> list[Request]:
        """Orders that the CA took."""
        return [request for request in self.of("order") if request.status in {200, 201}]

    def too_early(self) -> Iterator[tuple[Request, Request]]:
        """Yield each pause that was asked for with a request that came before its end.

        What was on its way when the pause was asked for is no fault.
        """
        for pause in self.requests:
            begin, end = pause.answered_at + _SLACK_S, pause.answered_at + pause.retry_after_s
            for request in self.requests:
                if begin < request.at < end - 0.005 and _is_meant(pause, request):
                    yield pause, request

    async def handle(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        noted = _note(request, data)
        self.requests.append(noted)
        noted.fault = fault = self.fault(noted)
        if fault == Cut(is_after=False):
            return self._cut(request, noted)
        if isinstance(fault, Answer):
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            kind = fault.kind or "serverInternal"
            problem = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": fault.detail}
            answer = web.Response(status=fault.status, text=json.dumps(problem), headers=headers)
            return self._answered(noted, answer)
        if noted.what == "renewal":
            return self._answered(noted, self._renewal(request.path.rpartition("/")[2]))
        answer = await self._ask(request, data)
        noted.status = answer.status
        if fault == Cut(is_after=True):
            return self._cut(request, noted)
        if isinstance(fault, Header):
            answer.headers["Retry-After"] = fault.retry_after
        return self._answered(noted, answer)

    async def _ask(self, request: web.Request, data: bytes) -> web.Response:
        upstream = self.pebble.directory.removesuffix("/dir") + request.path_qs
        headers = {name: value for name, value in request.headers.items() if name != "Accept"}
        async with self.upstream.request(
            request.method, upstream, data=data, headers=headers
        ) as response:
            body = await response.read()
            if request.path == "/dir" and self.directory_extra:
                body = json.dumps(json.loads(body) | self.directory_extra).encode()
            answer = web.Response(status=response.status, body=body)
            for name in ("Replay-Nonce", "Location", "Content-Type", "Link", "Retry-After"):
                for value in response.headers.getall(name, []):
                    answer.headers.add(name, value)
            return answer

    def _renewal(self, certificate: str) -> web.Response:
        window = self.windows.get(certificate) or self.windows.get("*")
        retry = self.renewal_retry_after
        headers = {"Retry-After": retry} if retry else {}
        if window is None:
            return web.Response(status=404, text="{}", headers=headers)
        return web.Response(text=json.dumps(window), headers=headers)

    def _answered(self, noted: Request, answer: web.Response) -> web.Response:
        noted.answered_at, noted.status = time.monotonic(), answer.status
        retry_after = answer.headers.get("Retry-After", "0")
        noted.retry_after_s = float(retry_after) if retry_after.isdigit() else 0.0
        self.heard(noted)
        return answer

    def _cut(self, request: web.Request, noted: Request) -> web.Response:
        noted.answered_at = time.monotonic()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@contextlib.asynccontextmanager
async def proxied(pebble: Pebble) -> AsyncGenerator[Proxy]:
    """Run a proxy before Pebble."""
    (port,) = free_ports(1)
    trust = ssl.create_default_context(cadata=pebble.ca.ca_pem)
    upstream = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))
    proxy = Proxy(port, pebble, upstream)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pebble.ca.certificate, pebble.ca.key)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        yield proxy
    finally:
        await runner.cleanup()
        await upstream.close()


def _note(request: web.Request, data: bytes) -> Request:
    first = request.path.lstrip("/").partition("/")[0]
    body: Any = None
    with contextlib.suppress(ValueError, KeyError):
        payload = json.loads(data)["payload"]
        body = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    what = NAMES.get(first, first)
    identifiers = body.get("identifiers", []) if isinstance(body, dict) else []
    hosts = tuple(identifier["value"] for identifier in identifiers)
    return Request(time.monotonic(), what, request.path, body, hosts=hosts)


def _is_meant(pause: Request, request: Request) -> bool:
    """Tell whether a pause is about a request: a 503 is about all, a limit may name hosts."""
    if pause.status == 503:
        return True
    if pause.path != request.path:
        return False
    is_named = isinstance(pause.fault, Answer) and any(
        host in pause.fault.detail for host in pause.hosts
    )
    return not is_named or pause.hosts == request.hosts
