"""The API over HTTP: verbs, lists, watches, refusals."""

import asyncio
from typing import Any

import pytest
import yaml

from onehop.lab.api import Settings, Store, load, put, read, remove
from onehop.lab.api.protobuf import decode_protobuf
from onehop.lab.api.refusal import Refused
from tests.lab_api.objects import (
    config_map,
    endpoint_slice,
    gateway,
    gateway_definition,
    ingress,
    service,
)
from tests.lab_api.wire import PATIENCE_S, TABLE, wired

MAPS = "/api/v1/namespaces/shop/configmaps"
SERVICES = "/api/v1/namespaces/shop/services"
MERGE = "application/merge-patch+json"


async def test_an_object_lives_its_life_over_http(store: Store) -> None:
    """Create, get, replace, patch, delete, and the status codes of each."""
    async with wired(store) as wire:
        codes: list[int] = []
        code, created = await wire.ask("POST", MAPS, config_map("a", x="1"))
        codes.append(code)
        created["data"]["x"] = "2"
        codes.append((await wire.ask("PUT", f"{MAPS}/a", created))[0])
        code, patched = await wire.ask(
            "PATCH", f"{MAPS}/a", {"data": {"y": "3"}}, Content_Type=MERGE
        )
        codes.append(code)
        code, deleted = await wire.ask("DELETE", f"{MAPS}/a")
        codes.append(code)
        code, missing = await wire.ask("GET", f"{MAPS}/a")
        codes.append(code)

    assert codes == [201, 200, 200, 200, 404]
    assert patched["data"] == {"x": "2", "y": "3"}
    assert (deleted["kind"], deleted["status"]) == ("Status", "Success")
    assert deleted["details"]["uid"] == created["metadata"]["uid"]
    assert missing["reason"] == "NotFound"


async def test_items_of_a_builtin_list_name_no_kind_and_custom_ones_do(store: Store) -> None:
    """As recorded: clients must take the kind from the list."""
    put(store, service())
    put(store, gateway_definition())
    put(store, gateway())
    async with wired(store) as wire:
        services = await wire.get("/api/v1/services")
        gateways = await wire.get("/apis/gateway.networking.k8s.io/v1/gateways")

    assert (services["kind"], services["apiVersion"]) == ("ServiceList", "v1")
    assert services["metadata"]["resourceVersion"] == str(store.revision)
    assert "kind" not in services["items"][0]
    assert gateways["items"][0]["kind"] == "Gateway"


async def test_pages_are_followed_by_their_token(store: Store) -> None:
    """Limit and continue, with what remains."""
    load(store, (config_map(f"c{index}") for index in range(3)))
    async with wired(store) as wire:
        first = await wire.get(f"{MAPS}?limit=2")
        token = first["metadata"]["continue"]
        second = await wire.get(f"{MAPS}?limit=2&continue={token}")

    assert first["metadata"]["remainingItemCount"] == 1
    assert [each["metadata"]["name"] for each in second["items"]] == ["c2"]
    assert "continue" not in second["metadata"]


async def test_a_watch_tells_each_change_as_a_line(store: Store) -> None:
    """From the version of a list on, whoever wrote: HTTP or the Store itself."""
    async with wired(store) as wire:
        since = (await wire.get(MAPS))["metadata"]["resourceVersion"]
        async with wire.watch(f"{MAPS}?resourceVersion={since}") as lines:
            await wire.ask("POST", MAPS, config_map("a"))
            put(store, config_map("a", x="1"))
            remove(store, "configmaps", "shop", "a")
            taken = await lines.take(3)

    assert taken == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_watch_of_one_object_is_told_of_that_object_only(store: Store) -> None:
    """By field selector, or by the name in the path."""
    async with (
        wired(store) as wire,
        wire.watch(f"{MAPS}?fieldSelector=metadata.name%3Db") as selected,
        wire.watch(f"{MAPS}/b") as named,
    ):
        put(store, config_map("a"))
        put(store, config_map("b"))

        assert await selected.take(1) == [("ADDED", "b")]
        assert await named.take(1) == [("ADDED", "b")]


async def test_a_watch_ends_cleanly_after_its_time_with_a_bookmark(store: Store) -> None:
    """timeoutSeconds; the last line says how far it went."""
    async with wired(store) as wire:
        path = f"{MAPS}?timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={store.revision}"
        async with wire.watch(path) as lines:
            put(store, service())
            last = await lines.next()
            with pytest.raises(EOFError):
                await lines.next()

    assert last["type"] == "BOOKMARK"
    assert last["object"]["metadata"] == {"resourceVersion": str(store.revision)}


async def test_bookmarks_come_now_and_then(store: Store) -> None:
    """Without any change of the resource, the version moves on with other resources."""
    settings = Settings(bookmark_period_s=0.02)
    async with (
        wired(store, settings) as wire,
        wire.watch(f"{MAPS}?allowWatchBookmarks=1&resourceVersion={store.revision}") as lines,
    ):
        first = await lines.next()
        put(store, service())
        newest = await lines.next()
        while newest["object"] == first["object"]:
            newest = await lines.next()

    assert first["type"] == newest["type"] == "BOOKMARK"
    assert newest["object"]["metadata"]["resourceVersion"] == str(store.revision)


async def test_initial_events_end_with_a_marked_bookmark(store: Store) -> None:
    """KEP-3157: a list by watching."""
    load(store, [config_map("a"), config_map("b")])
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with wired(store) as wire, wire.watch(f"{MAPS}?{query}") as lines:
        initial = await lines.take(2)
        end = await lines.next()
        put(store, config_map("c"))
        after = await lines.take(1)

    assert initial == [("ADDED", "a"), ("ADDED", "b")]
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert after == [("ADDED", "c")]


async def test_a_watch_of_the_forgotten_past_is_told_in_the_stream(store: Store) -> None:
    """200, then one ERROR event with a Status of 410."""
    since = store.revision
    put(store, config_map("a"))
    store.compact()
    async with wired(store) as wire, wire.watch(f"{MAPS}?resourceVersion={since}") as lines:
        error = await lines.next()
        with pytest.raises(EOFError):
            await lines.next()

    assert error["type"] == "ERROR"
    assert (error["object"]["kind"], error["object"]["code"]) == ("Status", 410)


async def test_a_wrong_watch_is_refused_before_it_begins(store: Store) -> None:
    """422 as an answer, not as an event."""
    async with wired(store) as wire:
        code, _ = await wire.ask("GET", f"{MAPS}?watch=1&sendInitialEvents=true")

    assert code == 422


async def test_a_watcher_that_leaves_is_forgotten(store: Store) -> None:
    """Its place is given up when the connection goes, not at the next event."""
    collection = store.collection(store.registry.named("configmaps"))
    async with wired(store) as wire:
        async with wire.watch(MAPS):
            assert len(collection.watches) == 1
        async with asyncio.timeout(PATIENCE_S):
            while collection.watches:  # noqa: ASYNC110  the server tells nobody when it forgets
                await asyncio.sleep(0.01)


async def test_a_table_is_for_those_who_ask_for_one(store: Store) -> None:
    """Lists, single objects and watches; a watch names its columns once."""
    put(store, service(type="LoadBalancer"))
    async with wired(store) as wire:
        listed = await wire.get(SERVICES, Accept=TABLE)
        single = await wire.get(f"{SERVICES}/web?includeObject=Object", Accept=TABLE)
        bare = await wire.get(f"{SERVICES}?includeObject=None", Accept=TABLE)
        async with wire.watch(SERVICES, Accept=TABLE) as lines:
            first = await lines.next()
            put(store, service("api"))
            second = await lines.next()

    assert listed["kind"] == "Table"
    assert listed["rows"][0]["cells"][3] == "<pending>"
    assert listed["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert single["rows"][0]["object"]["kind"] == "Service"
    assert "object" not in bare["rows"][0]
    assert first["object"]["columnDefinitions"][0]["name"] == "Name"
    assert second["object"]["columnDefinitions"] is None
    assert second["object"]["rows"][0]["cells"][0] == "api"


@pytest.mark.parametrize(
    ("request_line", "body", "content_type", "code"),
    [
        ("GET /api/v1/things", None, "", 404),
        ("GET /apis/networking.k8s.io/v1", None, "", 200),
        ("GET /apis/nothing.example/v1", None, "", 404),
        ("GET /apis/nothing.example", None, "", 404),
        ("GET /api/v1/services/web", None, "", 404),
        ("GET /api/v1/namespaces/shop/nodes", None, "", 404),
        (f"GET {SERVICES}/web/scale", None, "", 404),
        (f"GET {MAPS}/a/status", None, "", 404),
        ("GET /nonsense", None, "", 404),
        (f"POST {SERVICES}/web", {}, "", 405),
        ("POST /api/v1/services", {}, "", 400),
        (f"POST {MAPS}", [], "", 400),
        (f"GET {MAPS}?limit=x", None, "", 400),
        (f"POST {MAPS}?dryRun=Some", {}, "", 400),
        (f"PATCH {MAPS}/a", {}, "application/json", 415),
        (f"PATCH {MAPS}/a", [], MERGE, 404),
    ],
)
async def test_what_cannot_be_served_is_refused_with_the_right_code(
    store: Store, request_line: str, body: Any, content_type: str, code: int
) -> None:
    """Always with a `Status` as body."""
    headers = {"Content_Type": content_type} if content_type else {}
    async with wired(store) as wire:
        method, path = request_line.split()
        status, answer = await wire.ask(method, path, body, **headers)

    assert status == code
    if code != 200:
        assert answer["kind"] == "Status"
        assert answer["code"] == code


async def test_a_client_that_only_takes_protobuf_is_refused(store: Store) -> None:
    """406; one that takes JSON too gets JSON."""
    only = "application/vnd.kubernetes.protobuf"
    async with wired(store) as wire:
        code, _ = await wire.ask("GET", MAPS, Accept=only)
        either, _ = await wire.ask("GET", MAPS, Accept=f"{only},application/json")

    assert (code, either) == (406, 200)


async def test_a_yaml_apply_works(store: Store) -> None:
    """`application/apply-patch+yaml` is YAML, as its name says."""
    async with (
        wired(store) as wire,
        wire.session.patch(
            f"{wire.server.url}{MAPS}/a?fieldManager=me",
            data=yaml.safe_dump(config_map("a", x="1")),
            headers={"Content-Type": "application/apply-patch+yaml"},
        ) as response,
    ):
        body = await response.json()

    assert response.status == 201
    assert body["metadata"]["managedFields"][0]["manager"] == "me"


async def test_requests_are_counted_by_verb_resource_and_program(store: Store) -> None:
    """So that a test can say: and it wrote nothing."""
    put(store, ingress())
    path = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/shop/status"
    async with wired(store) as wire:
        log = wire.server.requests
        await wire.ask("GET", MAPS, User_Agent="onehop/0.1 (linux)")
        await wire.ask("PATCH", path, {}, Content_Type=MERGE, User_Agent="onehop/0.1")
        await wire.ask("POST", MAPS, config_map("a"), User_Agent="kubectl/v1.32")
        writes = (log.writes(agent="onehop"), log.writes(), log.writes(agent="nobody"))
        listed = await wire.get("/onehop-lab/requests")
        await wire.ask("DELETE", "/onehop-lab/requests")

        assert log.count() == 0

    assert writes == (1, 2, 0)
    one = {
        "verb": "patch",
        "resource": "ingresses.networking.k8s.io/status",
        "agent": "onehop",
        "count": 1,
    }
    assert one in listed["requests"]


async def test_a_delete_of_a_collection_returns_what_is_gone(store: Store) -> None:
    """By selector."""
    load(store, [config_map("a", labels={"x": "1"}), config_map("b")])
    async with wired(store) as wire:
        _, gone = await wire.ask("DELETE", f"{MAPS}?labelSelector=x%3D1")
        left = await wire.get(MAPS)

    assert [each["metadata"]["name"] for each in gone["items"]] == ["a"]
    assert [each["metadata"]["name"] for each in left["items"]] == ["b"]


async def test_a_delete_with_preconditions_and_dry_run_reads_its_body(store: Store) -> None:
    """DeleteOptions come in the body."""
    put(store, config_map("a"))
    async with wired(store) as wire:
        wrong, _ = await wire.ask("DELETE", f"{MAPS}/a", {"preconditions": {"uid": "other"}})
        dry, _ = await wire.ask("DELETE", f"{MAPS}/a", {"dryRun": ["All"]})

    assert (wrong, dry) == (409, 200)
    assert read(store, "configmaps", "shop", "a")


async def test_a_list_of_many_endpoints_is_whole(store: Store) -> None:
    """Joined bytes are valid JSON."""
    load(store, (endpoint_slice(f"s{index}", addresses=100) for index in range(50)))
    async with wired(store) as wire:
        listed = await wire.get("/apis/discovery.k8s.io/v1/endpointslices")

    assert sum(len(each["endpoints"]) for each in listed["items"]) == 5000


@pytest.mark.parametrize(
    "body", [b"", b"k8s\0", b"k8s\0\x0a\xff", b"k8s\0\x0a\x02\x12\x00\x12\x00"]
)
def test_a_broken_protobuf_is_refused(body: bytes) -> None:
    """400 or 415, never a crash."""
    with pytest.raises(Refused) as caught:
        decode_protobuf(body)

    assert caught.value.code in (400, 415)
