"""Watch streams: cut anywhere, of any size, and ended in any way."""

import asyncio
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.base.errors import KubeForbidden, KubeGone, KubeUnavailable
from onehop.cluster import EndpointSlice, Ingress, IngressClass, Node, Service
from onehop.cluster.kind import ClusterObject
from onehop.kube import (
    Client,
    Head,
    Progress,
    Removed,
    Unreadable,
    WatchPatience,
    Written,
    collection_of,
)
from onehop.kube.event import ItemDecoder
from onehop.kube.line import LONGEST_LINE_BYTES, LineSplitter
from tests.kube.scripted import Scripted

SLICES = collection_of(EndpointSlice)


def event(event_type: str, **item: Any) -> bytes:
    return msgspec.json.encode({"type": event_type, "object": item}) + b"\n"


def slice_event(revision: int, endpoints: int = 1) -> bytes:
    return event(
        "MODIFIED",
        metadata={"name": "a", "resourceVersion": str(revision)},
        endpoints=[
            {"addresses": [f"10.0.{number // 256}.{number % 256}"]} for number in range(endpoints)
        ],
    )


async def follow(client: Client, patience: WatchPatience | None = None) -> list[Any]:
    """Return all events of a watch, and the fault that ended it if there was one."""
    seen: list[Any] = []
    watch = client.watch(
        SLICES, resource_version="7", patience=patience or WatchPatience(silence_s=5)
    )
    async with aclosing(watch) as stream:
        try:
            async for events in stream:
                seen.extend(events)
        except (KubeUnavailable, KubeGone, KubeForbidden) as fault:
            seen.append(type(fault))
    return seen


@given(lines=st.lists(st.binary().filter(lambda line: b"\n" not in line)), data=st.data())
def test_lines_come_out_however_the_chunks_were_cut(
    lines: list[bytes], data: st.DataObject
) -> None:
    """Splitting does not depend on where the network cuts; empty lines are no lines."""
    stream = b"".join(line + b"\n" for line in lines)
    cuts = data.draw(st.lists(st.integers(0, len(stream)))) if stream else []
    ends = sorted({0, *cuts, len(stream)})
    splitter = LineSplitter()
    found = [line for start, end in pairwise(ends) for line in splitter.feed(stream[start:end])]
    assert found == [line for line in lines if line.strip()]


def test_a_line_without_end_is_refused() -> None:
    """No server may fill our memory."""
    splitter = LineSplitter()
    chunk = b"x" * (1024 * 1024)
    for _ in range(LONGEST_LINE_BYTES // len(chunk)):
        assert splitter.feed(chunk) == []
    with pytest.raises(KubeUnavailable):
        splitter.feed(chunk)


async def test_a_watch_asks_for_bookmarks_from_where_we_were(
    server: Scripted, client: Client
) -> None:
    """And for an end in good time."""
    server.streams()
    assert await follow(client, WatchPatience(lasts_s=44)) == []
    (request,) = server.requests
    assert request.path == "/apis/discovery.k8s.io/v1/endpointslices"
    assert dict(request.query) == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
        "timeoutSeconds": "44",
    }


async def test_large_events_arrive_whole(server: Scripted, client: Client) -> None:
    """A thousand endpoints in one line, in pieces of a kilobyte."""
    line = slice_event(8, endpoints=1000) + slice_event(9)
    server.streams(*[line[start : start + 1024] for start in range(0, len(line), 1024)])
    first, second = await follow(client)
    assert len(first.item.endpoints) == 1000
    assert second.head == Head(name="a", resource_version="9")


async def test_events_are_told_before_the_fault_behind_them(
    server: Scripted, client: Client
) -> None:
    """What arrived is used even if the next line ends the watch."""
    gone = event("ERROR", kind="Status", code=410, reason="Expired", message="too old")
    server.streams(slice_event(8) + gone + slice_event(9))
    written, fault = await follow(client)
    assert isinstance(written, Written)
    assert fault is KubeGone


@pytest.mark.parametrize(
    ("last", "fault"),
    [
        (event("ERROR", kind="Status", code=500), KubeUnavailable),
        (event("ERROR", kind="Status", code=403), KubeForbidden),
        (event("ERROR"), KubeUnavailable),
        (event("SURPRISE", metadata={}), KubeUnavailable),
        (b"<html>\n", KubeUnavailable),
        (b'{"type":"ADDED","object":{"metadata":{"name":"a"\n', KubeUnavailable),
        (b'{"type":"ADDED","object":[]}\n', KubeUnavailable),
    ],
)
async def test_a_line_that_is_no_event_ends_the_watch(
    server: Scripted, client: Client, last: bytes, fault: type[Exception]
) -> None:
    """It is resumed from the last event that was understood."""
    server.streams(slice_event(8) + last)
    assert (await follow(client))[1:] == [fault]


async def test_an_unfinished_line_at_the_end_is_left_out(server: Scripted, client: Client) -> None:
    """Half an event is none: the watch is resumed before it."""
    server.streams(slice_event(8) + slice_event(9)[:-20])
    assert [each.head.resource_version for each in await follow(client)] == ["8"]


async def test_a_silent_connection_is_noticed(server: Scripted, client: Client) -> None:
    """Neither byte nor end within the time allowed: the connection hangs."""
    server.streams(slice_event(8), then=asyncio.Event().wait)  # type: ignore[arg-type]  # never ends
    assert (await follow(client, WatchPatience(silence_s=1.0)))[1:] == [KubeUnavailable]


async def test_a_server_that_never_accepts_a_watch_is_noticed(
    server: Scripted, client: Client
) -> None:
    """Headers that do not come are not waited for as long as events are."""

    async def answer(_: object) -> Any:
        await asyncio.Event().wait()

    server.answer = answer
    assert await follow(client, WatchPatience(open_s=0.1)) == [KubeUnavailable]


@pytest.mark.parametrize(
    ("struct", "rest"),
    [
        (EndpointSlice, {"addressType": "", "endpoints": None, "ports": None}),
        (Service, {"spec": {}, "status": {"loadBalancer": {}}}),
        (Ingress, {"spec": {}, "status": {"loadBalancer": {}}}),
        (IngressClass, {"spec": {}}),
        (Node, {"spec": {}, "status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}}}),
    ],
)
def test_bookmarks_of_a_real_server_are_progress(
    struct: type[ClusterObject], rest: dict[str, Any]
) -> None:
    """Their objects have no name and little else (as sent by Kubernetes 1.36)."""
    line = event("BOOKMARK", metadata={"resourceVersion": "6469"}, **rest)
    assert ItemDecoder(struct).event(line) == Progress("6469")


def test_an_object_that_does_not_decode_is_told_by_name() -> None:
    """And a deletion needs no more than the name."""
    decoder = ItemDecoder(EndpointSlice)
    bad = {"metadata": {"name": "a", "uid": "u", "resourceVersion": "3"}, "endpoints": 5}
    unreadable = decoder.event(event("ADDED", **bad))
    assert isinstance(unreadable, Unreadable)
    assert unreadable.head.name == "a"
    assert "endpoints" in unreadable.message
    assert decoder.event(event("DELETED", **bad)) == Removed(unreadable.head)
