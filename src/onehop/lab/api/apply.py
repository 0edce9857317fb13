"""Server-side apply: who owns which field, and what a manager's new wish does to an object.

KEP-555. An applied object is the *whole* wish of its manager: fields it names are set and owned
by it, fields it named before and names no longer are removed unless somebody else owns them too,
and a field that another manager owns with another value is a conflict unless forced.

Ownership of plain writes (create, update, patch) is only followed once an object has been applied;
until then the object carries no managedFields and a first apply meets the single manager
`before-first-apply`, as the real server does with objects older than the feature.
"""

from datetime import datetime
from typing import Any

import msgspec

from onehop.lab.api.fieldset import (
    FieldSet,
    Path,
    from_fields_v1,
    item_path,
    leaves,
    to_fields_v1,
)
from onehop.lab.api.refusal import Json, Refused
from onehop.lab.api.resource import Merging, Resource
from onehop.lab.api.write import stamp

BEFORE_FIRST_APPLY = "before-first-apply"


class Writer(msgspec.Struct, frozen=True):
    """Who writes, in the terms of managedFields.

    Attributes:
        operation: `Apply` or `Update`.
        subresource: "" or `status`.
    """

    manager: str
    operation: str
    api_version: str
    subresource: str = ""


class _Share(msgspec.Struct, frozen=True):
    """What one writer owns of an object."""

    writer: Writer
    time: str
    fields: FieldSet


class Wish(msgspec.Struct, frozen=True):
    """One server-side apply.

    Attributes:
        obj: what the manager wants, whole.
        writer: whose apply it is.
        force: take over fields that other managers own with other values.
        now: the time its managedFields entry shows.
    """

    obj: Json
    writer: Writer
    force: bool
    now: datetime


def apply(live: Json | None, wish: Wish, resource: Resource) -> Json:
    """Return the object after a server-side apply, its managedFields included.

    Args:
        live: the object as it is, None when the apply creates it.
        wish: what is applied.
        resource: says how lists and maps merge.

    Raises:
        Refused: 409 with a cause for each field in conflict.
    """
    merging = resource.merging
    writer = wish.writer
    wanted = leaves(wish.obj, merging)
    had = leaves(live or {}, merging)
    shares = _shares_of(live, had, writer)
    mine = next((share for share in shares if share.writer == writer), None)
    others = [share for share in shares if share is not mine]
    disputed = {path for path, value in wanted.items() if path in had and had[path] != value}
    if not wish.force:
        _refuse_conflicts(disputed, others)
    merged = _merge(live or {}, wish.obj, merging, ())
    kept = frozenset().union(*(share.fields for share in others))
    given_up = (mine.fields if mine else frozenset()) - frozenset(wanted) - kept
    for path in sorted(given_up, key=len):  # an item before its keys, which find it
        _remove(merged, path, merging)
    others = [_without(share, frozenset(disputed)) for share in others]
    unchanged = mine is not None and mine.fields == frozenset(wanted) and not disputed
    time = mine.time if mine and unchanged else stamp(wish.now)
    return _with_shares(merged, [*others, _Share(writer, time, frozenset(wanted))])


def track(old: Json, new: Json, *, resource: Resource, writer: Writer, now: datetime) -> Json:
    """Return `new` with managedFields that say who changed what since `old`.

    Objects that were never applied are left without. A client that sends other managedFields than
    it read has edited them, as kubectl does when it moves an object to server-side apply.
    """
    shares = _read_shares(new if "managedFields" in new["metadata"] else old)
    if not shares:
        new["metadata"].pop("managedFields", None)
        return new
    had, has = leaves(old, resource.merging), leaves(new, resource.merging)
    changed = frozenset(
        path for path, value in has.items() if path not in had or had[path] != value
    )
    removed = frozenset(had) - frozenset(has)
    if not changed and not removed:
        return _with_shares(new, shares)
    mine = next((share for share in shares if share.writer == writer), None)
    others = [_without(share, changed | removed) for share in shares if share is not mine]
    fields = ((mine.fields if mine else frozenset()) - removed) | changed
    return _with_shares(new, [*others, _Share(writer, stamp(now), fields)])


def _shares_of(live: Json | None, had: dict[Path, Any], writer: Writer) -> list[_Share]:
    if live is None:
        return []
    shares = _read_shares(live)
    if shares:
        return shares
    before = Writer(BEFORE_FIRST_APPLY, "Update", writer.api_version)
    return [_Share(before, live["metadata"]["creationTimestamp"], frozenset(had))]


def _read_shares(obj: Json) -> list[_Share]:
    return [
        _Share(
            Writer(
                entry.get("manager", ""),
                entry.get("operation", "Update"),
                entry.get("apiVersion", ""),
                entry.get("subresource", ""),
            ),
            entry.get("time", ""),
            from_fields_v1(entry.get("fieldsV1", {})),
        )
        for entry in obj["metadata"].get("managedFields") or ()
    ]


def _with_shares(obj: Json, shares: list[_Share]) -> Json:
    entries: list[Json] = []
    for share in shares:
        if not share.fields:
            continue
        entry: Json = {
            "manager": share.writer.manager,
            "operation": share.writer.operation,
            "apiVersion": share.writer.api_version,
            "time": share.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(share.fields),
        }
        if share.writer.subresource:
            entry["subresource"] = share.writer.subresource
        entries.append(entry)
    # The real server writes applies first, then updates, each by time.
    entries.sort(key=lambda entry: (entry["operation"] != "Apply", entry["time"]))
    metadata = {**obj["metadata"], "managedFields": entries}
    if not entries:
        del metadata["managedFields"]
    return {**obj, "metadata": metadata}


def _without(share: _Share, paths: FieldSet) -> _Share:
    return msgspec.structs.replace(share, fields=share.fields - paths)


def _refuse_conflicts(disputed: set[Path], others: list[_Share]) -> None:
    conflicts = [
        (share.writer, _readable(path))
        for share in others
        for path in sorted(disputed & share.fields)
    ]
    if not conflicts:
        return
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{writer.manager}" using {writer.api_version}',
            "field": field,
        }
        for writer, field in conflicts
    ]
    told = "\n".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    plural = "conflict" if len(causes) == 1 else "conflicts"
    raise Refused(
        409,
        "Conflict",
        f"Apply failed with {len(causes)} {plural}: {told}",
        details={"causes": causes},
    )


def _readable(path: Path) -> str:
    """Return a path as the real server prints it: `.spec.ports[port=80,protocol="TCP"].name`."""
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            keys: Json = msgspec.json.decode(rest)
            text += (
                "["
                + ",".join(
                    f"{key}={msgspec.json.encode(value).decode()}" for key, value in keys.items()
                )
                + "]"
            )
        else:
            text += f"[={rest}]"
    return text


def _merge(live: Any, wish: Any, merging: Merging, names: tuple[str, ...]) -> Any:
    if isinstance(wish, dict) and isinstance(live, dict) and names not in merging.atomic:
        merged = dict(live)
        for name, value in wish.items():
            merged[name] = _merge(live.get(name), value, merging, (*names, name))
        return merged
    if isinstance(wish, list) and isinstance(live, list):
        rule = merging.rule(names)
        if rule is not None and (rule.keys or rule.is_set):
            by_key = {item_path(item, rule): item for item in live}
            for item in wish:
                element = item_path(item, rule)
                by_key[element] = _merge(by_key.get(element), item, merging, names)
            return list(by_key.values())
    return wish


def _remove(obj: Json, path: Path, merging: Merging) -> None:
    """Remove what a path means, and the maps and lists that are left empty by it.

    Copies each container on its way down: `obj` shares its parts with the live object.
    """
    if not path:
        return
    node: Any = obj
    names: tuple[str, ...] = ()
    trail: list[tuple[Any, Any]] = []
    for element in path:
        kind, _, name = element.partition(":")
        if kind == "f":
            names = (*names, name)
            step: Any = name
            if not isinstance(node, dict) or name not in node:
                return
        else:
            rule = merging.rule(names)
            assert rule is not None  # noqa: S101  the path was made by this rule
            places = [i for i, item in enumerate(node) if item_path(item, rule) == element]
            if not places:
                return
            step = places[0]
        trail.append((node, step))
        below = node[step]
        node[step] = node = below.copy() if isinstance(below, dict | list) else below
    del trail[-1][0][trail[-1][1]]
    for container, step in reversed(trail[:-1]):
        if container[step]:
            return
        del container[step]
