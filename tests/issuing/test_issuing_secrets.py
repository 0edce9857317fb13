"""What every place of Secrets promises, be it a cluster or a folder."""

import pytest

from onehop.base.errors import KubeConflict
from onehop.cluster.meta import Meta
from onehop.cluster.secret import Secret
from onehop.control.issuing.mark import labels_of_ours
from onehop.control.issuing.secrets import SecretChange, SecretStore, secret_ref
from tests.issuing.stage import NAMESPACE, WEB_TLS, Place


def new(name: str = "web-tls", namespace: str = "shop", component: str = "", **data: str) -> Secret:
    metadata = Meta(name=name, namespace=namespace, labels=labels_of_ours(component))
    encoded = {key: text.encode() for key, text in data.items()}
    return Secret(metadata=metadata, type="onehop.dev/test", data=encoded)


async def data_of(store: SecretStore) -> dict[str, bytes]:
    found = await store.find(WEB_TLS)
    assert found is not None
    return dict(found.data or {})


async def test_what_is_created_is_found_by_any_other_process(place: Place) -> None:
    """With its type, its labels and its data; before, there is nothing."""
    store = place.process()
    assert await store.find(WEB_TLS) is None

    created = await store.create(new(a="1"))
    found = await place.process().find(WEB_TLS)

    assert found == created
    assert found is not None
    assert (found.type, found.data) == ("onehop.dev/test", {"a": b"1"})
    assert found.metadata.labels == labels_of_ours()


async def test_a_second_create_is_a_conflict_and_changes_nothing(place: Place) -> None:
    """Whoever else made it, it is theirs."""
    store = place.process()
    place.put_foreign(WEB_TLS, "theirs")

    with pytest.raises(KubeConflict):
        await store.create(new(a="1"))

    assert await data_of(store) == {"text": b"theirs"}


async def test_a_change_sets_and_takes_away_what_it_names(place: Place) -> None:
    """What it does not name stays, labels and annotations too."""
    store = place.process()
    created = await store.create(new(a="1", b="2", c="3"))

    change = SecretChange(data={"a": b"one", "b": None}, annotations={"note": "new"})
    changed = await store.change(created.metadata, change)

    assert changed.data == {"a": b"one", "c": b"3"}
    assert changed.metadata.labels == labels_of_ours()
    assert changed.metadata.annotations == {"note": "new"}
    assert await place.process().find(WEB_TLS) == changed


async def test_a_change_of_what_was_changed_meanwhile_is_a_conflict(place: Place) -> None:
    """The first one counts; who was second looks again."""
    store = place.process()
    created = await store.create(new(a="1"))
    await store.change(created.metadata, SecretChange(data={"a": b"2"}))

    with pytest.raises(KubeConflict):
        await store.change(created.metadata, SecretChange(data={"a": b"3"}))
    with pytest.raises(KubeConflict):
        await store.delete(created.metadata)

    assert await data_of(store) == {"a": b"2"}


async def test_a_change_of_what_is_gone_is_a_conflict(place: Place) -> None:
    """And a second deletion is none: it is gone."""
    store = place.process()
    created = await store.create(new(a="1"))
    await store.delete(created.metadata)
    assert await place.process().find(WEB_TLS) is None

    with pytest.raises(KubeConflict):
        await store.change(created.metadata, SecretChange(data={"a": b"3"}))
    await store.delete(created.metadata)


async def test_only_what_was_created_for_something_is_listed(place: Place) -> None:
    """Other components, other namespaces and other people's Secrets are not."""
    store = place.process()
    await store.create(new("one", NAMESPACE, "record"))
    await store.create(new("two", NAMESPACE, "record"))
    await store.create(new("three", NAMESPACE, "account"))
    await store.create(new("four", "shop", "record"))
    place.put_foreign(secret_ref(NAMESPACE, "five"), "theirs")

    marked = await store.marked(NAMESPACE, "record")

    assert sorted(meta.name for meta in marked) == ["one", "two"]
    for meta in marked:
        await store.delete(meta)
    assert await store.marked(NAMESPACE, "record") == ()
