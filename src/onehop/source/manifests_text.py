"""Manifest text to plain values, and where in the text a value stands.

Why not `yaml.safe_load`: PyYAML speaks YAML 1.1, and Kubernetes does not quite. An unquoted time
would become a `datetime`, the address `1:2:3:4:5:6:7:8` a number in base sixty, and of two equal
keys the first would be lost without a word. The C parser does the work either way.
"""

import json
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import yaml

PathStep: TypeAlias = str | int
"""A key of a mapping or an index of a list."""

Place: TypeAlias = tuple[int, tuple[PathStep, ...]]
"""The number of a document in its file, and a path in it."""

MAX_DEPTH: Final = 200
"""Deepest nesting of a manifest. The C composer recurses without looking at its stack."""

_TAG: Final = "tag:yaml.org,2002:"
_NEVER_GUESSED: Final = frozenset({f"{_TAG}timestamp", f"{_TAG}value"})
_NUMBERS: Final = frozenset({f"{_TAG}int", f"{_TAG}float"})
_MERGE: Final = f"{_TAG}merge"


class TextPosition(msgspec.Struct, frozen=True, order=True):
    """A place in a file, counted from one as editors do."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class TextFault(msgspec.Struct, frozen=True):
    """Why a text is not YAML or JSON; `message` repeats none of its values."""

    message: str
    position: TextPosition | None = None


def parse_text(text: str, *, is_json: bool) -> list[object] | TextFault:
    """Return the documents of a text in order; JSON has exactly one."""
    try:
        if is_json:
            return [json.loads(text)]
        _check_depth(text)
        return list(yaml.load_all(text, _KubernetesLoader))
    except json.JSONDecodeError as err:
        return TextFault(f"not JSON: {err.msg}", TextPosition(err.lineno, err.colno))
    except yaml.MarkedYAMLError as err:
        return TextFault(f"not YAML: {err.problem or err.context}", _position(err.problem_mark))
    except yaml.YAMLError:
        return TextFault("not YAML: it holds a character that no text may hold")
    except RecursionError:
        return TextFault("nested too deeply for a manifest")
    except ValueError:
        return TextFault("not YAML: a value does not fit the tag in front of it")


def find_positions(text: str, places: Sequence[Place]) -> list[TextPosition | None]:
    """Return where each place begins, or the last part of its path that exists.

    Reads the text once more, for it is asked only about text that is at fault. JSON is read as
    YAML here; None where that fails (JSON may be indented by tabs).
    """
    if not places:
        return []
    try:
        _check_depth(text)
        nodes = list(yaml.compose_all(text, _KubernetesLoader))
    except yaml.YAMLError:
        return [None] * len(places)
    return [_position(_mark(nodes[document], path)) for document, path in places]


class _KubernetesLoader(yaml.CSafeLoader):
    """YAML as the API server's libraries read it."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Return a scalar's tag: no times, no base sixty, no `=`."""
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # the stub
        if tag in _NEVER_GUESSED or (tag in _NUMBERS and ":" in value):
            return self.DEFAULT_SCALAR_TAG
        return tag

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  PyYAML's signature
        """Build a mapping; a key that stands there twice is an error (YAML 1.2.2, 3.2.1.1)."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands twice in one mapping",
                    problem_mark=key.start_mark,
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _check_depth(text: str) -> None:
    """Raise YAMLError if the text nests deeper than MAX_DEPTH.

    Every level costs a bracket or a column, so most texts need no closer look.
    """
    brackets = text.count("[") + text.count("{")
    if brackets < MAX_DEPTH and max(map(len, text.splitlines()), default=0) < MAX_DEPTH:
        return
    depth = 0
    for event in _events(text):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested more than {MAX_DEPTH} levels deep")


def _events(text: str) -> Iterator[yaml.Event]:
    events: Iterator[yaml.Event] = yaml.parse(text, yaml.CSafeLoader)
    return events


def _mark(node: yaml.Node, path: tuple[PathStep, ...]) -> yaml.Mark:
    mark = node.start_mark
    for step in path:
        found = _child(node, step)
        if found is None:
            break
        mark, node = found
    return mark


def _child(node: yaml.Node, step: PathStep) -> tuple[yaml.Mark, yaml.Node] | None:
    """Return where the child is named (its key, or itself in a list), and the child."""
    match node, step:
        case yaml.MappingNode(), str():
            for key, value in node.value:
                if key.value == step:
                    return key.start_mark, value
        case yaml.SequenceNode(), int() if step < len(node.value):
            value = node.value[step]
            return value.start_mark, value
        case _:
            pass
    return None


def _position(mark: yaml.Mark | None) -> TextPosition | None:
    return None if mark is None else TextPosition(mark.line + 1, mark.column + 1)
