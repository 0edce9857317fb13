"""Calls to one member of a unit's cluster, over one pool of connections.

Every call has a deadline. Whatever is wrong with the way there is a `DriverUnavailable`; what the
unit has against an object is a `RejectedError`. Moving to another member is `unit`'s decision, for
what was known of the first one need not hold there yet.
"""

import asyncio
import base64
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec
import yarl

from onehop import __version__
from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.driver.vtm.content import ObjectKey
from onehop.driver.vtm.fault import fault_of
from onehop.driver.vtm.options import VtmOptions

IN_FLIGHT: Final = 8
"""Calls at once, so that a full read-back does not crowd out the people at the unit's own UI."""

_CONNECTIONS: Final = 3 * IN_FLIGHT
"""Room for endpoints beside a plan and a comparison, each with as many calls as it may have."""

_NOT_THERE: Final = b"resource.not_found"
_TEXT: Final = "application/octet-stream"
_JSON: Final = "application/json"


class Rest:
    """One member at a time."""

    def __init__(self, options: VtmOptions) -> None:
        self.calls = 0
        """How many were made: reads and writes."""
        self.writes = 0
        self.version = ""
        """Of the REST API, once it is chosen."""
        self.is_denied = False
        """Whether the last answer was 401: the unit does not take our name and password."""
        self._options = options
        self._member = 0
        self._http: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Return which member is spoken to."""
        return self._options.urls[self._member]

    def leave(self, url: str) -> bool:
        """Speak to the next member unless that is done already; tell whether it is another."""
        if url == self.url:
            self._member = (self._member + 1) % len(self._options.urls)
        return url != self.url

    async def open(self) -> None:
        """Read the password and the CA; open nothing yet.

        Raises:
            ConfigError: a file cannot be read.
        """
        await self.close()
        login = f"{self._options.username}:{_password(self._options.password_file)}"
        headers = {
            "Authorization": f"Basic {base64.b64encode(login.encode()).decode()}",  # RFC 7617
            "User-Agent": f"onehop/{__version__}",
        }
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_trust(self._options.ca_file), limit=_CONNECTIONS),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),  # ours is around the whole exchange
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()
        self._http = None

    async def children(self, path: str) -> tuple[str, ...]:
        """Return the names below a directory.

        Raises:
            DriverUnavailable: or RejectedError; see the module.
        """
        answer = await self._json("GET", path)
        listed = answer.get("children", ())
        return tuple(str(child["name"]) for child in listed if "name" in child)

    async def metadata(self, collection: str) -> Any:
        """Return what the unit says of a collection's fields, in whatever shape."""
        answer = await self._json("GET", f"{self.config}/{collection}/?metadata")
        return answer.get("metadata")

    async def read(self, key: ObjectKey) -> Mapping[str, Any] | str | None:
        """Return an object's properties or text; None where there is none."""
        body = await self._call("GET", self._path(key), absent_is_none=True)
        if body is None:
            return None
        if key.kind.holds_text:
            return body.decode("utf-8", "replace")
        return _properties(self._decoded("GET", self._path(key), body))

    async def write(
        self, key: ObjectKey, content: Mapping[str, Any] | str
    ) -> Mapping[str, Any] | None:
        """PUT; return the properties that the unit has now, or None for a text."""
        self.writes += 1
        if isinstance(content, str):
            await self._call("PUT", self._path(key), data=content.encode(), content_type=_TEXT)
            return None
        data = msgspec.json.encode({"properties": content})
        body = await self._call("PUT", self._path(key), data=data, content_type=_JSON)
        return _properties(self._decoded("PUT", self._path(key), body or b""))

    async def delete(self, key: ObjectKey) -> None:
        """DELETE; one that is gone already is gone."""
        self.writes += 1
        await self._call("DELETE", self._path(key), absent_is_none=True)

    async def statistics(self, group: str, row: str) -> Mapping[str, Any]:
        """Return the counters of one row of a group of the statistics."""
        below = f"/api/tm/{self.version}/status/local_tm/statistics"
        answer = await self._json("GET", f"{below}/{group}/{quote(row, safe='')}")
        counters = answer.get("statistics")
        return counters if isinstance(counters, dict) else {}

    @property
    def config(self) -> str:
        """Return the path that all collections are below."""
        return f"/api/tm/{self.version}/config/active"

    def _path(self, key: ObjectKey) -> str:
        return f"{self.config}/{key.kind}/{quote(key.name, safe='')}"

    async def _json(self, method: str, path: str) -> Mapping[str, Any]:
        return self._decoded(method, path, await self._call(method, path) or b"")

    def _decoded(self, method: str, path: str, body: bytes) -> Mapping[str, Any]:
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise DriverUnavailable(f"{method} {self.url}{path}: no JSON: {err}") from err
        if not isinstance(answer, dict):
            raise DriverUnavailable(f"{method} {self.url}{path}: JSON, but no object")
        return answer

    async def _call(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        content_type: str | None = None,
        absent_is_none: bool = False,
    ) -> bytes | None:
        if self._http is None:
            raise DriverUnavailable(f"{method} {path}: not connected to the unit")
        doing = f"{method} {self.url}{path}"
        self.calls += 1
        try:
            async with asyncio.timeout(self._options.timeout_s):
                async with self._http.request(
                    method,
                    yarl.URL(self.url.rstrip("/") + path, encoded=True),
                    data=data,
                    headers={"Content-Type": content_type} if content_type else None,
                    allow_redirects=False,
                ) as response:
                    status, body = response.status, await response.read()
        except TimeoutError as err:
            waited = self._options.timeout_s
            raise DriverUnavailable(f"{doing}: no answer within {waited:g} s") from err
        except (aiohttp.ClientError, OSError, ValueError) as err:
            raise DriverUnavailable(f"{doing}: {err}") from err
        self.is_denied = status == HTTPStatus.UNAUTHORIZED
        if status == HTTPStatus.NOT_FOUND and absent_is_none and _NOT_THERE in body:
            return None
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise fault_of(doing, status, body)
        return body


def _properties(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = answer.get("properties")
    return properties if isinstance(properties, dict) else {}


def _password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: the unit's password cannot be read: {err}") from err


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as err:
        raise ConfigError(f"{ca_file}: the unit's CA cannot be read: {err}") from err
