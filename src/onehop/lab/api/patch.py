"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902), on plain dicts.

Both return a new object that may share parts with the old one; neither changes its input.
"""

from typing import Any

from onehop.lab.api.refusal import FieldFault, Json, bad_request, unprocessable


def merge_patch(target: Any, patch: Any) -> Any:
    """Return `target` after a JSON merge patch: null removes, lists are replaced whole."""
    if not isinstance(patch, dict):
        return patch
    merged: Json = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def json_patch(target: Json, operations: Any) -> Json:
    """Return `target` after a JSON patch; refuse with 422 when an operation does not apply.

    Nothing is applied unless everything is, as RFC 6902 section 5 asks.
    """
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    patched: Any = target
    for operation in operations:
        try:
            patched = _operate(patched, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            why = f"the operation does not apply: {operation!r}: {error}"
            raise unprocessable(
                "", [FieldFault("patch", "FieldValueInvalid", why)], kind="", group=""
            ) from error
    if not isinstance(patched, dict):
        raise bad_request("a JSON patch may not replace the object by something else")
    return patched


def _operate(target: Any, operation: Json) -> Any:
    path = _steps(operation["path"])
    match operation["op"]:
        case "add":
            return _added(target, path, operation["value"])
        case "remove":
            return _removed(target, path)
        case "replace":
            _at(target, path)
            return _added(_removed(target, path), path, operation["value"])
        case "move":
            source = _steps(operation["from"])
            return _added(_removed(target, source), path, _at(target, source))
        case "copy":
            return _added(target, path, _at(target, _steps(operation["from"])))
        case "test":
            if _at(target, path) != operation["value"]:
                raise ValueError("testing value failed")
            return target
        case other:
            raise ValueError(f"unknown operation {other!r}")


def _steps(pointer: str) -> list[str]:
    """Split a JSON pointer (RFC 6901)."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON pointer")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _at(target: Any, path: list[str]) -> Any:
    for step in path:
        target = target[_index(target, step)] if isinstance(target, list) else target[step]
    return target


def _added(target: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(target, list):
        changed = list(target)
        if rest:
            index = _index(target, step)
            changed[index] = _added(target[index], rest, value)
        else:
            index = len(target) if step == "-" else _index(target, step, may_end=True)
            changed.insert(index, value)
        return changed
    return {**target, step: _added(target[step], rest, value) if rest else value}


def _removed(target: Any, path: list[str]) -> Any:
    if not path:
        return None
    step, rest = path[0], path[1:]
    if isinstance(target, list):
        index = _index(target, step)
        middle = [_removed(target[index], rest)] if rest else []
        return [*target[:index], *middle, *target[index + 1 :]]
    if rest:
        return {**target, step: _removed(target[step], rest)}
    target[step]
    return {name: each for name, each in target.items() if name != step}


def _index(target: list[Any], step: str, *, may_end: bool = False) -> int:
    if not step.isdigit():
        raise ValueError(f"{step!r} is no list position")
    index = int(step)
    if index >= len(target) + may_end:
        raise IndexError(f"position {index} is beyond the end")
    return index
