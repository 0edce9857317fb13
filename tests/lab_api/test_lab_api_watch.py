"""Lists in pages, watches, and the past."""

import msgspec
import pytest

from onehop.lab.api import PatchType, Refused, Store, put, remove
from onehop.lab.api.history import EventType, Watch
from onehop.lab.api.page import ListQuery, WatchQuery, decode_continue
from onehop.lab.api.selector import Selection, parse_selection
from tests.lab_api.objects import config_map, make_store, told, watch


def fill(store: Store, number: int) -> None:
    for index in range(number):
        put(store, config_map(f"c{index}"))


def names(store: Store, query: ListQuery) -> list[str]:
    page = store.list_page(store.registry.named("configmaps"), query)
    return [stored.key[1] for stored in page.items]


def test_pages_show_one_state_though_it_changes_between_them(store: Store) -> None:
    """Every page has the first one's resourceVersion, and the objects as they were then."""
    resource = store.registry.named("configmaps")
    fill(store, 5)
    first = store.list_page(resource, ListQuery(limit=2))
    remove(store, "configmaps", "shop", "c3")
    put(store, config_map("c2b"))

    second = store.list_page(resource, ListQuery(limit=2, continue_token=first.continue_token))
    third = store.list_page(resource, ListQuery(limit=2, continue_token=second.continue_token))

    assert [each.key[1] for each in (*first.items, *second.items, *third.items)] == [
        "c0", "c1", "c2", "c3", "c4",
    ]  # fmt: skip
    assert {first.revision, second.revision, third.revision} == {first.revision}
    assert (first.remaining, second.remaining, third.remaining) == (3, 1, None)
    assert third.continue_token == ""


def test_a_page_whose_snapshot_is_gone_offers_to_go_on_in_the_newest_state(store: Store) -> None:
    """410 Expired carries a token that skips what was seen already."""
    resource = store.registry.named("configmaps")
    fill(store, 4)
    first = store.list_page(resource, ListQuery(limit=2))
    put(store, config_map("c9"))
    store.compact()

    with pytest.raises(Refused) as caught:
        store.list_page(resource, ListQuery(limit=9, continue_token=first.continue_token))
    fresh = caught.value.status["metadata"]["continue"]

    assert (caught.value.code, caught.value.status["reason"]) == (410, "Expired")
    assert names(store, ListQuery(limit=9, continue_token=fresh)) == ["c2", "c3", "c9"]


def test_a_token_that_is_not_ours_is_refused() -> None:
    """400, not a crash."""
    with pytest.raises(Refused) as caught:
        decode_continue("bm90IG91cnM=")

    assert caught.value.code == 400


def test_an_exact_version_gives_the_past_and_not_older_than_the_present(store: Store) -> None:
    """The two meanings of resourceVersionMatch."""
    fill(store, 2)
    past = str(store.revision)
    remove(store, "configmaps", "shop", "c0")

    assert names(store, ListQuery(resource_version=past, match="Exact")) == ["c0", "c1"]
    assert names(store, ListQuery(resource_version=past, match="NotOlderThan")) == ["c1"]
    assert names(store, ListQuery(resource_version="0")) == ["c1"]


def test_version_zero_ignores_the_limit(store: Store) -> None:
    """The real server answers it from its cache, whole."""
    fill(store, 3)

    assert names(store, ListQuery(resource_version="0", limit=1)) == ["c0", "c1", "c2"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (ListQuery(match="Exact"), 422),
        (ListQuery(match="Exact", resource_version="0"), 422),
        (ListQuery(match="Whatever", resource_version="1"), 422),
        (ListQuery(resource_version="x"), 400),
        (ListQuery(resource_version="999999"), 504),
        (ListQuery(resource_version="1", match="Exact"), 410),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(query: ListQuery, code: int) -> None:
    """Contradictions are 422, versions of the future 504, of a forgotten past 410."""
    store = make_store()
    put(store, config_map("a"))
    store.compact()

    with pytest.raises(Refused) as caught:
        store.list_page(store.registry.named("configmaps"), query)

    assert caught.value.code == code


def test_a_watch_goes_on_where_a_list_ended(store: Store) -> None:
    """Every change after the list's version, each once, in order."""
    fill(store, 1)
    since = str(store.revision)
    put(store, config_map("c1"))
    put(store, config_map("c0", x="1"))

    events = watch(store, "configmaps", since=since)
    remove(store, "configmaps", "shop", "c1")

    expected = [("ADDED", "c1"), ("MODIFIED", "c0"), ("DELETED", "c1")]
    assert told(events.take()) == expected


def test_a_watch_without_a_version_begins_with_what_is_there(store: Store) -> None:
    """Synthetic ADDED events, as for version 0."""
    fill(store, 2)

    assert told(watch(store, "configmaps").take()) == [("ADDED", "c0"), ("ADDED", "c1")]
    assert told(watch(store, "configmaps", since="0").take()) == [("ADDED", "c0"), ("ADDED", "c1")]


def test_a_watch_of_a_forgotten_version_is_gone() -> None:
    """The log is bounded; what it no longer knows is 410."""
    store = make_store(history=3)
    since = str(store.revision)
    fill(store, 4)

    with pytest.raises(Refused) as caught:
        watch(store, "configmaps", since=since)

    assert (caught.value.code, caught.value.status["reason"]) == (410, "Expired")


def test_objects_enter_and_leave_a_selection_as_added_and_deleted(store: Store) -> None:
    """A label change is a birth or a death to those who select by it."""
    events = watch(store, "configmaps", labels="tier=front")
    put(store, config_map("a", labels={"tier": "front"}))
    put(store, config_map("a", labels={"tier": "front"}, x="1"))
    put(store, config_map("a", labels={"tier": "back"}, x="1"))
    put(store, config_map("a", labels={"tier": "back"}, x="2"))

    taken = events.take()

    assert told(taken) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    last = taken[-1][1].shown(EventType.DELETED)
    assert last.labels == {"tier": "front"}
    assert last.revision == taken[-1][1].revision


def test_fields_select_by_name_and_namespace_and_type(store: Store) -> None:
    """metadata.name, metadata.namespace, and a Secret's type."""
    secrets = store.registry.named("secrets")
    for name, kind in (("a", "Opaque"), ("b", "example.com/token")):
        store.create(secrets, "shop", {"metadata": {"name": name}, "type": kind})

    def found(fields: str) -> list[str]:
        selection = parse_selection(secrets, None, "", fields)
        return [e.key[1] for e in store.list_page(secrets, ListQuery(selection=selection)).items]

    assert found("metadata.name=a") == ["a"]
    assert found("metadata.namespace!=shop") == []
    assert found("type!=Opaque") == ["b"]
    with pytest.raises(Refused, match="field label not supported"):
        found("spec.color=red")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", ["a"]),
        ("a==1,b!=2", ["a"]),
        ("a in (1, 2)", ["a", "b"]),
        ("a notin (1)", ["b", "c"]),
        ("a", ["a", "b"]),
        ("!a", ["c"]),
        ("a>1", ["b"]),
        ("b", ["b"]),
    ],
)
def test_label_selectors_mean_what_they_mean_to_kubectl(text: str, expected: list[str]) -> None:
    """Absent labels satisfy `!=` and `notin`."""
    store = make_store()
    for name, labels in (("a", {"a": "1"}), ("b", {"a": "2", "b": "2"}), ("c", {"x": "y"})):
        put(store, config_map(name, labels=labels))
    resource = store.registry.named("configmaps")

    assert names(store, ListQuery(selection=parse_selection(resource, "shop", text))) == expected


@pytest.mark.parametrize("text", ["a=1=2", "a in 1", "a>x", "a b", "in ()"])
def test_a_selector_that_cannot_be_understood_is_refused(store: Store, text: str) -> None:
    """400, naming what was not understood."""
    with pytest.raises(Refused) as caught:
        parse_selection(store.registry.named("configmaps"), None, text)

    assert caught.value.code == 400


def test_an_event_is_encoded_once_for_all_its_watchers(store: Store) -> None:
    """Two watchers get the very same bytes."""
    resource = store.registry.named("configmaps")
    first, second = (watch(store, "configmaps", since=str(store.revision)) for _ in range(2))
    put(store, config_map("a"))

    [(event, change)] = first.take()
    [(same_event, same_change)] = second.take()

    line = change.line(event, resource)
    assert line is same_change.line(same_event, resource)
    decoded = msgspec.json.decode(line)
    assert decoded["type"] == "ADDED"
    assert list(decoded["object"])[:3] == ["kind", "apiVersion", "metadata"]


def test_a_watcher_that_never_reads_is_cut_off(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue is bounded; the others go on."""
    monkeypatch.setattr(Watch, "MAX_PENDING", 2)
    lazy = watch(store, "configmaps", since=str(store.revision))
    fill(store, 3)

    assert not lazy.is_open
    assert len(lazy.take()) == 2


def test_initial_events_need_their_match(store: Store) -> None:
    """KEP-3157: sendInitialEvents goes with resourceVersionMatch=NotOlderThan only."""
    resource = store.registry.named("configmaps")

    with pytest.raises(Refused) as caught:
        store.watch(resource, WatchQuery(send_initial=True), lambda: None)
    with pytest.raises(Refused) as alone:
        store.watch(resource, WatchQuery(match="NotOlderThan"), lambda: None)

    assert (caught.value.code, alone.value.code) == (422, 422)


def test_a_watch_that_refuses_initial_events_begins_now(store: Store) -> None:
    """sendInitialEvents=false without a version: nothing of what is there."""
    fill(store, 1)
    query = WatchQuery(send_initial=False, match="NotOlderThan")

    quiet = store.watch(store.registry.named("configmaps"), query, lambda: None)

    assert quiet.take() == []


def test_an_everything_selection_accepts_everything(store: Store) -> None:
    """The fast way of a list without selectors is not a different list."""
    stored = put(store, config_map("a"))

    assert Selection().is_everything
    assert Selection().accepts(stored)
    assert not Selection(namespace="shop").is_everything


def test_a_patch_is_one_event(store: Store) -> None:
    """No intermediate state is ever shown."""
    key = put(store, config_map("a")).key
    events = watch(store, "configmaps", since=str(store.revision))

    operations = [
        {"op": "add", "path": "/data/x", "value": "1"},
        {"op": "add", "path": "/data/y", "value": "2"},
    ]
    store.patch(store.registry.named("configmaps"), key, PatchType.JSON, operations)

    assert told(events.take()) == [("MODIFIED", "a")]
