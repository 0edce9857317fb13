"""The little JSONPath that printer columns of custom resources use.

`.spec.a.b`, `.status.list[0].x`, `.status.list[*].x`, `.list[?(@.type=="Ready")].status` and
`.metadata.labels['a.b/c']`, as in kubectl's `additionalPrinterColumns`. Nothing else is understood.
"""

import re
from collections.abc import Iterator
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>[\w-]+)"""
    r"""|\[['"](?P<quoted>[^'"]+)['"]\]"""
    r"""|\[\?\(@\.(?P<key>[\w.-]+)\s*==\s*['"](?P<value>[^'"]*)['"]\)\]"""
    r"""|\[(?P<index>\*|-?\d+)\]"""
)


def find(obj: Any, path: str) -> list[Any]:
    """Return every value the path leads to; [] when it leads nowhere or is not understood."""
    found = [obj]
    position = 0
    text = path.replace("\\.", "\0")  # a dot that belongs to the name
    text = re.sub(r"\.([\w\0/-]*\0[\w\0/-]*)", r"['\1']", text).replace("\0", ".")
    while position < len(text):
        step = _STEP.match(text, position)
        if step is None:
            return []
        found = [below for each in found for below in _step(each, step)]
        position = step.end()
    return found


def _step(value: Any, step: re.Match[str]) -> Iterator[Any]:
    name = step["name"] or step["quoted"]
    if name is not None:
        if isinstance(value, dict) and name in value:
            yield value[name]
    elif step["key"] is not None:
        for item in value if isinstance(value, list) else ():
            if find(item, f".{step['key']}") == [step["value"]]:
                yield item
    elif isinstance(value, list):
        if step["index"] == "*":
            yield from value
        elif -len(value) <= int(step["index"]) < len(value):
            yield value[int(step["index"])]
