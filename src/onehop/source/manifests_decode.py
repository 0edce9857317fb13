"""One document of a manifest to the cluster objects in it, as an API server would take them.

What the API server does to an object on its way in is done here: nulls are left out, a namespace is
filled in, `stringData` is folded into `data`, uid and resourceVersion are made. What another
controller serves (a Deployment, Knative's `Service`) is passed over without a word.
"""

import base64
import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final, TypeAlias, TypeGuard

import msgspec

from onehop.cluster.kind import KINDS, ClusterObject, Kind, Resource
from onehop.model.ident import ObjectRef
from onehop.model.problem import Severity
from onehop.source.manifests_text import MAX_DEPTH, PathStep
from onehop.source.manifests_typo import closest, misspelt_keys

Json: TypeAlias = dict[str, Any]

_UID_SPACE: Final = uuid.UUID("5b0c1f5e-8f0e-5d0b-9a51-6f6e65686f70")
"""Namespace of the name-based uids (RFC 9562, section 5.5); any constant would do."""

_TEXT_MAPS: Final = frozenset({"labels", "annotations", "data", "stringData"})
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""An RFC 1123 subdomain, which the names of all our kinds are; ids are built from them."""

_MOST_VALUES: Final = 1_000_000
"""In one object; an API server takes no object of more than some 1.5 MB."""

_VALIDATION: Final = re.compile(r"(?P<what>.*?)( - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?")
_WANTS_QUOTES: Final = re.compile(r"expected `str( \| null)?`, got `(bool|int|float)`")
_PATH_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something wrong in a document.

    Attributes:
        path: from the root of the document.
        ref: the object that is not served because of it; None if it cannot be told which.
        severity: WARNING when the object is served all the same.
    """

    path: tuple[PathStep, ...]
    message: str
    ref: ObjectRef | None = None
    severity: Severity = Severity.ERROR


class _SecretTexts(msgspec.Struct, frozen=True, rename="camel"):
    """The two ways to write a Secret's values (core/v1 Secret)."""

    data: Mapping[str, str] = {}
    string_data: Mapping[str, str] = {}


class _Rejected(Exception):  # noqa: N818  a way out of nested checks, caught in this file
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def decode_document(document: object) -> Iterator[ClusterObject | Fault]:
    """Yield the objects of one document, those of a `List` one by one, and what is wrong."""
    if document is None:
        return
    for path, raw in _unlisted(document):
        try:
            _demand_bounded(path, raw)
            yield from _decode_object(path, raw)
        except _Rejected as rejected:
            yield rejected.fault


def render_path(path: tuple[PathStep, ...]) -> str:
    """Return a path as `spec.rules[0].http`; keys that are no identifiers stand in quotes."""
    parts = (
        f"[{step}]"
        if isinstance(step, int)
        else (f".{step}" if step.isidentifier() else f'["{step}"]')
        for step in path
    )
    return "".join(parts).removeprefix(".")


def _unlisted(document: object) -> Iterator[tuple[tuple[PathStep, ...], object]]:
    """Yield the document itself, or what `kubectl get -o yaml` wrapped into a list."""
    kind = document.get("kind") if _is_mapping(document) else None
    if not (_is_mapping(document) and isinstance(kind, str) and kind.endswith("List")):
        yield (), document
        return
    items = document.get("items")
    if not isinstance(items, list | None):
        yield ("items",), items
        return
    # The items of a raw `ServiceList` carry no kind: the list says it for them.
    inherited = {"kind": kind.removesuffix("List"), "apiVersion": document.get("apiVersion")}
    for index, item in enumerate(items or ()):
        is_bare = _is_mapping(item) and "kind" not in item and kind != "List"
        yield ("items", index), {**inherited, **item} if is_bare else item


def _demand_bounded(path: tuple[PathStep, ...], raw: object) -> None:
    """Refuse what has no end, or none in sight: an alias of YAML may stand within its own anchor.

    Nor may aliases of aliases unfold to what no memory holds ("billion laughs").
    """
    level, count = [raw], 0
    for _ in range(MAX_DEPTH):
        below = chain.from_iterable(map(_children, level))
        level = list(islice(below, _MOST_VALUES - count))
        count += len(level)
        if not level:
            return
        if count == _MOST_VALUES:
            break
    message = (
        f"nested more than {MAX_DEPTH} levels deep, or of more than {_MOST_VALUES:,} values: "
        "look for aliases that contain themselves, or each other"
    )
    raise _Rejected(Fault(path=path, message=message))


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _decode_object(path: tuple[PathStep, ...], raw: object) -> Iterator[ClusterObject | Fault]:
    if not _is_mapping(raw) or not isinstance(kind := raw.get("kind"), str):
        message = "not a Kubernetes object: it needs `apiVersion`, `kind` and `metadata`"
        raise _Rejected(Fault(path=path, message=message))
    if kind not in KINDS:
        if meant := closest(kind, frozenset(map(str, KINDS))):
            message = f"unknown kind {kind!r}; did you mean {meant!r}?"
            raise _Rejected(Fault(path=(*path, "kind"), message=message))
        return
    resource = KINDS[Kind(kind)]
    version = raw.get("apiVersion")
    if _is_foreign(version, resource):
        return
    ref = _identity(path, kind, resource, raw)
    if version not in (resource.api_version, *resource.older):
        message = f"apiVersion {version!r} is not served; write {resource.api_version!r}"
        raise _Rejected(Fault(path=(*path, "apiVersion"), message=message, ref=ref))
    for misspelt in misspelt_keys(raw, resource.struct):
        yield Fault(
            path=(*path, *misspelt.path),
            message=f"unknown field; did you mean {misspelt.meant!r}?",
            ref=ref,
            severity=Severity.WARNING,
        )
    yield _convert(path, _as_served(raw, ref), resource, ref)


def _is_foreign(version: object, resource: Resource) -> bool:
    """Tell whether this is a kind of the same name in somebody else's API group."""
    return isinstance(version, str) and _group(version) != _group(resource.api_version)


def _group(version: str) -> str:
    return version.rpartition("/")[0]


def _identity(path: tuple[PathStep, ...], kind: str, resource: Resource, raw: Json) -> ObjectRef:
    metadata = raw.get("metadata")
    name = metadata.get("name") if _is_mapping(metadata) else None
    namespace = metadata.get("namespace") if _is_mapping(metadata) else None
    for key, value in (("name", name), ("namespace", namespace or "default")):
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            message = f"{kind} needs a {key} of lower-case letters, digits, '-' and '.' (RFC 1123)"
            raise _Rejected(Fault(path=(*path, "metadata", key), message=message))
    return ObjectRef(kind, (namespace or "default") if resource.namespaced else "", str(name))


def _as_served(raw: Json, ref: ObjectRef) -> Json:
    served = _without_nulls(raw)
    uid = uuid.uuid5(_UID_SPACE, str(ref))
    metadata = {"uid": str(uid), **served["metadata"], "namespace": ref.namespace}
    return {**served, "metadata": metadata}


def _without_nulls(value: Any, *, is_text_map: bool = False) -> Any:
    """Drop null fields, which the API takes for absent ones; in a map of texts null is `""`."""
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if not isinstance(value, dict):
        return value
    if is_text_map:
        return {key: "" if item is None else item for key, item in value.items()}
    return {
        key: _without_nulls(item, is_text_map=key in _TEXT_MAPS)
        for key, item in value.items()
        if item is not None
    }


def _secret_data(texts: _SecretTexts) -> dict[str, str]:
    """Return `data` with `stringData` over it; line breaks in base64 are fine."""
    given = {key: "".join(text.split()) for key, text in texts.data.items()}
    plain = {
        key: base64.b64encode(text.encode()).decode() for key, text in texts.string_data.items()
    }
    return given | plain


def _convert(
    path: tuple[PathStep, ...], served: Json, resource: Resource, ref: ObjectRef
) -> ClusterObject:
    try:
        if ref.kind == Kind.SECRET:
            served = {**served, "data": _secret_data(msgspec.convert(served, _SecretTexts))}
        item: ClusterObject = msgspec.convert(served, resource.struct)
    except msgspec.ValidationError as err:
        inner, what = _culprit(str(err), served)
        raise _Rejected(Fault(path=(*path, *inner), message=what, ref=ref)) from None
    version = hashlib.blake2b(msgspec.json.encode(item, order="sorted"), digest_size=8).hexdigest()
    metadata = msgspec.structs.replace(item.metadata, resource_version=version)
    return msgspec.structs.replace(item, metadata=metadata)


def _culprit(error: str, served: Json) -> tuple[tuple[PathStep, ...], str]:
    """Return the path of the wrong value and what is wrong with it, from msgspec's message.

    msgspec leaves the key of a mapping out of its path (`$.metadata.annotations[...]`).
    """
    match = _VALIDATION.fullmatch(error)
    assert match is not None  # noqa: S101  the pattern takes any single line
    what = match["what"][:1].lower() + match["what"][1:]
    path: tuple[PathStep, ...] = ()
    value: Any = served
    for name, index, some_key in _PATH_STEP.findall(match["path"] or ""):
        if some_key:
            step: PathStep = _wrong_key(value, wanted=bytes if path == ("data",) else str)
        else:
            step = int(index) if index else str(name)
        path = (*path, step)
        value = value.get(step) if isinstance(value, dict) else value[int(step)]
    if match["key"]:
        what = f"{what} as a key"
    return path, f"{what}; put it in quotes" if what.startswith("expected `str") else what


def _wrong_key(texts: Mapping[object, object], *, wanted: type) -> str:
    for key, value in texts.items():
        try:
            msgspec.convert(value, wanted)
        except msgspec.ValidationError:
            return str(key)
    return ""


def _is_mapping(value: object) -> TypeGuard[Json]:
    """Tell whether this is a mapping; keys of other types than `str` fail later, with a path."""
    return isinstance(value, dict)
