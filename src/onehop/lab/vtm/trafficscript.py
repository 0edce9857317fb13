"""Carrying out rules, as much of TrafficScript as generated ones use.

It is written from descriptions of the functions, not on a unit. What it is for: to see which pool a
request gets, and that no text of a tenant's has become a statement.
"""

import re
from collections.abc import Iterator
from typing import Final

from onehop.lab.vtm.functions import (
    Ended,
    FallThrough,
    Functions,
    Outcome,
    Request,
    Value,
    request_functions,
    response_functions,
)
from onehop.lab.vtm.syntax import (
    Assign,
    Call,
    Expression,
    If,
    Literal,
    Operation,
    ScriptError,
    Statement,
    Variable,
    parse,
)

_MATCH: Final = "string.regexmatch"
"""The one function that sets variables."""


def run_request_rule(text: str, request: Request) -> Outcome:
    """Carry out a request rule; the request is changed in place.

    Raises:
        ScriptError: the text is not understood, or calls what is not known.
    """
    return _run(text, request_functions(request))


def run_response_rule(text: str, request: Request, headers: dict[str, str]) -> None:
    """Carry out a response rule on the headers of a response, names in lower case.

    Raises:
        ScriptError: see `run_request_rule`.
    """
    _run(text, response_functions(request, headers))


def understand(text: str) -> None:
    """Read a rule, and look whether every function is known and has its number of arguments.

    Raises:
        ScriptError: otherwise.
    """
    _check(parse(text), {**request_functions(Request()), **response_functions(Request(), {})})


def pools_named(text: str) -> tuple[str, ...]:
    """Return the pools that a rule names literally: only these are monitored.

    Raises:
        ScriptError: the text is not understood.
    """
    used = (call for call in calls_of(parse(text)) if call.function == "pool.use")
    named = (call.arguments[0] for call in used)
    return tuple(str(each.value) for each in named if isinstance(each, Literal))


def _check(statements: tuple[Statement, ...], functions: Functions) -> None:
    known = {name: count for name, (count, _) in functions.items()} | {_MATCH: 2}
    for call in calls_of(statements):
        if call.function not in known:
            raise ScriptError(f"{call.function}: no such function")
        if len(call.arguments) != known[call.function]:
            raise ScriptError(f"{call.function}: {len(call.arguments)} arguments")


def _run(text: str, functions: Functions) -> Outcome:
    statements = parse(text)
    _check(statements, functions)
    machine = _Machine(functions)
    try:
        machine.carry_out(statements)
    except Ended as ended:
        return ended.outcome
    return FallThrough()


class _Machine:
    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._variables: dict[str, Value] = {}

    def carry_out(self, statements: tuple[Statement, ...]) -> None:
        for statement in statements:
            match statement:
                case Assign(name=name, value=value):
                    self._variables[name] = self._value(value)
                case If(condition=condition, then=then):
                    if _is_true(self._value(condition)):
                        self.carry_out(then)
                case Call():
                    self._value(statement)

    def _value(self, expression: Expression) -> Value:
        match expression:
            case Literal(value=value):
                return value
            case Variable(name=name):
                return self._variables.get(name, "")
            case Operation(operator="&&" | "||" as operator, operands=(left, right)):
                is_left = _is_true(self._value(left))
                if is_left is (operator == "||"):
                    return int(is_left)
                return int(_is_true(self._value(right)))
            case Operation(operator=operator, operands=operands):
                return _operated(operator, [self._value(each) for each in operands])
            case Call(function=function, arguments=arguments):
                return self._called(function, [self._value(each) for each in arguments])

    def _called(self, function: str, values: list[Value]) -> Value:
        if function == _MATCH:
            found = re.search(str(values[1]), str(values[0]))
            groups = found.groups() if found else ()
            self._variables |= {str(n): group or "" for n, group in enumerate(groups, start=1)}
            return int(found is not None)
        _, do = self._functions[function]
        return do(*values)


def _operated(operator: str, values: list[Value]) -> Value:
    if operator == "!":
        return int(not _is_true(values[0]))
    if len(values) == 1:
        return -_number(values[0])
    left, right = values
    match operator:
        case "==":
            return int(_same(left, right))
        case "!=":
            return int(not _same(left, right))
        case ".":
            return f"{left}{right}"
        case _:
            return _calculated(operator, _number(left), _number(right))


def _calculated(operator: str, left: int, right: int) -> int:
    match operator:
        case "<":
            return int(left < right)
        case ">":
            return int(left > right)
        case "+":
            return left + right
        case "-":
            return left - right
        case "%":
            return left - right * int(left / right)  # of the sign of the left, as in C
        case _:
            raise ScriptError(f"{operator} is not carried out here")


def _same(left: Value, right: Value) -> bool:
    if isinstance(left, int) or isinstance(right, int):
        return _number(left) == _number(right)
    return left == right


def _number(value: Value) -> int:
    found = re.match(r"\s*-?[0-9]+", str(value))
    return int(found.group()) if found else 0


def _is_true(value: Value) -> bool:
    return value not in (0, "", "0")


def calls_of(statements: tuple[Statement, ...]) -> Iterator[Call]:
    """Yield every call that statements may make, in their order."""
    for statement in statements:
        match statement:
            case Assign(value=value):
                yield from _calls_within(value)
            case If(condition=condition, then=then):
                yield from _calls_within(condition)
                yield from calls_of(then)
            case Call():
                yield from _calls_within(statement)


def _calls_within(expression: Expression) -> Iterator[Call]:
    match expression:
        case Call(arguments=inner):
            yield expression
        case Operation(operands=inner):
            pass
        case Literal() | Variable():
            return
    for each in inner:
        yield from _calls_within(each)
