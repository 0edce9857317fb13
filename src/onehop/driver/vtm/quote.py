r"""The one place where text of somebody's becomes TrafficScript.

A double-quoted string of TrafficScript is one line; a backslash escapes, and `\ooo` is a character
by its octal number. So everything but plain printable ASCII is written as octal, bytes of UTF-8,
and so are the two characters that mean something inside quotes. What comes out has no quote,
backslash, line end or dollar sign but those that we wrote.
"""

from typing import Final

_PLAIN: Final = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\$%`')


def quoted(text: str) -> str:
    """Return a TrafficScript expression whose value is the text."""
    return '"' + "".join(map(_escaped, text.encode())) + '"'


def _escaped(byte: int) -> str:
    return chr(byte) if byte in _PLAIN else f"\\{byte:03o}"
