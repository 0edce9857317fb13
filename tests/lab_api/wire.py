"""A client of the lab's API for tests: raw HTTP, because the wire is what is tested."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from onehop.lab.api import Server, Settings, Store, serve
from tests.lab_api.objects import Json

PATIENCE_S = 20.0
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Wire:
    """One client of one running server."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Json]:
        """Send a request and return the status and the decoded body."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            told.setdefault("Content-Type", "application/json")
        data = None if body is None else json.dumps(body)
        async with asyncio.timeout(PATIENCE_S):
            url = self.server.url + path
            async with self.session.request(method, url, data=data, headers=told) as response:
                text = await response.text()
                is_json = "json" in response.headers["Content-Type"]
                return response.status, json.loads(text) if is_json else {"text": text}

    async def get(self, path: str, **headers: str) -> Json:
        """GET what must be there."""
        status, body = await self.ask("GET", path, **headers)
        assert status == 200, body
        return body

    @contextlib.asynccontextmanager
    async def watch(self, path: str, **headers: str) -> AsyncGenerator["Lines"]:
        """Open a watch, and close it at the end."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        joint = "&" if "?" in path else "?"
        url = f"{self.server.url}{path}{joint}watch=1"
        async with self.session.get(url, headers=told) as response:
            assert response.status == 200
            yield Lines(response)


class Lines:
    """The events of one watch, line by line."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> Json:
        """Return the next event; raises EOFError at the clean end of the stream."""
        async with asyncio.timeout(PATIENCE_S):
            line = await self.response.content.readline()
        if not line:
            raise EOFError
        event: Json = json.loads(line)
        return event

    async def take(self, number: int) -> list[tuple[str, str]]:
        """Return the next events as type and name."""
        events = [await self.next() for _ in range(number)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


@contextlib.asynccontextmanager
async def wired(store: Store, settings: Settings | None = None) -> AsyncGenerator[Wire]:
    """Serve a Store and return a client of it."""
    async with (
        serve(store, settings=settings or Settings()) as server,
        aiohttp.ClientSession() as session,
    ):
        yield Wire(server, session)
