"""Watches on the wire: lines of JSON in one long chunked answer.

A write wakes the watchers it concerns; each takes what is pending and writes it in one go. The
JSON of an event is encoded once, by its `Change`, however many watchers there are.
"""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
from aiohttp import web

from onehop.lab.api.answer import json_answer
from onehop.lab.api.call import Call, table_style
from onehop.lab.api.history import Change, EventType, Watch, event_line
from onehop.lab.api.page import WatchQuery
from onehop.lab.api.printing import TableStyle, table
from onehop.lab.api.refusal import Refused
from onehop.lab.api.resource import Resource
from onehop.lab.api.store import Store

WRITE_TIMEOUT_S = 30.0
"""A reader that takes nothing for so long is cut off."""

DEFAULT_TIMEOUT_S = 1800
"""`--min-request-timeout` of kube-apiserver; it takes a random time from there to its double."""

INITIAL_END = "k8s.io/initial-events-end"


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one watch is streamed.

    Attributes:
        marks_initial_end: a bookmark says where the initial state ends (KEP-3157).
    """

    with_bookmarks: bool
    marks_initial_end: bool
    timeout_s: float
    bookmark_period_s: float
    style: TableStyle | None


def stream_options(call: Call, query: WatchQuery, bookmark_period_s: float) -> StreamOptions:
    """Return how the client of a call wants its watch."""
    with_bookmarks = call.flag("allowWatchBookmarks")
    return StreamOptions(
        with_bookmarks=with_bookmarks,
        marks_initial_end=with_bookmarks and bool(query.send_initial),
        timeout_s=call.number("timeoutSeconds") or DEFAULT_TIMEOUT_S,
        bookmark_period_s=bookmark_period_s,
        style=table_style(call),
    )


def bookmark(resource: Resource, revision: int, *, ends_initial: bool = False) -> bytes:
    """Return a BOOKMARK event: an empty object of the kind with a resourceVersion."""
    metadata: dict[str, object] = {"resourceVersion": str(revision)}
    if ends_initial:
        metadata["annotations"] = {INITIAL_END: "true"}
    rest = resource.empty[1:]
    comma = b"" if rest == b"}" else b","
    obj = resource.head + b'"metadata":' + msgspec.json.encode(metadata) + comma + rest
    return event_line("BOOKMARK", obj)


class Stream:
    """One watch of one client, from its first byte to its last."""

    def __init__(
        self,
        store: Store,
        resource: Resource,
        options: StreamOptions,
        *,
        is_silenced: Callable[[], bool],
    ) -> None:
        self._store = store
        self._resource = resource
        self._options = options
        self._is_silenced = is_silenced
        self._wake = asyncio.Event()
        self._named_columns = False

    async def run(self, request: web.BaseRequest, query: WatchQuery) -> web.StreamResponse:
        """Stream events until the time is over, the client is gone, or the watch is cut.

        Raises:
            Refused: a wrong query, before the first byte. A revision that is too old is not
                raised but told as an ERROR event, as the real server's watch cache does.
        """
        try:
            watch = self._store.watch(self._resource, query, self._wake.set)
        except Refused as refused:
            if refused.code != 410:  # noqa: PLR2004  Gone
                raise
            return await error_stream(request, refused)
        try:
            first = self._lines(watch.take())
            if self._options.marks_initial_end:
                first += bookmark(self._resource, self._store.revision, ends_initial=True)
            response = await open_stream(request)
            if first:
                await self._write(response, first)
            await self._follow(request, response, watch)
        finally:
            watch.close()
        return response

    async def _follow(
        self, request: web.BaseRequest, response: web.StreamResponse, watch: Watch
    ) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + self._options.timeout_s
        next_bookmark = clock() + self._options.bookmark_period_s
        while clock() < end:
            self._wake.clear()
            if events := watch.take():
                await self._write(response, self._lines(events))
            elif not watch.is_open:
                abort(request)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(end, next_bookmark)):
                    await self._wake.wait()
            if clock() >= next_bookmark:
                next_bookmark = clock() + self._options.bookmark_period_s
                await self._bookmark(response, watch)
        await self._bookmark(response, watch)
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await response.write_eof()

    async def _bookmark(self, response: web.StreamResponse, watch: Watch) -> None:
        """Write what is pending, and then how far it went."""
        lines = self._lines(watch.take())
        if self._options.with_bookmarks and self._options.style is None:
            lines += bookmark(self._resource, self._store.revision)
        if lines:
            await self._write(response, lines)

    async def _write(self, response: web.StreamResponse, lines: bytes) -> None:
        if self._is_silenced():
            await asyncio.Event().wait()  # for ever: only the end of the connection ends it
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await response.write(lines)

    def _lines(self, events: list[tuple[EventType, Change]]) -> bytes:
        if self._options.style is None:
            return b"".join([change.line(event, self._resource) for event, change in events])
        return b"".join([self._table_line(event, change) for event, change in events])

    def _table_line(self, event: EventType, change: Change) -> bytes:
        assert self._options.style is not None  # noqa: S101  the only caller has looked
        shown = table(
            self._resource,
            [change.shown(event)],
            metadata={"resourceVersion": str(change.revision)},
            style=self._options.style,
            now=self._store.now(),
        )
        if self._named_columns:
            shown["columnDefinitions"] = None
        self._named_columns = True
        return event_line(event, msgspec.json.encode(shown))


async def open_stream(request: web.BaseRequest) -> web.StreamResponse:
    """Begin a chunked answer, and return it with its headers sent."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.prepare(request)
    return response


async def error_stream(request: web.BaseRequest, refused: Refused) -> web.StreamResponse:
    """Answer a watch with 200 and a single ERROR event."""
    response = await open_stream(request)
    line = event_line("ERROR", json_answer(refused.status).body.rstrip())
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(line)
        await response.write_eof()
    return response


def abort(request: web.BaseRequest) -> None:
    """Drop the connection as it is, in the middle of an answer."""
    if request.transport is not None:
        request.transport.abort()
