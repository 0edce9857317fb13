"""Envoy's admin interface, over its Unix socket (0600, in a 0700 directory): never over TCP."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

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
        """Return how many connections clients hold."""
        return await self.gauge("server.total_connections") or 0

    async def config_dump(self, *, with_endpoints: bool = False) -> dict[str, Any]:
        """Return what Envoy serves, in its own words; it redacts private keys by itself."""
        query = "?include_eds" if with_endpoints else ""
        dump: dict[str, Any] = json.loads(await self._request("GET", f"/config_dump{query}"))
        return dump

    async def post(self, path: str) -> str:
        """Ask Envoy to do something."""
        return await self._request("POST", path)

    async def _request(self, method: str, path: str) -> str:
        """Return the body of the answer.

        Raises:
            DriverUnavailable: nobody answers, or with another status than 200.
        """
        head = f"{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n"
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(head.encode())
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as err:
            raise DriverUnavailable(f"Envoy's admin socket {self._socket}: {err}") from err
        headers, _, body = answer.partition(b"\r\n\r\n")
        status = headers.split(b" ", 2)[1:2]
        if status != [b"200"]:
            raise DriverUnavailable(f"Envoy's admin socket: {method} {path}: {headers[:80]!r}")
        if b"transfer-encoding: chunked" in headers.lower():
            body = _dechunk(body)
        return body.decode()


def _dechunk(body: bytes) -> bytes:
    """Undo the chunked transfer coding (RFC 9112, section 7.1)."""
    parts: list[bytes] = []
    while body:
        size_line, _, rest = body.partition(b"\r\n")
        size = int(size_line.split(b";")[0] or b"0", 16)
        if size == 0:
            break
        parts.append(rest[:size])
        body = rest[size + 2 :]
    return b"".join(parts)
