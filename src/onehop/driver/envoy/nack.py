"""Whom a NACK accuses.

Envoy names culprits for clusters and listeners ("Error adding/updating cluster(s) a: why, b: why")
and mostly names nobody for the others. Its wording is no API, so a name is believed only if it
stands there as a word of its own; where nobody is named, the caller halves the batch and tries
again.
"""

from collections.abc import Iterable
from typing import Final

_OPENS: Final = frozenset(" '\"(,\n")
_CLOSES: Final = frozenset(" '\"),;\n")


def accused(names: Iterable[str], message: str) -> tuple[str, ...]:
    """Return the names that the message puts before a reason, else the ones it mentions at all.

    "a: duplicate address as existing listener 'b'" accuses a alone.
    """
    blamed: list[str] = []
    mentioned: list[str] = []
    for name in names:
        ends = tuple(_ends_of(name, message))
        if any(message.startswith(": ", end) for end in ends):
            blamed.append(name)
        elif ends:
            mentioned.append(name)
    return tuple(blamed or mentioned)


def _ends_of(name: str, message: str) -> Iterable[int]:
    """Yield where the name ends in the message, each time it stands alone."""
    start = message.find(name)
    while start >= 0:
        end = start + len(name)
        opened = start == 0 or message[start - 1] in _OPENS
        closed = end == len(message) or message[end] in _CLOSES or message.startswith(": ", end)
        if opened and closed:
            yield end
        start = message.find(name, end)
