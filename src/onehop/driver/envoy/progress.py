"""Waiting for Envoy: until it has taken, or refused, what it was sent."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Final

from onehop.base.errors import DriverUnavailable
from onehop.driver.envoy.admin import EnvoyAdmin
from onehop.driver.envoy.cache import ResourceCache
from onehop.driver.envoy.resource import ResourceKey, ResourceType
from onehop.driver.envoy.session import Session
from onehop.driver.envoy.translator import Translator
from onehop.model.ident import RouterId
from onehop.model.pool import Pool
from onehop.plan import Stage

ACK_TIMEOUT_S: Final = 30.0
"""For one stage; 10,000 clusters take Envoy 3 s."""

_LOOK_S: Final = 0.02


class Progress:
    """How far the one Envoy has come.

    Args:
        cache: what it is offered.
        rows: which listener is served by what.
        admin: asked what still warms.
        session: returns the stream with it, or None while it is not connected.
        last_words: returns what it said last, for whoever reads why we gave up.
    """

    def __init__(
        self,
        cache: ResourceCache,
        rows: Translator,
        admin: EnvoyAdmin,
        *,
        session: Callable[[], Session | None],
        last_words: Callable[[], str],
    ) -> None:
        self._cache = cache
        self._rows = rows
        self._admin = admin
        self._session = session
        self._last_words = last_words
        self._made = asyncio.Event()
        self.last_ack_at: float | None = None
        """When Envoy last answered, in seconds since the epoch."""

    @property
    def is_connected(self) -> bool:
        """Whether Envoy is there and listens to us."""
        session = self._session()
        return session is not None and session.is_open(ResourceType.CLUSTER)

    def note(self) -> None:
        """Let everybody look again: Envoy has said something, or a stream began or ended."""
        self.last_ack_at = time.time()
        self._made.set()
        self._made = asyncio.Event()

    async def connected(self, timeout_s: float) -> None:
        """Wait until Envoy has connected.

        Raises:
            DriverUnavailable: it did not in time.
        """
        await self._until(lambda: self.is_connected, timeout_s, "Envoy to connect")

    async def settled(self, stage: Stage, changed: Iterable[ResourceKey]) -> None:
        """Wait until Envoy has taken, or refused, everything that a stage has changed.

        Raises:
            DriverUnavailable: it did not in time.
        """
        entries = ((key, self._cache.offered(key)) for key in changed)
        waiting = [(key, entry.version if entry else None) for key, entry in entries]

        def is_done() -> bool:
            # Whoever waits behind one that has not settled need not be looked at yet.
            while waiting and self._is_settled(*waiting[-1]):
                waiting.pop()
            return not waiting

        await self._until(is_done, ACK_TIMEOUT_S, f"Envoy to acknowledge stage {stage.kind}")
        checked = [
            row.health_check.timeout_s
            for row in stage.put
            if isinstance(row, Pool) and row.health_check is not None
        ]
        if checked:
            await self._first_checks(max(checked))

    def _is_settled(self, key: ResourceKey, version: int | None) -> bool:
        session = self._session()
        if session is None:
            return False
        match key.type:
            case ResourceType.CLUSTER | ResourceType.LISTENER:
                return session.is_open(key.type) and session.settled(key, version)
            case ResourceType.ENDPOINTS:
                cluster = ResourceKey(ResourceType.CLUSTER, key.name)
                is_due = self._cache.offered(cluster) is not None
            case ResourceType.ROUTES:
                is_due = self._is_listened_to(key.name)
            case ResourceType.HOST:
                is_due = self._is_listened_to(key.name.rpartition("/")[0])
            case ResourceType.SECRET:
                is_due = session.wants(key)
        return not is_due or (session.wants(key) and session.settled(key, version))

    def _is_listened_to(self, router: str) -> bool:
        listeners = self._rows.listeners_of(RouterId(router))
        return any(self._cache.offered(listener) is not None for listener in listeners)

    async def _first_checks(self, longest_s: float) -> None:
        """Wait until new pools have been checked once, or their checks timed out.

        Envoy acknowledges a cluster while it still warms, and answers 503 for it until then.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + longest_s + 1
        with contextlib.suppress(DriverUnavailable):
            while loop.time() < deadline:
                if not await self._admin.gauge("cluster_manager.warming_clusters"):
                    return
                await asyncio.sleep(_LOOK_S)

    async def _until(self, is_done: Callable[[], bool], timeout_s: float, what: str) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not is_done():
                    await self._made.wait()
        except TimeoutError as err:
            words = self._last_words() or "it said nothing"
            raise DriverUnavailable(
                f"waited {timeout_s:g} s for {what}; Envoy's last words: {words}"
            ) from err
