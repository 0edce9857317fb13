"""Envoy's admin interface, over its Unix socket (0600, in a 0700 directory): never over TCP."""

import asyncio
import json
import re
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp

from onehop.base.errors import DriverUnavailable

_TIMEOUT_S: Final = 10.0


class EnvoyAdmin:
    """Reads what Envoy says about itself."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def stats(self) -> str:
        """Return Envoy's statistics in Prometheus text format; unused ones are left out."""
        return await self._request("GET", "/stats/prometheus?usedonly")

    async def gauge(self, name: str) -> int | None:
        """Return one number by its full Envoy name, or None when it is not counted (yet)."""
        text = await self._request("GET", f"/stats?filter=^{name.replace('.', '[.]')}$")
        _, found, value = text.strip().partition(": ")
        return int(value) if found else None

    async def open_connections(self) -> int:
        """Return how many connections clients hold.

        From the listeners, one by one: the server's own total is as old as the last flush.
        """
        text = await self._request("GET", "/stats?filter=^listener[.].*[.]downstream_cx_active$")
        counts = (line.rpartition(": ") for line in text.splitlines())
        return sum(
            int(count)
            for name, _, count in counts
            if ".worker_" not in name and not name.startswith("listener.admin.")
        )

    async def config_dump(self, *, with_endpoints: bool = False) -> dict[str, Any]:
        """Return what Envoy serves, in its own words; it redacts private keys by itself."""
        query = "?include_eds" if with_endpoints else ""
        dump: dict[str, Any] = json.loads(await self._request("GET", f"/config_dump{query}"))
        return dump

    async def clusters(self, names: Iterable[str]) -> bytes:
        """Return the state of some clusters and of their hosts, as JSON; of no others."""
        wanted = "|".join(re.escape(name) for name in names)
        query = urlencode({"format": "json", "filter": f"^({wanted})$"})
        return (await self._request("GET", f"/clusters?{query}")).encode()

    async def post(self, path: str) -> str:
        """Ask Envoy to do something."""
        return await self._request("POST", path)

    async def _request(self, method: str, path: str) -> str:
        """Return the body of the answer.

        Raises:
            DriverUnavailable: nobody answers, or with another status than 200.
        """
        connector = aiohttp.UnixConnector(path=str(self._socket))
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                aiohttp.ClientSession(connector=connector) as session,
                session.request(method, f"http://envoy{path}") as answer,
            ):
                text = await answer.text()
        except (OSError, TimeoutError, aiohttp.ClientError) as err:
            raise DriverUnavailable(f"Envoy's admin socket {self._socket}: {err}") from err
        if answer.status != HTTPStatus.OK:
            raise DriverUnavailable(f"Envoy's admin: {method} {path}: {answer.status} {text[:200]}")
        return text
