"""The lab's API, as the lab itself writes to it."""

from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import aiohttp
import msgspec

from onehop.base.errors import KubeNotFound, KubeUnavailable, RejectedError

Json: TypeAlias = dict[str, Any]

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_MERGE: Final = {"Content-Type": "application/merge-patch+json"}
_JSON: Final = {"Content-Type": "application/json"}


class Cluster:
    """A connection to the API; use it as a context."""

    def __init__(self, port: int) -> None:
        self._session = aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=_TIMEOUT)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self._session.close()

    async def items(self, path: str) -> list[Json]:
        """Return the objects of a collection, such as `/api/v1/nodes`."""
        return list((await self._ask("GET", path))["items"])

    async def get(self, path: str) -> Json:
        """Return an object."""
        return await self._ask("GET", path)

    async def create(self, path: str, obj: Json) -> Json:
        """Create an object in a collection; its status, where it has one, goes separately."""
        made = await self._ask("POST", path, obj)
        if obj.get("status"):
            name = obj["metadata"]["name"]
            await self.patch(f"{path}/{name}/status", {"status": obj["status"]})
        return made

    async def patch(self, path: str, change: Json) -> Json:
        """Merge a change into an object (RFC 7386)."""
        return await self._ask("PATCH", path, change)

    async def delete(self, path: str) -> None:
        """Delete an object; it need not be there."""
        try:
            await self._ask("DELETE", path)
        except KubeNotFound:
            return

    async def _ask(self, method: str, path: str, body: Json | None = None) -> Json:
        headers = _MERGE if method == "PATCH" else _JSON
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with self._session.request(method, path, data=data, headers=headers) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as err:
            raise KubeUnavailable(f"the lab's API does not answer: {err!r}") from err
        if response.status == HTTPStatus.NOT_FOUND:
            raise KubeNotFound(f"{method} {path}: not found")
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise RejectedError(f"{method} {path}: {response.status}: {content.decode()[:300]}")
        return msgspec.json.decode(content, type=dict[str, Any])
