"""Calls to one member of a unit's cluster, over one pool of connections.

Every call has a deadline. Whatever is wrong with the way there is a `DriverUnavailable`; what the
unit has against an object is a `RejectedError`. Moving to another member is `unit`'s decision, for
what was known of the first one need not hold there yet.
"""

import asyncio
import base64
import ssl
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec
import yarl

from onehop import __version__
from onehop.base.errors import ConfigError, DriverUnavailable, OnehopError, RejectedError
from onehop.base.trust import trusting
from onehop.driver.vtm.calls import Calls, Outcome
from onehop.driver.vtm.content import ObjectKey
from onehop.driver.vtm.fault import fault_of
from onehop.driver.vtm.options import VtmOptions
from onehop.driver.vtm.window import MOST, Window

LANE: Final = 16
"""Calls at once for endpoints, beside those of a plan and a comparison."""

_CONNECTIONS: Final = MOST + LANE

_NOT_THERE: Final = b"resource.not_found"
_TEXT: Final = "application/octet-stream"
_JSON: Final = "application/json"


class NotTheWriter(OnehopError):  # noqa: N818  like those of base.errors
    """Another host may write to the unit now, and this one may not; it never leaves the driver."""


class Rest:
    """One member at a time."""

    def __init__(self, options: VtmOptions) -> None:
        self.calls = Calls()
        self.window = Window()
        """For whoever has many calls to make."""
        self.version = ""
        """Of the REST API, once it is chosen."""
        self.is_outdated = False
        """Whether the password or the CA should be read again: the unit has others."""
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before each write; see `SharedDriver`."""
        self._options = options
        self._member = 0
        self._http: aiohttp.ClientSession | None = None
        self._login = ""
        self._authority: bytes | None = None
        self._denied: dict[str, tuple[str, float]] = {}

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
        """Read the password and the CA; connections of before are kept if both are the same.

        Raises:
            ConfigError: a file cannot be read.
        """
        login = f"{self._options.username}:{_password(self._options.password_file)}"
        authority = _authority(self._options.ca_file)
        self.is_outdated = False
        if self._http is not None and (login, authority) == (self._login, self._authority):
            return
        trust = _trust(self._options.ca_file)
        self._login, self._authority = login, authority
        headers = {
            "Authorization": f"Basic {base64.b64encode(self._login.encode()).decode()}",  # RFC 7617
            "User-Agent": f"onehop/{__version__}",
        }
        before, self._http = (
            self._http,
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trust, limit=_CONNECTIONS),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=None),  # ours is around the whole exchange
                cookie_jar=aiohttp.DummyCookieJar(),
            ),
        )
        if before is not None:
            await before.close()

    async def close(self) -> None:
        """Close the connections."""
        before, self._http = self._http, None
        if before is not None:
            await before.close()

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
        body = await self._timed("GET", key)
        if body is None:
            return None
        if key.kind.holds_text:
            return body.decode("utf-8", "replace")
        return _properties(self._decoded("GET", self._path(key), body))

    async def write(
        self, key: ObjectKey, content: Mapping[str, Any] | str
    ) -> Mapping[str, Any] | None:
        """PUT; return the properties that the unit has now, or None for a text.

        Raises:
            NotTheWriter: another host writes.
            DriverUnavailable: or RejectedError; see the module.
        """
        if isinstance(content, str):
            await self._timed("PUT", key, data=content.encode(), content_type=_TEXT)
            return None
        data = msgspec.json.encode({"properties": content})
        body = await self._timed("PUT", key, data=data, content_type=_JSON)
        return _properties(self._decoded("PUT", self._path(key), body or b""))

    async def delete(self, key: ObjectKey) -> None:
        """DELETE; one that is gone already is gone. It raises as `write` does."""
        await self._timed("DELETE", key)

    async def complaints(self) -> tuple[str, ...]:
        """Return what the unit finds wrong with its configuration, in its own words."""
        answer = await self._json("GET", f"/api/tm/{self.version}/status/local_tm/state")
        state = answer.get("state")
        errors = state.get("errors") if isinstance(state, dict) else None
        return tuple(map(str, errors)) if isinstance(errors, list) else ()

    async def statistics(
        self, group: str, row: str, *, machine: str = "local_tm"
    ) -> Mapping[str, Any]:
        """Return the counters of one row of a group of the statistics."""
        path = self.statistics_path(group, machine=machine)
        answer = await self._json("GET", f"{path}/{quote(row, safe='')}")
        counters = answer.get("statistics")
        return counters if isinstance(counters, dict) else {}

    def statistics_path(self, group: str, *, machine: str = "local_tm") -> str:
        """Return where the rows of a group of the statistics are, of one traffic manager."""
        status = f"/api/tm/{self.version}/status/{quote(machine, safe='')}"
        return f"{status}/statistics/{group}"

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

    async def _timed(
        self,
        method: str,
        key: ObjectKey,
        *,
        data: bytes | None = None,
        content_type: str | None = None,
    ) -> bytes | None:
        """Make a call about one object, and let the window learn from it."""
        if method != "GET":
            if not self.may_write():
                raise NotTheWriter(f"{method} {key}: it is for another host to write")
            self.calls.writes += 1
        began = time.monotonic()
        try:
            body = await self._call(
                method,
                self._path(key),
                data=data,
                content_type=content_type,
                absent_is_none=data is None,
            )
        except DriverUnavailable:
            self.window.failed()
            raise
        self.window.took(method, time.monotonic() - began)
        return body

    async def _call(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        content_type: str | None = None,
        absent_is_none: bool = False,
    ) -> bytes | None:
        doing = f"{method} {self.url}{path}"
        try:
            status, body = await self._exchange(method, path, data, content_type)
        except TimeoutError as err:
            self.calls.outcomes[Outcome.LATE] += 1
            waited = self._options.timeout_s
            raise DriverUnavailable(f"{doing}: no answer within {waited:g} s") from err
        except (aiohttp.ClientError, OSError, ValueError) as err:
            self.calls.outcomes[Outcome.UNREACHED] += 1
            self.is_outdated |= isinstance(err, aiohttp.ClientSSLError)
            raise DriverUnavailable(f"{doing}: {err or type(err).__name__}") from err
        if status == HTTPStatus.NOT_FOUND and absent_is_none and _NOT_THERE in body:
            self.calls.outcomes[_done(method)] += 1
            return None
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            fault = fault_of(doing, status, body)
            self.calls.outcomes[_went_wrong(status, fault)] += 1
            raise fault
        self.calls.outcomes[_done(method)] += 1
        return body

    async def _exchange(
        self, method: str, path: str, data: bytes | None, content_type: str | None
    ) -> tuple[int, bytes]:
        http, login, url = self._http, self._login, self.url
        if http is None:
            raise DriverUnavailable(f"{method} {path}: not connected to the unit")
        refused, until = self._denied.get(url, ("", 0.0))
        if refused == login and time.monotonic() < until:
            raise DriverUnavailable(f"{url}: 401 a moment ago: another password is needed")
        async with (
            asyncio.timeout(self._options.timeout_s),
            http.request(
                method,
                yarl.URL(url.rstrip("/") + path, encoded=True),
                data=data,
                headers={"Content-Type": content_type} if content_type else None,
                allow_redirects=False,
            ) as response,
        ):
            status, body = response.status, await response.read()
        if status == HTTPStatus.UNAUTHORIZED:
            self._denied[url] = login, time.monotonic() + self._options.again_s
            self.is_outdated |= http is self._http
        return status, body


def _done(method: str) -> Outcome:
    return Outcome.READ if method == "GET" else Outcome.WRITTEN


def _went_wrong(status: int, fault: Exception) -> Outcome:
    if isinstance(fault, RejectedError):
        return Outcome.REFUSED
    is_denied = status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    return Outcome.DENIED if is_denied else Outcome.FAILED


def _properties(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = answer.get("properties")
    return properties if isinstance(properties, dict) else {}


def _password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: the unit's password cannot be read: {err}") from err


def _authority(ca_file: Path | None) -> bytes | None:
    try:
        return ca_file.read_bytes() if ca_file is not None else None
    except OSError as err:
        raise ConfigError(f"{ca_file}: the unit's CA cannot be read: {err}") from err


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return trusting(ca_file=ca_file)
    except (OSError, ssl.SSLError) as err:
        raise ConfigError(f"{ca_file}: the unit's CA cannot be read: {err}") from err
