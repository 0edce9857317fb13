"""Deleting Pods takes time: the API marks them, and their kubelet deletes them for good."""

import pytest

from onehop.lab.api import PatchType, Store, WriteOptions
from onehop.lab.api.kind.core import POD

KEY = ("shop", "web-1")


def make_pod(store: Store, **spec: object) -> None:
    pod = {"metadata": {"name": "web-1"}, "spec": {"nodeName": "node1"} | spec}
    store.create(POD, "shop", pod)


def test_a_running_pod_is_marked_and_goes_when_deleted_without_grace(
    store: Store,
) -> None:
    """The deletionTimestamp is when the grace period ends; writes to its status are still taken."""
    make_pod(store, terminationGracePeriodSeconds=10)

    deleted = store.delete(POD, KEY)

    metadata = store.get(POD, KEY).decode()["metadata"]
    assert not deleted.is_gone
    assert metadata["deletionGracePeriodSeconds"] == 10
    assert metadata["deletionTimestamp"] > metadata["creationTimestamp"]

    body = {"status": {"phase": "Running"}}
    store.patch(POD, KEY, PatchType.MERGE, body, WriteOptions(subresource="status"))
    assert store.delete(POD, KEY, WriteOptions(grace_s=0)).is_gone
    assert store.collection(POD).get(KEY) is None


def test_a_second_delete_shortens_the_grace_period_and_never_lengthens_it(store: Store) -> None:
    """30 s is the default of a Pod that says nothing."""
    make_pod(store)
    periods = []
    for asked in (None, 60, 5, 20):
        store.delete(POD, KEY, WriteOptions(grace_s=asked))
        metadata = store.get(POD, KEY).decode()["metadata"]
        periods.append(metadata["deletionGracePeriodSeconds"])
    assert periods == [30, 30, 5, 5]


@pytest.mark.parametrize(("spec", "status"), [({"nodeName": ""}, {}), ({}, {"phase": "Succeeded"})])
def test_a_pod_that_does_not_run_goes_at_once(
    store: Store, spec: dict[str, str], status: dict[str, str]
) -> None:
    """No kubelet has anything to stop."""
    make_pod(store, **spec)
    if status:
        options = WriteOptions(subresource="status")
        store.patch(POD, KEY, PatchType.MERGE, {"status": status}, options)
    assert store.delete(POD, KEY, WriteOptions(grace_s=30)).is_gone
