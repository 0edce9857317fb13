"""Requests, and what becomes of each kind of refusal."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from onehop import __version__
from onehop.base.errors import (
    KubeConflict,
    KubeForbidden,
    KubeGone,
    KubeNotFound,
    KubeUnavailable,
    OnehopError,
    RejectedError,
    TransientError,
)
from onehop.cluster import Node, Service
from onehop.kube import Change, Client, Right, Selection, collection_of
from tests.kube.scripted import QUICK, Scripted, client_of

SERVICES = collection_of(Service)


def status(code: int, reason: str, **details: Any) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"said {reason}",
        "reason": reason,
        "details": details,
        "code": code,
    }


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (400, RejectedError),
        (401, KubeForbidden),
        (403, KubeForbidden),
        (404, KubeNotFound),
        (409, KubeConflict),
        (410, KubeGone),
        (422, RejectedError),
        (429, KubeUnavailable),
        (500, KubeUnavailable),
        (503, KubeUnavailable),
        (504, KubeUnavailable),
        (302, KubeUnavailable),
    ],
)
async def test_each_code_has_its_exception(
    server: Scripted, client: Client, code: int, fault: type[OnehopError]
) -> None:
    """The message says what was asked, of which object, and what the server said."""
    server.says(status(code, "Because"), status=code)
    with pytest.raises(fault, match=r"get Service shop/web: .* \(said Because\)") as caught:
        await client.get(SERVICES, "shop", "web")
    assert type(caught.value) in {fault, *fault.__subclasses__()}


@pytest.mark.parametrize(
    ("headers", "details", "wait_s"),
    [
        ({"Retry-After": "7"}, {}, 7.0),
        ({}, {"retryAfterSeconds": 3}, 3.0),
        ({"Retry-After": "99999"}, {}, 300.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}, None),
        ({}, {}, None),
    ],
)
async def test_retry_after_is_read_from_header_and_status(
    server: Scripted,
    client: Client,
    headers: dict[str, str],
    details: dict[str, int],
    wait_s: float | None,
) -> None:
    """In seconds, from either place, and never longer than five minutes."""
    server.says(status(429, "TooManyRequests", **details), status=429, headers=headers)
    with pytest.raises(TransientError) as caught:
        await client.get(SERVICES, "shop", "web")
    assert caught.value.retry_after_s == wait_s


async def test_find_tells_an_absent_object_from_other_404s(
    server: Scripted, client: Client
) -> None:
    """Only an API server that names the object says that it is not there."""
    server.says(status(404, "NotFound", name="web", kind="services"), status=404)
    assert await client.find(SERVICES, "shop", "web") is None
    for other in (status(404, "NotFound"), b"404 page not found", {"name": "web"}):
        server.says(other, status=404)
        with pytest.raises(KubeNotFound):
            await client.find(SERVICES, "shop", "web")


@pytest.mark.parametrize("body", [b'{"metadata":{"name":"w', b"", b"<html>", b"[]"])
async def test_half_an_answer_is_no_answer(server: Scripted, client: Client, body: bytes) -> None:
    """What does not decode is the server's trouble, to be tried again."""
    server.says(body)
    with pytest.raises(KubeUnavailable):
        await client.get(SERVICES, "shop", "web")


async def test_a_server_that_does_not_answer_is_unavailable(
    server: Scripted, tmp_path: Path
) -> None:
    """No request waits for ever."""
    server.streams(b'{"metadata":', then=asyncio.Event().wait)  # type: ignore[arg-type]  # never ends
    async with client_of(server, tmp_path, QUICK) as client:
        with pytest.raises(KubeUnavailable, match="no answer in time"):
            await client.get(SERVICES, "shop", "web")


async def test_a_body_shorter_than_promised_is_unavailable(
    server: Scripted, client: Client
) -> None:
    """A connection that breaks in the middle of a body is seen as such."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"metadata":{"name":"web"}}')
        assert request.transport is not None
        request.transport.close()
        return response

    server.answer = answer
    with pytest.raises(KubeUnavailable):
        await client.get(SERVICES, "shop", "web")


async def test_requests_say_who_we_are_and_ask_for_plain_json(
    server: Scripted, client: Client
) -> None:
    """Audit logs and flow control know us by our User-Agent; names are quoted in the path."""
    server.says({"metadata": {"name": "a/b"}})
    await client.get(collection_of(Node), "", "a/b?c")
    (request,) = server.requests
    assert request.headers["User-Agent"] == f"onehop/{__version__}"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in request.headers
    assert request.rel_url.raw_path == "/api/v1/nodes/a%2Fb%3Fc"


async def test_a_merge_patch_carries_its_precondition(server: Scripted, client: Client) -> None:
    """The resourceVersion goes into the patch, next to the metadata it changes."""
    bodies: list[Any] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        bodies.append(await request.json())
        return web.json_response({"metadata": {"name": "web"}})

    server.answer = answer
    metadata = {"finalizers": ["a"]}
    change = Change(
        patch={"metadata": metadata, "status": {}}, subresource="status", resource_version="7"
    )
    assert (await client.merge_patch(SERVICES, "shop", "web", change)).metadata.name == "web"
    assert bodies == [{"metadata": {"finalizers": ["a"], "resourceVersion": "7"}, "status": {}}]
    assert metadata == {"finalizers": ["a"]}
    (request,) = server.requests
    assert request.method == "PATCH"
    assert request.path == "/api/v1/namespaces/shop/services/web/status"
    assert request.content_type == "application/merge-patch+json"
    assert request.query["fieldManager"] == "onehop"


async def test_a_deletion_carries_its_precondition(server: Scripted, client: Client) -> None:
    """As `DeleteOptions`; without one, there is no body."""
    bodies: list[Any] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        bodies.append(await request.json() if request.can_read_body else None)
        return web.json_response({"kind": "Status", "status": "Success"})

    server.answer = answer
    await client.delete(SERVICES, "shop", "web", resource_version="7")
    await client.delete(SERVICES, "shop", "web")

    assert bodies == [{"preconditions": {"resourceVersion": "7"}}, None]
    assert [request.method for request in server.requests] == ["DELETE", "DELETE"]


async def test_a_list_can_be_of_labels(server: Scripted, client: Client) -> None:
    """The selector is passed on as it is."""
    server.says({"kind": "ServiceList", "metadata": {"resourceVersion": "1"}, "items": []})
    selection = Selection(namespace="shop", labels="app=web,tier!=test")

    assert [page.items async for page in client.pages(SERVICES, selection)] == [()]

    (request,) = server.requests
    assert request.path == "/api/v1/namespaces/shop/services"
    assert request.query["labelSelector"] == "app=web,tier!=test"
    assert "fieldSelector" not in request.query


async def test_a_right_can_be_asked_for(server: Scripted, client: Client) -> None:
    """SelfSubjectAccessReview, with only what was said."""
    server.says({"status": {"allowed": True}})
    assert await client.can_i(Right(verb="list", resource="services"))
    server.says({"status": {"allowed": False}})
    assert not await client.can_i(Right(verb="get", resource="secrets", namespace="shop"))


def page(items: list[Any], *, version: str = "5", more: str = "") -> dict[str, Any]:
    return {
        "kind": "ServiceList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": version, "continue": more},
        "items": items,
    }


async def read_all(client: Client) -> int:
    return sum([len(each.items) async for each in client.pages(SERVICES, limit=2)])


async def test_a_list_is_read_page_by_page(server: Scripted, client: Client) -> None:
    """Limit and selector on each page, the first for the newest state, the others by token."""
    pages = {"": page([{}, {}], more="t=1"), "t=1": page([{}])}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(pages[request.query.get("continue", "")])

    server.answer = answer
    selection = Selection(namespace="shop", name="web")
    sizes = [len(each.items) async for each in client.pages(SERVICES, selection, limit=2)]
    assert sizes == [2, 1]
    assert [dict(request.query) for request in server.requests] == [
        {"fieldSelector": "metadata.name=web", "limit": "2"},
        {"fieldSelector": "metadata.name=web", "limit": "2", "continue": "t=1"},
    ]
    assert server.requests[0].path == "/api/v1/namespaces/shop/services"


async def test_a_fresher_list_can_be_demanded(server: Scripted, client: Client) -> None:
    """resourceVersionMatch=NotOlderThan makes a lagging server refuse."""
    server.says(page([]))
    assert [each async for each in client.pages(SERVICES, not_older_than="9")]
    assert server.requests[0].query["resourceVersion"] == "9"
    assert server.requests[0].query["resourceVersionMatch"] == "NotOlderThan"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"kind": "ServiceList", "metadata": {"resourceVersion": "5"}},
        {"kind": "ServiceList", "metadata": {}, "items": []},
        {"kind": "NodeList", "metadata": {"resourceVersion": "5"}, "items": []},
        {"kind": "Status", "status": "Success"},
        {
            "kind": "ServiceList",
            "metadata": {"resourceVersion": "5", "remainingItemCount": 3},
            "items": [],
        },
        b'{"kind":"ServiceList","metadata":{"resourceVersion":"5"},"items":[{"metada',
        b"",
    ],
)
async def test_what_only_looks_like_an_empty_list_is_none(
    server: Scripted, client: Client, answer: Any
) -> None:
    """An empty list deletes things, so it has to be said in full."""
    server.says(answer)
    with pytest.raises(KubeUnavailable):
        await read_all(client)


async def test_null_items_are_an_empty_list(server: Scripted, client: Client) -> None:
    """So does Go encode an empty slice."""
    server.says({"kind": "ServiceList", "metadata": {"resourceVersion": "5"}, "items": None})
    assert await read_all(client) == 0


async def test_pages_of_different_lists_are_no_list(server: Scripted, client: Client) -> None:
    """All pages of a list are of one moment, or somebody mixes servers up."""
    answers = iter([page([{}], more="t"), page([{}], version="6")])

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(next(answers))

    server.answer = answer
    with pytest.raises(KubeUnavailable, match="the first was of 5"):
        await read_all(client)
