"""Whatever the watch loses and the lists leave out, the sink ends up with what the server has."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from onehop.base.errors import KubeUnavailable
from onehop.cluster import EndpointSlice, Node, Service
from onehop.cluster.kind import ClusterObject, ref_of
from onehop.cluster.slice import EndpointConditions
from onehop.kube import Progress, collection_of
from onehop.kube.event import ItemDecoder
from onehop.model.ident import ObjectRef
from onehop.source import Deleted
from onehop.source.ledger import Ledger, Listing
from onehop.source.slim import Slimmer
from onehop.source.source import ObjectChange

NAMES = st.sampled_from(["a", "b", "c", "d"])


def encoded(name: str, uid: str, revision: int, **spec: object) -> bytes:
    metadata = {"name": name, "namespace": "shop", "uid": uid, "resourceVersion": str(revision)}
    return msgspec.json.encode({"metadata": metadata, "spec": spec})


def line(event_type: str, item: bytes) -> bytes:
    return msgspec.json.encode({"type": event_type, "object": msgspec.Raw(item)})


def service_decoder() -> ItemDecoder[ClusterObject]:
    return ItemDecoder(Service)


class Mirror:
    """What a sink would hold."""

    def __init__(self) -> None:
        self.objects: dict[ObjectRef, ClusterObject] = {}

    def apply(self, changes: list[ObjectChange] | tuple[ObjectChange, ...]) -> None:
        for change in changes:
            if isinstance(change, Deleted):
                assert self.objects.pop(change.ref, None) is not None, "deleted what was not there"
            else:
                assert self.objects.get(ref_of(change)) != change, "handed on what did not change"
                self.objects[ref_of(change)] = change


class ServerAndLedger(RuleBasedStateMachine):
    """A server that writes, and a ledger that hears of it late, in part, or twice."""

    def __init__(self) -> None:
        super().__init__()
        self.revision = 10
        self.uids = 0
        self.stored: dict[str, tuple[str, int]] = {}
        self.past: list[tuple[int, dict[str, tuple[str, int]]]] = []
        self.log: list[tuple[int, bytes]] = []
        self.told = 0
        self.has_lost = False
        self.ledger = Ledger(collection_of(Service), Slimmer())
        self.decoder = service_decoder()
        self.sink = Mirror()

    def _write(self, event_type: str, name: str, uid: str) -> None:
        self.revision += 1
        self.log.append((self.revision, line(event_type, encoded(name, uid, self.revision))))
        self.past.append((self.revision, dict(self.stored)))

    @rule(name=NAMES)
    def the_server_writes(self, name: str) -> None:
        if name in self.stored:
            event_type, uid = "MODIFIED", self.stored[name][0]
        else:
            self.uids += 1
            event_type, uid = "ADDED", f"uid-{self.uids}"
        self.stored[name] = (uid, self.revision + 1)
        self._write(event_type, name, uid)

    @rule(name=NAMES)
    def the_server_deletes(self, name: str) -> None:
        if name in self.stored:
            uid, _ = self.stored.pop(name)
            self._write("DELETED", name, uid)

    @rule(chunk=st.integers(min_value=1, max_value=4))
    def the_watch_tells(self, chunk: int) -> None:
        lines = [text for _, text in self.log[self.told : self.told + chunk]]
        self.told += len(lines)
        events, fault = self.decoder.events(lines)
        assert fault is None
        self.sink.apply(self.ledger.take(events))

    @rule()
    def the_watch_loses_an_event(self) -> None:
        if self.told < len(self.log):
            self.told += 1
            self.has_lost = True

    @rule(back=st.integers(min_value=1, max_value=6))
    def a_lagging_server_tells_again(self, back: int) -> None:
        lines = [text for _, text in self.log[max(0, self.told - back) : self.told]]
        events, _ = self.decoder.events(lines)
        changes = self.ledger.take(events)
        assert self.has_lost or changes == ()
        self.sink.apply(changes)

    @rule()
    def a_bookmark_comes(self) -> None:
        if self.told == len(self.log):
            assert self.ledger.take((Progress(str(self.revision)),)) == ()

    @rule(keep=st.sets(NAMES))
    def a_list_leaves_things_out_and_is_not_believed(self, keep: set[str]) -> None:
        before = self.sink.objects.keys() - {ObjectRef("Service", "shop", name) for name in keep}
        listing = self._listing({name: self.stored[name] for name in keep & self.stored.keys()})
        self.sink.apply(list(self.ledger.settle(listing, frozenset())))
        self.told = len(self.log)
        self.has_lost = True
        assert before <= self.sink.objects.keys()

    @rule()
    def a_list_breaks_off(self) -> None:
        before = (dict(self.sink.objects), self.ledger.position, self.ledger.keys)
        self._listing(self.stored)
        assert (dict(self.sink.objects), self.ledger.position, self.ledger.keys) == before

    @rule(data=st.data())
    def a_stale_list_is_recognised(self, data: st.DataObject) -> None:
        old = [revision for revision, _ in self.past if revision < int(self.ledger.position or 0)]
        if old:
            assert self.ledger.is_behind(str(data.draw(st.sampled_from(old))))

    @rule()
    def a_complete_list_is_believed(self) -> None:
        listing = self._listing(self.stored)
        assert not self.ledger.is_behind(listing.resource_version)
        self.sink.apply(list(self.ledger.settle(listing, listing.missing)))
        self.told = len(self.log)
        self.has_lost = False

    def _listing(self, stored: dict[str, tuple[str, int]]) -> Listing:
        listing = self.ledger.begin_listing()
        items = [
            msgspec.Raw(encoded(name, uid, revision)) for name, (uid, revision) in stored.items()
        ]
        listing.add(items[:2], str(self.revision))
        listing.add(items[2:], str(self.revision))
        return listing

    @invariant()
    def a_sink_that_was_told_everything_has_everything(self) -> None:
        if self.told == len(self.log) and not self.has_lost:
            held = {
                ref.name: (item.metadata.uid, int(item.metadata.resource_version))
                for ref, item in self.sink.objects.items()
            }
            assert held == self.stored

    @invariant()
    def the_ledger_knows_what_the_sink_has(self) -> None:
        assert {ref.name for ref in self.sink.objects} == {name for _, name in self.ledger.keys}


TestAnySequenceEndsInStep = ServerAndLedger.TestCase
TestAnySequenceEndsInStep.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)


def test_an_object_that_does_not_decode_harms_only_itself() -> None:
    """Its old form stays, its fault is noted, and both go with the next good form."""
    ledger = Ledger(collection_of(Service), Slimmer())
    listing = ledger.begin_listing()
    good = [encoded("a", "u1", 1), encoded("b", "u2", 2, type=7)]
    listing.add([msgspec.Raw(item) for item in good], "5")
    sink = Mirror()
    sink.apply(list(ledger.settle(listing, frozenset())))
    assert [ref.name for ref in sink.objects] == ["a"]
    assert "type" in ledger.unreadable["shop", "b"]
    decoder = service_decoder()
    bad = decoder.event(line("MODIFIED", encoded("a", "u1", 6, type=7)))
    assert ledger.take((bad,)) == ()
    assert ledger.unreadable.keys() == {("shop", "a"), ("shop", "b")}
    assert ledger.keys == {("shop", "a")}
    assert ledger.position == "6"
    for number, name in enumerate("ab"):
        event = decoder.event(line("MODIFIED", encoded(name, f"u{number + 1}", 7 + number)))
        assert len(ledger.take((event,))) == 1
    assert ledger.unreadable == {}


def test_a_list_with_a_nameless_item_is_no_list() -> None:
    """What no API server would say is not believed."""
    listing = Ledger(collection_of(Service), Slimmer()).begin_listing()
    with pytest.raises(KubeUnavailable, match="no name"):
        listing.add([msgspec.Raw(b'{"metadata":{}}')], "5")
    with pytest.raises(KubeUnavailable, match="metadata"):
        listing.add([msgspec.Raw(b'{"metadata":{"name":5}}')], "5")


def test_a_deletion_of_a_former_object_does_not_harm_its_successor() -> None:
    """Same name, other uid, older: not about what is held."""
    ledger = Ledger(collection_of(Service), Slimmer())
    decoder = service_decoder()
    ledger.take((decoder.event(line("ADDED", encoded("a", "new", 9))),))
    assert ledger.take((decoder.event(line("DELETED", encoded("a", "old", 8))),)) == ()
    assert ledger.take((decoder.event(line("DELETED", encoded("a", "newer", 12))),)) != ()


def test_what_many_slices_say_is_held_once() -> None:
    """Node names, zones and conditions are shared, and values stay what they were."""
    endpoint = {
        "addresses": ["10.0.0.1"],
        "nodeName": "node-of-some-length",
        "zone": "zone-of-some-length",
        "conditions": {"ready": True},
    }
    raw = msgspec.json.encode({"metadata": {"name": "a"}, "endpoints": [endpoint, endpoint]})
    first, second = (msgspec.json.decode(raw, type=EndpointSlice) for _ in range(2))
    expected = msgspec.json.decode(raw, type=EndpointSlice)
    slimmer = Slimmer()
    slimmer.slim(first)
    slimmer.slim(second)
    assert first == second == expected
    assert first.endpoints is not None
    assert second.endpoints is not None
    for other in (first.endpoints[1], second.endpoints[0]):
        assert first.endpoints[0].node_name is other.node_name
        assert first.endpoints[0].zone is other.zone
        assert first.endpoints[0].conditions is other.conditions
    assert first.endpoints[0].conditions == EndpointConditions(ready=True)


def test_the_last_applied_manifest_is_not_kept() -> None:
    """It can be as large as the object itself, and nobody reads it."""
    text = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "onehop.dev/path": "pod"}
    raw = msgspec.json.encode({"metadata": {"name": "a", "annotations": text}})
    service = msgspec.json.decode(raw, type=Service)
    Slimmer().slim(service)
    assert service.metadata.annotations == {"onehop.dev/path": "pod"}
    node = msgspec.json.decode(raw, type=Node)
    Slimmer().slim(node)
    assert node.metadata.annotations == text
