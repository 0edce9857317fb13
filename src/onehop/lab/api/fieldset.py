"""Sets of field paths, and their `FieldsV1` form in `metadata.managedFields`.

A path is a tuple of the very keys FieldsV1 writes: `f:spec`, `k:{"port":80}`, `v:"finalizer"`
(KEP-555; structured-merge-diff `fieldpath/serialize-pe.go`). Only what can be owned is a path:
scalars, maps and lists that are replaced whole, items of keyed lists, members of sets.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from onehop.lab.api.refusal import Json
from onehop.lab.api.resource import ListRule, Merging

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]

_NOT_OWNED = frozenset(
    ("f:metadata", f"f:{name}")
    for name in (
        "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
        "selfLink", "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds",
    )
) | {("f:apiVersion",), ("f:kind",)}  # fmt: skip


def leaves(obj: Json, merging: Merging) -> dict[Path, Any]:
    """Return every ownable path of an object with its value."""
    return {path: value for path, value in _walk(obj, merging, (), ()) if path not in _NOT_OWNED}


def _walk(
    value: Any, merging: Merging, path: Path, names: tuple[str, ...]
) -> Iterator[tuple[Path, Any]]:
    match value:
        case dict() if value and names not in merging.atomic:
            for name, each in value.items():
                yield from _walk(each, merging, (*path, f"f:{name}"), (*names, name))
        case list() if value and (rule := merging.rule(names)) and (rule.keys or rule.is_set):
            for item in value:
                element = item_path(item, rule)
                if rule.is_set:
                    yield (*path, element), item
                else:
                    yield (*path, element), None  # owning an item is more than owning its fields
                    yield from _walk(item, merging, (*path, element), names)
        case _:
            yield path, value


def item_path(item: Any, rule: ListRule) -> str:
    """Return the path element of a list item: its keys with their defaults, or its value."""
    if rule.is_set:
        return "v:" + msgspec.json.encode(item).decode()
    keys = {key: item.get(key, default) for key, default in sorted(rule.keys)}
    return "k:" + msgspec.json.encode(keys).decode()


def to_fields_v1(paths: Iterable[Path]) -> Json:
    """Return the nested form of a set of paths."""
    tree: Json = {}
    for path in sorted(paths):
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        if path[-1].startswith("k:"):
            node["."] = {}
    return tree


def from_fields_v1(tree: Json) -> FieldSet:
    """Return the set of paths of a nested form."""
    return frozenset(_paths(tree, ()))


def _paths(tree: Json, path: Path) -> Iterator[Path]:
    if path and (not tree or "." in tree):
        yield path
    for element, below in tree.items():
        if element != ".":
            yield from _paths(below, (*path, element))
