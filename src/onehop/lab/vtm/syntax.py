"""Reading TrafficScript, as much of it as generated rules use: from text to a tree."""

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

_TOKEN: Final = re.compile(
    r"""\s+|\#[^\n]*
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<number>[0-9]+)
      | (?P<variable>\$[A-Za-z0-9_]+)
      | (?P<name>[A-Za-z_][A-Za-z0-9_.]*)
      | (?P<mark>==|!=|<=|>=|&&|\|\||[-+*/%.<>=!(){};,])""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(rb"\\([0-7]{3}|.)")
_LEVELS: Final = (
    ("||",),
    ("&&",),
    ("==", "!="),
    ("<", ">", "<=", ">="),
    ("+", "-", "."),
    ("*", "/", "%"),
)
"""Operators, those that bind least first."""


class ScriptError(Exception):
    """A text that is not TrafficScript, or more of it than is understood here."""


class Literal(msgspec.Struct, frozen=True):
    """A string or a number."""

    value: str | int


class Variable(msgspec.Struct, frozen=True):
    """`$name`, or `$1` of the last match."""

    name: str


class Call(msgspec.Struct, frozen=True):
    """A function with its arguments."""

    function: str
    arguments: tuple["Expression", ...]


class Operation(msgspec.Struct, frozen=True):
    """One or two operands; `!` and a negative sign have one."""

    operator: str
    operands: tuple["Expression", ...]


Expression: TypeAlias = Literal | Variable | Call | Operation


class Assign(msgspec.Struct, frozen=True):
    """`$name = value;`."""

    name: str
    value: Expression


class If(msgspec.Struct, frozen=True):
    """`if( condition ) { then }`."""

    condition: Expression
    then: tuple["Statement", ...]


Statement: TypeAlias = Assign | If | Call


def parse(text: str) -> tuple[Statement, ...]:
    """Return the statements of a rule.

    Raises:
        ScriptError: at what is not understood.
    """
    parser = _Parser(list(_tokens(text)))
    statements: list[Statement] = []
    while parser.ahead() is not None:
        statements.append(parser.statement())
    return tuple(statements)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ScriptError(f"line {text.count(chr(10), 0, position) + 1}: not understood")
        position = found.end()
        if found.lastgroup is not None:
            yield found.lastgroup, found.group()


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def ahead(self) -> str | None:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else None

    def statement(self) -> Statement:
        kind, text = self._take()
        if kind == "variable":
            self._expect("=")
            value = self._expression()
            self._expect(";")
            return Assign(text[1:], value)
        if (kind, text) == ("name", "if"):
            self._expect("(")
            condition = self._expression()
            self._expect(")")
            self._expect("{")
            inner: list[Statement] = []
            while self.ahead() != "}":
                inner.append(self.statement())
            self._expect("}")
            return If(condition, tuple(inner))
        if kind == "name":
            call = self._call(text)
            self._expect(";")
            return call
        raise ScriptError(f"a statement does not begin with {text!r}")

    def _expression(self, level: int = 0) -> Expression:
        if level == len(_LEVELS):
            return self._unary()
        left = self._expression(level + 1)
        while self.ahead() in _LEVELS[level]:
            _, operator = self._take()
            left = Operation(operator, (left, self._expression(level + 1)))
        return left

    def _unary(self) -> Expression:
        kind, text = self._take()
        match kind, text:
            case "mark", "!" | "-":
                return Operation(text, (self._unary(),))
            case "mark", "(":
                inner = self._expression()
                self._expect(")")
                return inner
            case "string", _:
                return Literal(_unquoted(text))
            case "number", _:
                return Literal(int(text))
            case "variable", _:
                return Variable(text[1:])
            case "name", _:
                return self._call(text)
            case _:
                raise ScriptError(f"no value begins with {text!r}")

    def _call(self, function: str) -> Call:
        self._expect("(")
        arguments: list[Expression] = []
        if self.ahead() != ")":
            arguments.append(self._expression())
        while self.ahead() == ",":
            self._expect(",")
            arguments.append(self._expression())
        self._expect(")")
        return Call(function, tuple(arguments))

    def _take(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise ScriptError("the text ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, mark: str) -> None:
        _, text = self._take()
        if text != mark:
            raise ScriptError(f"{mark!r} is expected, not {text!r}")


def _unquoted(text: str) -> str:
    plain = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}

    def meant(found: re.Match[bytes]) -> bytes:
        said = found.group(1)
        return bytes((int(said, 8),)) if len(said) > 1 else plain.get(said, said)

    return _ESCAPE.sub(meant, text[1:-1].encode()).decode("utf-8", "replace")
