"""The in-memory API as an HTTP server: start, stop, and what tests hold in their hands.

It is not Kubernetes, and says so in /version, in its `Server` header and when it starts. One event
loop, no thread. aiohttp carries it: its parser is C, and a chunk of a watch goes from `write` to
the socket without a task in between.

The PyPI package `kmock` is not used: its Kubernetes part answers lists and watches without
revisions (no continue, 410, bookmarks or selectors), and those are what a client is tested with.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web

from onehop.lab.api.access import Allows, anything
from onehop.lab.api.faults import EVENT, EVERYTHING, Faults
from onehop.lab.api.handler import Handler, Settings
from onehop.lab.api.history import Change
from onehop.lab.api.kubeconfig import kubeconfig
from onehop.lab.api.request_log import RequestLog
from onehop.lab.api.store import Store
from onehop.lab.api.tls import ServerTls

MAX_BODY_BYTES = 64 * 1024 * 1024
BOOKMARK_PERIOD_S = 60.0
_SHUTDOWN_S = 1.0

log = structlog.get_logger()


class Server:
    """A running API.

    Attributes:
        url: where it listens, such as `http://127.0.0.1:40123`.
        store: its objects; what is written here is seen by its watchers at once.
        faults: its fault switches.
        requests: what it has been asked so far.
    """

    def __init__(self, store: Store, token: str, tls: ServerTls | None) -> None:
        self.url = ""
        self.store = store
        self.faults = Faults(self.cut_watches)
        self.requests = RequestLog()
        self._token = token
        self._tls = tls
        store.delivers = self._delivers

    def kubeconfig(self, namespace: str = "default") -> str:
        """Return a kubeconfig for it, as YAML."""
        ca = self._tls.certificate if self._tls else b""
        return kubeconfig(self.url, token=self._token, ca=ca, namespace=namespace)

    def cut_watches(self, resource: str = EVERYTHING) -> int:
        """Cut off the open watches of a resource, or all; return how many there were."""
        return self.store.cut_watches("" if resource == EVERYTHING else resource)

    def _delivers(self, resource: str, change: Change) -> bool:  # noqa: ARG002  the signature of `delivers`
        return self.faults.take(EVENT, resource) is None


@asynccontextmanager
async def serve(
    store: Store,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    token: str = "",
    tls: ServerTls | None = None,
    allows: Allows = anything,
    bookmark_period_s: float = BOOKMARK_PERIOD_S,
) -> AsyncIterator[Server]:
    """Serve a Store for as long as the context lasts.

    Args:
        store: the objects.
        host: an address of this machine.
        port: 0 for any free one.
        token: demanded as bearer token of every request; "" for none.
        tls: serve HTTPS with it; None for plain HTTP.
        allows: the rule hook of authorization.
        bookmark_period_s: between two bookmarks of a watch.
    """
    server = Server(store, token, tls)
    settings = Settings(token=token, allows=allows, bookmark_period_s=bookmark_period_s)
    handler = Handler(store, server.faults, server.requests, settings)
    runner = web.ServerRunner(
        web.Server(
            handler.handle,
            request_factory=_make_request,
            handler_cancellation=True,
            access_log=None,
        ),
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    try:
        context = tls.context() if tls else None
        await web.TCPSite(runner, host, port, ssl_context=context).start()
        bound = runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        server.url = f"{'https' if tls else 'http'}://{shown}:{bound[1]}"
        log.info("lab_api_started", url=server.url, note="an in-memory API, not Kubernetes")
        yield server
    finally:
        server.cut_watches()
        await runner.cleanup()


def _make_request(*parts: Any) -> web.BaseRequest:
    """Make aiohttp's request with a body limit that fits manifests; its default is 1 MiB."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(*parts, loop=loop, client_max_size=MAX_BODY_BYTES)
