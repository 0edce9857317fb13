"""The fault switches: the decision, and what each does on the wire."""

import asyncio

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.lab.api import Store, load, put
from onehop.lab.api.faults import (
    EVENT,
    Armed,
    CutWatches,
    DroppedEvent,
    EmptyList,
    Fault,
    Forbidden,
    Gone,
    Hang,
    ServerError,
    ShortList,
    Slow,
    StaleList,
    Throttled,
    Truncated,
    decide,
    usual_verbs,
)
from tests.lab_api.objects import config_map, service
from tests.lab_api.wire import PATIENCE_S, wired

MAPS = "/api/v1/namespaces/shop/configmaps"
FAULTS: tuple[Fault, ...] = (
    EmptyList(), ServerError(), Forbidden(), Throttled(), Gone(), Hang(), Truncated(), ShortList(),
    DroppedEvent(), StaleList(), CutWatches(), Slow(),
)  # fmt: skip


def fill(store: Store, number: int = 4) -> None:
    load(store, (config_map(f"c{index}") for index in range(number)))


# --- the decision ---


@given(st.integers(1, 5), st.integers(0, 9))
def test_a_counted_fault_befalls_so_many_requests_and_no_more(times: int, requests: int) -> None:
    """Exactly the first `times` of them."""
    armed: tuple[Armed, ...] = (Armed(fault=ServerError(), left=times),)
    hits = 0
    for _ in range(requests):
        fault, armed = decide(armed, "list", "services")
        hits += fault is not None

    assert hits == min(times, requests)
    assert bool(armed) is (requests < times)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_befalls_its_own_verbs_and_resource(fault: Fault) -> None:
    """By default those it is about; of another resource none."""
    armed = (Armed(fault=fault, resource="services"),)
    for verb in ("get", "list", "watch", "create", EVENT):
        hit, _ = decide(armed, verb, "services", is_continued=True)
        assert (hit is fault) is (verb in usual_verbs(fault))
        assert decide(armed, verb, "nodes", is_continued=True)[0] is None


def test_the_first_armed_fault_befalls_first() -> None:
    """Then the next: a test can line up what goes wrong."""
    armed = (Armed(fault=ServerError(), left=1), Armed(fault=Throttled(), left=1))

    first, then = decide(armed, "list", "services")
    second, last = decide(then, "list", "services")

    assert (first, second, last) == (ServerError(), Throttled(), ())


def test_gone_befalls_a_list_only_when_it_is_continued() -> None:
    """A first page always works; it is the second that expires."""
    armed = (Armed(fault=Gone()),)

    assert decide(armed, "list", "services")[0] is None
    assert decide(armed, "list", "services", is_continued=True)[0] == Gone()
    assert decide(armed, "watch", "services")[0] == Gone()


# --- on the wire ---


@pytest.mark.parametrize(
    ("fault", "code"),
    [(ServerError(), 500), (ServerError(code=503), 503), (Forbidden(), 403), (Throttled(), 429)],
)
async def test_a_refusal_befalls_once_and_then_all_is_well(
    store: Store, fault: Fault, code: int
) -> None:
    """A `Status` of failure, then the answer."""
    async with wired(store) as wire:
        wire.server.faults.arm(fault, "configmaps", times=1)
        refused, body = await wire.ask("GET", MAPS)
        answered, _ = await wire.ask("GET", MAPS)

    assert (refused, answered) == (code, 200)
    assert body["code"] == code


async def test_a_throttled_client_is_told_how_long_to_wait(store: Store) -> None:
    """Retry-After, in seconds."""
    async with wired(store) as wire:
        wire.server.faults.arm(Throttled(retry_after_s=7))
        async with wire.session.get(wire.server.url + MAPS) as response:
            assert response.headers["Retry-After"] == "7"


async def test_an_empty_list_is_empty_and_looks_new(store: Store) -> None:
    """The most dangerous lie: nothing there, at the newest version."""
    fill(store)
    async with wired(store) as wire:
        wire.server.faults.arm(EmptyList(), "configmaps")
        listed = await wire.get(MAPS)

    assert listed["items"] == []
    assert listed["metadata"] == {"resourceVersion": str(store.revision)}


async def test_a_short_list_ends_where_it_should_go_on(store: Store) -> None:
    """A page without its `continue`; without pages, half the list."""
    fill(store)
    async with wired(store) as wire:
        wire.server.faults.arm(ShortList())
        page = await wire.get(f"{MAPS}?limit=3")
        whole = await wire.get(MAPS)

    assert (len(page["items"]), len(whole["items"])) == (3, 2)
    assert "continue" not in page["metadata"]


async def test_a_stale_list_shows_an_older_state_under_its_version(store: Store) -> None:
    """A list, and the state that a watch begins with; the watch catches up then."""
    fill(store, 2)
    async with wired(store) as wire:
        wire.server.faults.arm(StaleList(revisions=1))
        listed = await wire.get(MAPS)
        async with wire.watch(f"{MAPS}?resourceVersion=0") as lines:
            events = await lines.take(2)

    assert [each["metadata"]["name"] for each in listed["items"]] == ["c0"]
    assert listed["metadata"]["resourceVersion"] == str(store.revision - 1)
    assert events == [("ADDED", "c0"), ("ADDED", "c1")]


async def test_a_list_from_before_everything_is_empty(store: Store) -> None:
    """Not refused: revision 0 would mean "any", so the oldest is 1."""
    fill(store, 2)
    async with wired(store) as wire:
        wire.server.faults.arm(StaleList(revisions=1000))
        listed = await wire.get(MAPS)

    assert listed["items"] == []
    assert listed["metadata"]["resourceVersion"] == "1"


async def test_a_truncated_answer_breaks_off_in_its_body(store: Store) -> None:
    """Less than its Content-Length, then the connection closes; a watch breaks off in a line."""
    fill(store)
    async with wired(store) as wire:
        wire.server.faults.arm(Truncated(), verbs={"list", "watch"})
        with pytest.raises(aiohttp.ClientPayloadError):
            await wire.ask("GET", MAPS)
        with pytest.raises(aiohttp.ClientPayloadError):
            async with wire.watch(MAPS) as lines:
                await lines.response.read()


async def test_gone_for_ever_answers_every_watch_with_an_error(store: Store) -> None:
    """In the stream, or as the status of the answer."""
    fill(store)
    async with wired(store) as wire:
        in_stream = wire.server.faults.arm(Gone(), "configmaps")
        for _ in range(2):
            async with wire.watch(f"{MAPS}?resourceVersion={store.revision}") as lines:
                event = await lines.next()
                assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        page = await wire.get(f"{MAPS}?limit=1")
        token = page["metadata"]["continue"]
        listed, _ = await wire.ask("GET", f"{MAPS}?limit=1&continue={token}")
        wire.server.faults.disarm(in_stream)
        wire.server.faults.arm(Gone(as_http=True), "configmaps")
        watched, _ = await wire.ask("GET", f"{MAPS}?watch=1&resourceVersion=1")

    assert (listed, watched) == (410, 410)


async def test_a_hanging_request_is_never_answered_and_ends_with_its_client(store: Store) -> None:
    """Accepted, and then nothing."""
    async with wired(store) as wire:
        wire.server.faults.arm(Hang(), verbs={"list"})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await wire.ask("GET", MAPS)
        wire.server.faults.disarm()
        assert (await wire.ask("GET", MAPS))[0] == 200


async def test_a_running_watch_goes_silent_and_a_new_one_never_speaks(store: Store) -> None:
    """Both connections stay open."""
    async with wired(store) as wire, wire.watch(MAPS) as running:
        wire.server.faults.arm(Hang(), "configmaps", verbs={"watch"})
        async with wire.watch(MAPS) as late:
            put(store, config_map("a"))
            for lines in (running, late):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await lines.next()


async def test_a_dropped_event_reaches_no_watch_and_the_next_does(store: Store) -> None:
    """The state has it, the watchers do not."""
    async with wired(store) as wire, wire.watch(MAPS) as lines:
        wire.server.faults.arm(DroppedEvent(), "configmaps", times=1)
        put(store, service())
        put(store, config_map("lost"))
        put(store, config_map("seen"))

        assert await lines.take(1) == [("ADDED", "seen")]
        listed = await wire.get(MAPS)
    assert [each["metadata"]["name"] for each in listed["items"]] == ["lost", "seen"]


async def test_cut_watches_break_off_at_once(store: Store) -> None:
    """Not a clean end: the stream lacks its last chunk. New watches work."""
    async with wired(store) as wire:
        async with wire.watch(MAPS) as lines:
            code, _ = await wire.ask(
                "POST", "/onehop-lab/faults", {"fault": {"type": "cutWatches"}}
            )
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
                await lines.next()
        async with wire.watch(MAPS) as again:
            put(store, config_map("a"))
            assert await again.take(1) == [("ADDED", "a")]

    assert code == 201
    assert wire.server.faults.armed == ()


async def test_a_slow_answer_comes_late_but_whole(store: Store) -> None:
    """No sooner than its delay."""
    async with wired(store) as wire:
        wire.server.faults.arm(Slow(delay_s=0.05))
        begin = asyncio.get_running_loop().time()
        await wire.get(MAPS)
        elapsed = asyncio.get_running_loop().time() - begin

    assert 0.05 <= elapsed < PATIENCE_S


async def test_faults_are_armed_and_disarmed_over_http(store: Store) -> None:
    """With their resource, verbs and times; a wrong one is refused with a reason."""
    body = {
        "fault": {"type": "serverError", "code": 502},
        "resource": "configmaps",
        "verbs": ["list"],
        "times": 2,
    }
    async with wired(store) as wire:
        created, armed = await wire.ask("POST", "/onehop-lab/faults", body)
        listed = await wire.get("/onehop-lab/faults")
        befallen, _ = await wire.ask("GET", MAPS)
        gone, _ = await wire.ask("DELETE", f"/onehop-lab/faults/{armed['id']}")
        answered, _ = await wire.ask("GET", MAPS)
        wrong, why = await wire.ask("POST", "/onehop-lab/faults", {"fault": {"type": "flood"}})
        lost, _ = await wire.ask("PUT", "/onehop-lab/faults")
        text = await wire.get("/onehop-lab")

    assert (created, befallen, gone, answered) == (201, 502, 200, 200)
    assert listed["faults"] == [body | {"id": armed["id"]}]
    assert (wrong, lost) == (400, 404)
    assert "flood" in why["message"]
    assert "not Kubernetes" in text["text"]
