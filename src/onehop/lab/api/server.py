"""The in-memory API as an HTTP server: start, stop, and what tests hold in their hands.

It is not Kubernetes, and says so in /version, in its `Server` header and when it starts. One event
loop, no thread. aiohttp carries it: its parser is C, and a chunk of a watch goes from `write` to
the socket without a task in between.

The PyPI package `kmock` is not used: its Kubernetes part answers lists and watches without
revisions (no continue, 410, bookmarks or selectors), and those are what a client is tested with.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import structlog
from aiohttp import web

from onehop.lab.api.faults import EVENT, EVERYTHING, Faults
from onehop.lab.api.handler import Handler, Settings
from onehop.lab.api.history import Change
from onehop.lab.api.kubeconfig import kubeconfig
from onehop.lab.api.request_log import RequestLog
from onehop.lab.api.store import Store

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Manifests of a whole lab fit; aiohttp's own limit is 1 MiB."""

DEFAULT = Settings()
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

    def __init__(self, store: Store, settings: Settings) -> None:
        self.url = ""
        self.store = store
        self.faults = Faults(self.cut_watches)
        self.requests = RequestLog()
        self._settings = settings
        store.delivers = self._delivers

    def kubeconfig(self, namespace: str = "default") -> str:
        """Return a kubeconfig for it, as YAML."""
        tls = self._settings.tls
        ca = tls.certificate if tls else b""
        return kubeconfig(self.url, token=self._settings.token, ca=ca, namespace=namespace)

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
    settings: Settings = DEFAULT,
) -> AsyncGenerator[Server]:
    """Serve a Store for as long as the context lasts.

    Args:
        store: the objects.
        host: an address of this machine.
        port: 0 for any free one.
        settings: authentication, TLS, rules, the pace of bookmarks.
    """
    server = Server(store, settings)
    handler = Handler(store, server.faults, server.requests, settings)
    loop = asyncio.get_running_loop()
    runner = web.ServerRunner(
        web.Server(
            handler.handle,
            request_factory=partial(web.BaseRequest, loop=loop, client_max_size=MAX_BODY_BYTES),
            handler_cancellation=True,
            access_log=None,
        ),
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    try:
        context = settings.tls.context() if settings.tls else None
        await web.TCPSite(runner, host, port, ssl_context=context).start()
        bound = runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        server.url = f"{'https' if context else 'http'}://{shown}:{bound[1]}"
        log.info("lab_api_started", url=server.url, note="an in-memory API, not Kubernetes")
        yield server
    finally:
        server.cut_watches()
        await runner.cleanup()
