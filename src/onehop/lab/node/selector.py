"""Calico's selectors, those that BGPPeers and IPPools use.

https://docs.tigera.io/calico/latest/reference/resources/bgppeer#selector: `all()`, `has(k)`,
`k == 'v'`, `k != 'v'`, `k in {'v', ...}`, `k not in {...}`, `!`, `&&`, `||` and parentheses.
"""

import re
from collections.abc import Mapping
from typing import Final

from onehop.base.errors import ConfigError

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<op>&&|\|\||==|!=|[!(){},])|'(?P<single>[^']*)'|"(?P<double>[^"]*)"|"""
    r"""(?P<word>[\w./-]+))"""
)

Token = tuple[str, str]
"""What it is (`op`, `text`, `word`), and its text."""


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """Return whether the labels are selected.

    Raises:
        ConfigError: the selector cannot be understood.
    """
    parser = _Parser(tuple(_tokens(selector)), labels)
    found = parser.either()
    if parser.peek() != ("", ""):
        raise ConfigError(f"selector {selector!r}: {parser.peek()[1]!r} is not expected")
    return found


def _tokens(selector: str) -> list[Token]:
    found: list[Token] = []
    at, text = 0, selector.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ConfigError(f"selector {selector!r}: cannot read {text[at:]!r}")
        at = match.end()
        kind = str(match.lastgroup)
        found.append(("text" if kind in {"single", "double"} else kind, match[kind]))
    return found


class _Parser:
    """Recursive descent; each method reads its part and returns whether it holds."""

    def __init__(self, tokens: tuple[Token, ...], labels: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._labels = labels
        self._at = 0

    def peek(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def either(self) -> bool:
        found = self._both()
        while self._accept("||"):
            found = self._both() or found
        return found

    def _both(self) -> bool:
        found = self._one()
        while self._accept("&&"):
            found = self._one() and found
        return found

    def _one(self) -> bool:
        if self._accept("!"):
            return not self._one()
        if self._accept("("):
            found = self.either()
            self._expect(")")
            return found
        name = self._take("word")
        if name in {"all", "global"} and self._accept("("):
            self._expect(")")
            return True
        if name == "has" and self._accept("("):
            key = self._take("word")
            self._expect(")")
            return key in self._labels
        return self._compared(self._labels.get(name))

    def _compared(self, value: str | None) -> bool:
        if self._accept("=="):
            return value == self._take("text")
        if self._accept("!="):
            return value != self._take("text")
        word = self._take("word")
        is_negated = word == "not"
        if is_negated:
            word = self._take("word")
        if word != "in":
            raise ConfigError(f"selector: {word!r} is not expected")
        return (value in self._texts()) is not is_negated

    def _texts(self) -> frozenset[str]:
        self._expect("{")
        found = {self._take("text")}
        while self._accept(","):
            found.add(self._take("text"))
        self._expect("}")
        return frozenset(found)

    def _accept(self, text: str) -> bool:
        if self.peek() == ("op", text):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise ConfigError(f"selector: {text!r} is expected, not {self.peek()[1]!r}")

    def _take(self, kind: str) -> str:
        found, text = self.peek()
        if found != kind:
            raise ConfigError(f"selector: a {kind} is expected, not {text!r}")
        self._at += 1
        return text
