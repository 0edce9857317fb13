"""JSON merge patch, JSON patch, strategic merge patch."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.lab.api import PatchType, Refused, Store, put, read
from onehop.lab.api.kind.service import SERVICE
from onehop.lab.api.patch import json_patch, merge_patch
from onehop.lab.api.strategic import strategic_patch
from tests.lab_api.objects import Json, gateway, gateway_definition, service

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=2), below, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ],
)
def test_a_merge_patch_does_what_the_rfc_shows(target: Any, patch: Any, expected: Any) -> None:
    """RFC 7386, appendix A."""
    assert merge_patch(target, patch) == expected


@given(JSON_VALUES, JSON_VALUES)
def test_a_merge_patch_applied_twice_changes_nothing_more(target: Any, patch: Any) -> None:
    """It is idempotent, and changes neither argument."""
    before = (repr(target), repr(patch))
    once = merge_patch(target, patch)

    assert merge_patch(once, patch) == once
    assert (repr(target), repr(patch)) == before


@pytest.mark.parametrize(
    ("target", "operation", "expected"),
    [
        ({"a": 1}, {"op": "add", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"a": {"b": 1}}, {"op": "replace", "path": "/a/b", "value": 2}, {"a": {"b": 2}}),
        ({"a": {"b": 1}, "c": {}}, {"op": "move", "from": "/a/b", "path": "/c/d"},
         {"a": {}, "c": {"d": 1}}),
        ({"a": {"b": 1}}, {"op": "copy", "from": "/a", "path": "/c"},
         {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a/b": {"m~n": 1}}, {"op": "test", "path": "/a~1b/m~0n", "value": 1},
         {"a/b": {"m~n": 1}}),
    ],
)  # fmt: skip
def test_a_json_patch_operation_does_what_the_rfc_says(
    target: Json, operation: Json, expected: Json
) -> None:
    """RFC 6902 section 4."""
    before = repr(target)

    assert json_patch(target, [operation]) == expected
    assert repr(target) == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b", "value": 1},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "add", "path": "/list/9", "value": 2},
        {"op": "add", "path": "/list/x", "value": 2},
        {"op": "add", "path": "no-slash", "value": 2},
        {"op": "jump", "path": "/a"},
        {"op": "add", "path": "/c"},
    ],
)
def test_a_json_patch_that_does_not_apply_is_refused_whole(operation: Json) -> None:
    """422, and nothing of it is done."""
    target = {"a": 1, "list": []}

    with pytest.raises(Refused) as caught:
        json_patch(target, [{"op": "add", "path": "/z", "value": 1}, operation])

    assert caught.value.code == 422
    assert target == {"a": 1, "list": []}


@pytest.mark.parametrize("body", [{"op": "add"}, [{"op": "replace", "path": "", "value": 1}]])
def test_a_json_patch_must_be_a_list_that_leaves_an_object(body: Any) -> None:
    """400."""
    with pytest.raises(Refused) as caught:
        json_patch({"a": 1}, body)

    assert caught.value.code == 400


PORTS = {"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}]}}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ([{"port": 80, "name": "web"}], [(80, "web"), (443, "https")]),
        ([{"port": 53, "name": "dns"}], [(80, "http"), (443, "https"), (53, "dns")]),
        ([{"port": 80, "$patch": "delete"}], [(443, "https")]),
        ([{"$patch": "replace"}, {"port": 1, "name": "one"}], [(1, "one")]),
    ],
)
def test_a_strategic_patch_merges_ports_by_their_number(
    patch: list[Json], expected: list[tuple[int, str]]
) -> None:
    """The patchMergeKey of Service.spec.ports is `port`."""
    patched = strategic_patch(PORTS, {"spec": {"ports": patch}}, SERVICE.merging)

    assert [(port["port"], port["name"]) for port in patched["spec"]["ports"]] == expected


def test_a_strategic_patch_orders_and_retains_and_replaces() -> None:
    """`$setElementOrder`, `$retainKeys` and `$patch: replace`, as kubectl apply sends them."""
    order = {"$setElementOrder/ports": [{"port": 443}, {"port": 80}], "ports": []}
    retain = {"$retainKeys": ["type"], "type": "NodePort"}
    target = {"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1"}}

    ordered = strategic_patch(PORTS, {"spec": order}, SERVICE.merging)
    retained = strategic_patch(target, {"spec": retain}, SERVICE.merging)
    replaced = strategic_patch(target, {"spec": {"$patch": "replace", "a": 1}}, SERVICE.merging)
    removed = strategic_patch(target, {"spec": {"$patch": "delete"}}, SERVICE.merging)

    assert [port["port"] for port in ordered["spec"]["ports"]] == [443, 80]
    assert retained == {"spec": {"type": "NodePort"}}
    assert replaced == {"spec": {"a": 1}}
    assert removed == {}


def test_a_strategic_patch_treats_finalizers_as_a_set() -> None:
    """Added once, removed by `$deleteFromPrimitiveList`."""
    target = {"metadata": {"finalizers": ["a", "b"]}}
    add = {"metadata": {"finalizers": ["b", "c"]}}
    drop = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}

    added = strategic_patch(target, add, SERVICE.merging)
    dropped = strategic_patch(target, drop, SERVICE.merging)

    assert added == {"metadata": {"finalizers": ["a", "b", "c"]}}
    assert dropped == {"metadata": {"finalizers": ["b"]}}


def test_a_strategic_patch_without_its_key_or_with_a_strange_directive_is_refused() -> None:
    """400: the server cannot know what is meant."""
    for body in ({"ports": [{"name": "x"}]}, {"$patch": "twist"}):
        with pytest.raises(Refused) as caught:
            strategic_patch(PORTS, {"spec": body}, SERVICE.merging)
        assert caught.value.code == 400


def test_a_custom_resource_takes_no_strategic_patch(store: Store) -> None:
    """415: its lists have no patchMergeKey."""
    put(store, gateway_definition())
    key = put(store, gateway()).key

    with pytest.raises(Refused) as caught:
        store.patch(store.registry.named("gateways"), key, PatchType.STRATEGIC, {})

    assert caught.value.code == 415


def test_a_patch_of_an_old_version_conflicts(store: Store) -> None:
    """A resourceVersion inside the patch is a precondition."""
    key = put(store, service()).key

    body = {"metadata": {"resourceVersion": "1"}, "spec": {"type": "NodePort"}}
    with pytest.raises(Refused) as caught:
        store.patch(store.registry.named("services"), key, PatchType.MERGE, body)

    assert caught.value.code == 409
    assert read(store, "services", "shop", "web")["spec"]["type"] == "ClusterIP"
