"""One HTTP request, from its arrival to the last byte of its answer.

The only place where faults are applied: `_befallen` takes what `Faults` decided and does it.
"""

import asyncio
from typing import assert_never

import msgspec
from aiohttp import web

from onehop.lab.api.access import USER, Access, Allows, anything, review
from onehop.lab.api.answer import (
    Answer,
    answer_write,
    json_answer,
    list_answer,
    list_query,
    object_answer,
    refusal_answer,
    watch_query,
)
from onehop.lab.api.call import WRITES, Call, Target, parse_target, verb_of
from onehop.lab.api.discovery import REVIEWS
from onehop.lab.api.faults import (
    CutWatches,
    DroppedEvent,
    EmptyList,
    Fault,
    Faults,
    Forbidden,
    Gone,
    Hang,
    ServerError,
    ShortList,
    Slow,
    StaleList,
    Throttled,
    Truncated,
    refusal_of,
)
from onehop.lab.api.fixed import LAB, fixed_answer, is_health, lab_answer
from onehop.lab.api.page import Page
from onehop.lab.api.refusal import Refused, bad_request, not_allowed
from onehop.lab.api.request_log import RequestLog, Seen
from onehop.lab.api.resource import Resource
from onehop.lab.api.store import Store
from onehop.lab.api.stream import (
    WRITE_TIMEOUT_S,
    Stream,
    error_stream,
    open_stream,
    stream_options,
)
from onehop.lab.api.tls import ServerTls

READ_TIMEOUT_S = 30.0
_REVIEW_PATH = f"/apis/{REVIEWS.api_version}/{REVIEWS.plural}"
_SERVER = "onehop-lab (not Kubernetes)"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a server behaves, besides what it stores.

    Attributes:
        token: the bearer token every request must carry; "" for none.
        tls: serve HTTPS with it; None for plain HTTP.
        allows: the rule that decides who may do what.
        bookmark_period_s: between two bookmarks of a watch; the real server's is a minute.
    """

    token: str = ""
    tls: ServerTls | None = None
    allows: Allows = anything
    bookmark_period_s: float = 60.0


class Handler:
    """Answers the requests of one server."""

    def __init__(
        self, store: Store, faults: Faults, requests: RequestLog, settings: Settings
    ) -> None:
        self._store = store
        self._faults = faults
        self._requests = requests
        self._settings = settings

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; a refusal becomes its `Status`."""
        async with asyncio.timeout(READ_TIMEOUT_S):
            call = await read_call(request)
        try:
            self._authenticate(request, call)
            answer = self._fixed(request, call)
            if answer is not None:
                return _response(answer)
            return await self._about_objects(request, call)
        except Refused as refused:
            return _response(refusal_answer(refused))

    def _authenticate(self, request: web.BaseRequest, call: Call) -> None:
        token = self._settings.token
        if not token or is_health(call.path):
            return
        if request.headers.get("Authorization") != f"Bearer {token}":
            raise Refused(401, "Unauthorized", "Unauthorized")

    def _fixed(self, request: web.BaseRequest, call: Call) -> Answer | None:
        if is_health(call.path):
            return Answer(200, b"ok", "text/plain")
        if call.path.startswith(LAB):
            return lab_answer(call, self._faults, self._requests)
        if call.path == _REVIEW_PATH and call.method == "POST":
            asked = call.content()
            if not isinstance(asked, dict):
                raise bad_request("the body is no SelfSubjectAccessReview")
            return json_answer(review(asked, self._settings.allows), 201)
        return fixed_answer(call, self._store.registry, request.host)

    async def _about_objects(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        target = parse_target(call.path, self._store.registry)
        verb = verb_of(call, target)
        name = target.resource.name
        shown = f"{name}/{target.subresource}" if target.subresource else name
        self._requests.note(Seen(verb, shown, call.agent))
        fault = self._faults.take(verb, name, is_continued="continue" in call.query)
        access = Access(
            verb=verb,
            group=target.resource.group,
            resource=target.resource.plural,
            subresource=target.subresource,
            namespace=target.namespace,
            name=target.name,
        )
        if isinstance(fault, Forbidden) or not self._settings.allows(access):
            raise not_allowed(
                verb, plural=target.resource.plural, group=target.resource.group, user=USER
            )
        return await self._befallen(request, call, target, verb, fault)

    async def _befallen(
        self, request: web.BaseRequest, call: Call, target: Target, verb: str, fault: Fault | None
    ) -> web.StreamResponse:
        """Answer a request as the fault that befalls it says."""
        match fault:
            case Gone(as_http=False) if verb == "watch":
                return await error_stream(request, refusal_of(fault))
            case ServerError() | Throttled() | Gone():
                raise refusal_of(fault)
            case Hang():
                return await _never(request, verb)
            case Truncated():
                answer = None if verb == "watch" else self._answer(call, target, verb, None)
                return await _break_off(request, answer)
            case Slow(delay_s=delay_s):
                await asyncio.sleep(delay_s)
            case None | EmptyList() | ShortList() | StaleList():
                pass  # the answer is made as ever, from less or from older state
            case Forbidden() | DroppedEvent() | CutWatches():
                pass  # dealt with before a request comes this far
            case _:
                assert_never(fault)
        if verb == "watch":
            return await self._watch(request, call, target, fault)
        return _response(self._answer(call, target, verb, fault))

    def _answer(self, call: Call, target: Target, verb: str, fault: Fault | None) -> Answer:
        now = self._store.now()
        if verb in WRITES:
            return answer_write(self._store, call, target, verb, now)
        if verb == "get":
            stored = self._store.get(target.resource, (target.namespace, target.name))
            return object_answer(target, stored, call, now=now)
        query = list_query(call, target)
        if isinstance(fault, StaleList):
            past = str(self._stale_revision(target.resource, fault))
            query = msgspec.structs.replace(
                query, resource_version=past, match="Exact", continue_token=""
            )
        page = self._store.list_page(target.resource, query)
        return list_answer(target, _thinned(page, fault), call, now)

    async def _watch(
        self, request: web.BaseRequest, call: Call, target: Target, fault: Fault | None
    ) -> web.StreamResponse:
        query = watch_query(call, target)
        options = stream_options(call, query, self._settings.bookmark_period_s)
        if isinstance(fault, StaleList) and (
            query.send_initial or query.resource_version in ("", "0")
        ):
            past = self._stale_revision(target.resource, fault)
            query = msgspec.structs.replace(query, state_at=past)
        name = target.resource.name
        stream = Stream(
            self._store, target.resource, options, is_silenced=lambda: self._faults.silences(name)
        )
        return await stream.run(request, query)

    def _stale_revision(self, resource: Resource, fault: StaleList) -> int:
        oldest = self._store.collection(resource).compacted
        # Not 0, which in a list means "any".
        return max(oldest, self._store.revision - fault.revisions, 1)


async def read_call(request: web.BaseRequest) -> Call:
    """Return a request's values, its body included."""
    headers = request.headers
    return Call(
        method=request.method,
        path=request.path,
        query=dict(request.query),
        accept=",".join(headers.getall("Accept", ())),
        content_type=headers.get("Content-Type", ""),
        user_agent=headers.get("User-Agent", ""),
        body=await request.read() if request.can_read_body else b"",
    )


def _thinned(page: Page, fault: Fault | None) -> Page:
    match fault:
        case EmptyList():
            return Page([], page.revision)
        case ShortList() if page.continue_token:
            return Page(page.items, page.revision)
        case ShortList():
            return Page(page.items[: len(page.items) // 2], page.revision)
        case _:
            return page


def _response(answer: Answer) -> web.Response:
    response = web.Response(
        status=answer.code,
        body=answer.body,
        headers={"Content-Type": answer.content_type, "Server": _SERVER},
    )
    response.headers.extend(answer.headers)
    return response


async def _break_off(request: web.BaseRequest, answer: Answer | None) -> web.StreamResponse:
    """Send half of an answer under the length of the whole, or half an event (None), and close."""
    if answer is None:
        response = await open_stream(request)
        half = b'{"type":"ADDED","object":{"kind":'
    else:
        response = web.StreamResponse(
            status=answer.code, headers={"Content-Type": answer.content_type}
        )
        response.content_length = len(answer.body)
        half = answer.body[: len(answer.body) // 2]
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.prepare(request)
        await response.write(half)
    if request.transport is not None:
        request.transport.close()  # unlike abort, it lets the half out first
    return response


async def _never(request: web.BaseRequest, verb: str) -> web.StreamResponse:
    """Wait until the client gives up: its disconnection cancels the handler."""
    if verb == "watch":
        await open_stream(request)
    await asyncio.Event().wait()
    raise AssertionError("nobody sets that event")
