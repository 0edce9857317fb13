"""Everything that an explanation is made of, in the order in which one meets it."""

from typing import Any, Final, get_args

import msgspec

from onehop.control.explain.explanation import Explanation, Refusal


def _within(kind: Any) -> list[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        found = [kind]
        for field in msgspec.structs.fields(kind):
            found += _within(field.type)
        return found
    return [inner for argument in get_args(kind) for inner in _within(argument)]


STRUCTS: Final = tuple(
    kind
    for kind in dict.fromkeys((*_within(Explanation), *_within(Refusal)))
    if kind.__module__ == Explanation.__module__
)
