"""Strategic merge patch, which `kubectl apply` and `kubectl patch` send for built-in kinds.

A merge patch that knows which lists are maps in disguise (by their patchMergeKey), with the
directives `$patch`, `$deleteFromPrimitiveList`, `$setElementOrder` and `$retainKeys`. Rules:
kubernetes/community `contributors/devel/sig-api-machinery/strategic-merge-patch.md`.
"""

from typing import Any

from onehop.lab.api.refusal import Json, bad_request
from onehop.lab.api.resource import Merging

_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic_patch(target: Json, patch: Json, merging: Merging) -> Json:
    """Return `target` after a strategic merge patch; neither argument is changed."""
    return _merge_map(target, patch, merging, ())


def _merge_map(target: Json, patch: Json, merging: Merging, path: tuple[str, ...]) -> Json:
    match patch.get("$patch"):
        case "replace":
            return _plain_map(patch)
        case "delete":
            return {}
        case None | "merge":
            kept = patch.get("$retainKeys", target)
            merged = {name: each for name, each in target.items() if name in kept}
        case other:
            raise bad_request(f"unknown $patch directive {other!r} at {'.'.join(path)}")
    for name, value in patch.items():
        if name.startswith(_DELETE_FROM):
            field = name.removeprefix(_DELETE_FROM)
            merged[field] = [each for each in merged.get(field, []) if each not in value]
        elif not name.startswith("$"):
            _merge_field(merged, name, value, merging, (*path, name))
    _put_in_order(merged, patch, merging, path)
    return merged


def _put_in_order(merged: Json, patch: Json, merging: Merging, path: tuple[str, ...]) -> None:
    for name, order in patch.items():
        field = name.removeprefix(_ORDER)
        if name != field and isinstance(merged.get(field), list):
            merged[field] = _ordered(merged[field], order, merging, (*path, field))


def _merge_field(
    merged: Json, name: str, value: Any, merging: Merging, path: tuple[str, ...]
) -> None:
    match value:
        case None:
            merged.pop(name, None)
        case dict():
            had = merged.get(name)
            merged[name] = _merge_map(had if isinstance(had, dict) else {}, value, merging, path)
            if value.get("$patch") == "delete":
                del merged[name]
        case list():
            had = merged.get(name)
            merged[name] = _merge_list(had if isinstance(had, list) else [], value, merging, path)
        case _:
            merged[name] = value


def _merge_list(
    target: list[Any], patch: list[Any], merging: Merging, path: tuple[str, ...]
) -> list[Any]:
    rule = merging.rule(path)
    if rule is None or rule.patch_key is None:
        return [_plain(item) for item in patch]
    if not rule.patch_key:
        return [*target, *(item for item in patch if item not in target)]
    if any(item.get("$patch") == "replace" for item in patch):
        return [_plain(item) for item in patch if "$patch" not in item]
    merged = list(target)
    for item in patch:
        _merge_item(merged, item, rule.patch_key, merging, path)
    return merged


def _merge_item(
    merged: list[Any], item: Json, key: str, merging: Merging, path: tuple[str, ...]
) -> None:
    if key not in item:
        raise bad_request(f"map: {item} does not contain declared merge key: {key}")
    places = [place for place, each in enumerate(merged) if each.get(key) == item[key]]
    if item.get("$patch") == "delete":
        for place in reversed(places):
            del merged[place]
    elif places:
        merged[places[0]] = _merge_map(merged[places[0]], item, merging, path)
    else:
        merged.append(_merge_map({}, item, merging, path))


def _ordered(
    items: list[Any], order: list[Any], merging: Merging, path: tuple[str, ...]
) -> list[Any]:
    """Return the items as the patch's author ordered them; those he does not name stay behind."""
    rule = merging.rule(path)
    if rule is None or rule.patch_key is None:
        return items
    key = rule.patch_key
    wanted = [each.get(key) if key else each for each in order]

    def place(item: Any) -> int:
        name = item.get(key) if key else item
        return wanted.index(name) if name in wanted else len(wanted)

    return sorted(items, key=place)


def _plain(value: Any) -> Any:
    """Return the value without directives and nulls."""
    match value:
        case dict():
            return _plain_map(value)
        case list():
            return [_plain(each) for each in value]
        case _:
            return value


def _plain_map(value: Json) -> Json:
    return {
        name: _plain(each)
        for name, each in value.items()
        if not name.startswith("$") and each is not None
    }
