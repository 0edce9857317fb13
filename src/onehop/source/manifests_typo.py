"""Fields that are almost the name of another one: `pahtType` where `pathType` is missing.

Our structs hold only the fields we read, so an unknown field is mostly one of the API's that does
not concern us. But one that is nearly a field we do read, where that one is absent, is a slip that
an API server would warn about (`fieldValidation: Warn`, KEP-2885), so files get the warning too.
"""

import difflib
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, Final

import msgspec
from msgspec import inspect

from onehop.source.manifests_text import PathStep

_SIMILARITY: Final = 0.8

_REAL_FIELDS: Final = frozenset(
    {"appProtocol", "clusterIPs", "internalTrafficPolicy", "podCIDR", "pool"}
)
"""Fields of the API that resemble one we read; a test compares with the API's own list."""


class Misspelt(msgspec.Struct, frozen=True):
    """A field nobody reads and the one its author probably meant."""

    path: tuple[PathStep, ...]
    meant: str


def misspelt_keys(value: object, struct: type) -> Iterator[Misspelt]:
    """Yield the fields in `value` that look like slips of the pen for a field of `struct`."""
    yield from _walk((), value, _type_of(struct))


@lru_cache(maxsize=4096)
def closest(name: str, known: frozenset[str]) -> str | None:
    """Return the known name that `name` almost is, but for case or a letter or two; or None."""
    for candidate in sorted(known):
        if candidate.lower() == name.lower():
            return candidate
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=_SIMILARITY)), None)


@cache
def _type_of(struct: type) -> inspect.Type:
    return inspect.type_info(struct)


@cache
def _fields_of(struct: type) -> dict[str, inspect.Type]:
    info = _type_of(struct)
    assert isinstance(info, inspect.StructType)  # noqa: S101  only called with one
    return {field.encode_name: field.type for field in info.fields}


def _walk(path: tuple[PathStep, ...], value: Any, info: inspect.Type) -> Iterator[Misspelt]:
    match info, value:
        case inspect.UnionType(types=types), _:
            for member in types:
                yield from _walk(path, value, member)
        case inspect.VarTupleType(item_type=item_type), list():
            for index, item in enumerate(value):
                yield from _walk((*path, index), item, item_type)
        case inspect.StructType(cls=struct), dict():
            yield from _walk_struct(path, value, struct)
        case _:
            pass


def _walk_struct(
    path: tuple[PathStep, ...], value: dict[Any, Any], struct: type
) -> Iterator[Misspelt]:
    fields = _fields_of(struct)
    for key, item in value.items():
        if key in fields:
            yield from _walk((*path, key), item, fields[key])
        elif isinstance(key, str) and key not in _REAL_FIELDS:
            meant = closest(key, frozenset(fields))
            if meant is not None and meant not in value:
                yield Misspelt((*path, key), meant)
