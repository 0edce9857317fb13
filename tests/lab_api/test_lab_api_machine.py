"""The one property that makes a watch cache trustworthy, under random writes."""

import contextlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from onehop.lab.api import PatchType, Refused, put, remove
from onehop.lab.api.history import EventType
from onehop.lab.api.page import ListQuery, WatchQuery
from tests.lab_api.objects import Json, config_map, make_store

NAMES = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.sampled_from(["1", "2", "3"])
FINALIZER = "onehop.dev/hold"


class StoreMachine(RuleBasedStateMachine):
    """List at any revision plus watch from it gives the newest state, whatever happened."""

    def __init__(self) -> None:
        super().__init__()
        self.store = make_store(history=12)
        self.resource = self.store.registry.named("configmaps")
        self.lists: list[tuple[int, dict[str, bytes]]] = []
        self.readers = [
            (self.store.watch(self.resource, WatchQuery(), lambda: None), dict[str, bytes]())
        ]

    def _exists(self, name: str) -> bool:
        return self.store.collection(self.resource).get(("shop", name)) is not None

    @rule(name=NAMES, value=VALUES, label=VALUES)
    def put(self, name: str, value: str, label: str) -> None:
        put(self.store, config_map(name, labels={"l": label}, x=value))

    @rule(name=NAMES)
    def hold(self, name: str) -> None:
        if self._exists(name):
            body = {"metadata": {"finalizers": [FINALIZER]}}
            # What is being deleted already refuses a new finalizer.
            with contextlib.suppress(Refused):
                self.store.patch(self.resource, ("shop", name), PatchType.MERGE, body)

    @rule(name=NAMES)
    def release(self, name: str) -> None:
        if self._exists(name):
            body = {"metadata": {"finalizers": None}}
            self.store.patch(self.resource, ("shop", name), PatchType.MERGE, body)

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        if self._exists(name):
            remove(self.store, "configmaps", "shop", name)

    @rule()
    def list_now(self) -> None:
        self.lists.append((self.store.revision, self._state()))

    @rule()
    def join(self) -> None:
        watch = self.store.watch(self.resource, WatchQuery(), lambda: None)
        self.readers.append((watch, dict[str, bytes]()))

    @precondition(lambda self: len(self.readers) > 1)
    @rule()
    def forget(self) -> None:
        self.store.compact()

    def _state(self) -> dict[str, bytes]:
        return {each.key[1]: each.body for each in self.store.collection(self.resource).all()}

    @invariant()
    def running_watches_know_the_newest_state(self) -> None:
        for watch, known in self.readers:
            for event, change in watch.take():
                shown = change.shown(event)
                if event is EventType.DELETED:
                    del known[change.key[1]]
                else:
                    assert (change.key[1] in known) is (event is EventType.MODIFIED)
                    known[change.key[1]] = shown.body
            assert known == self._state()

    @invariant()
    def a_list_and_a_watch_from_it_give_the_newest_state(self) -> None:
        for revision, state in self.lists:
            since = WatchQuery(resource_version=str(revision))
            if revision < self.store.collection(self.resource).compacted:
                with pytest.raises(Refused, match="too old resource version"):
                    self.store.watch(self.resource, since, lambda: None)
                continue
            watch = self.store.watch(self.resource, since, lambda: None)
            watch.close()
            known = dict(state)
            for event, change in watch.take():
                if event is EventType.DELETED:
                    del known[change.key[1]]
                else:
                    known[change.key[1]] = change.shown(event).body
            assert known == self._state()

    @invariant()
    def the_past_is_what_it_was(self) -> None:
        for revision, state in self.lists:
            query = ListQuery(resource_version=str(revision), match="Exact")
            if revision < self.store.collection(self.resource).compacted:
                with pytest.raises(Refused, match="too old"):
                    self.store.list_page(self.resource, query)
                continue
            page = self.store.list_page(self.resource, query)
            assert {each.key[1]: each.body for each in page.items} == state

    @invariant()
    def every_object_carries_the_revision_of_its_last_write(self) -> None:
        revisions: list[int] = []
        for stored in self.store.collection(self.resource).all():
            metadata: Json = stored.decode()["metadata"]
            assert metadata["resourceVersion"] == str(stored.revision)
            revisions.append(stored.revision)
        assert len(set(revisions)) == len(revisions)
        assert max(revisions, default=0) <= self.store.revision


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
