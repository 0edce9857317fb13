"""Which of the routes for a path takes a request: by its method, headers, parameters, gRPC method.

The tree finds one entry for a path (`match`). Where a route of a host asks for more than a path,
the entries of that host name a *choice* and a key: `CHOICE:KEY`. A choice is what requests must be
for each of some routes, in the order in which these are tried; its rules stand in the configuration
and come to the number of the first one that fits. What that route is stands in a map, at
`KEY/NUMBER`, and reads as it would without a choice. So other routes with conditions that are known
there cost entries of maps and no reload.

Requests of other hosts must not pay for it: after the policies of theirs all rules of the frontend
end for them, at the first line of what is said here. The policies of chosen routes come behind it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from onehop.driver.haproxy import word
from onehop.driver.haproxy.place import Place
from onehop.driver.haproxy.policy import IS_POOL
from onehop.model.route import Conditions, PathKind, Route

CHOICES_HERE: Final = "# choices"
"""Where the rules of all choices stand in a frontend; see `configuration`."""
CHOSEN_HERE: Final = {False: "# chosen policies, http", True: "# chosen policies, https"}
"""Where the policies of routes stand that were chosen."""

_PREFLIGHT: Final = ("method OPTIONS", "access-control-request-method")
_MOST: Final = 40
"""Conditions of a route; HAProxy takes 64 words in a line."""


class Alternative(msgspec.Struct, frozen=True):
    """What a request must be, all of it at once.

    Attributes:
        call: the second of the two elements that its path must have; None takes any path.
        is_preflight: whether it only asks for leave to use the method (Fetch, "CORS-preflight").
    """

    when: Conditions
    call: str | None
    is_preflight: bool = False


class Choice(msgspec.Struct, frozen=True):
    """An order of routes, by what requests must be for each of them.

    Attributes:
        name: derives from `cases`; no policy has a name that begins like it.
        cases: the alternatives of each route.
    """

    name: str
    cases: tuple[tuple[Alternative, ...], ...]


def is_particular(route: Route) -> bool:
    """Tell whether a route asks for more than a host and a path, or the beginning of one."""
    return route.when != Conditions() or route.match.kind is PathKind.METHOD


def choice_of(routes: Iterable[Route]) -> Choice:
    """Return what tells routes apart.

    Raises:
        Unfit: something that a request must be cannot be said to HAProxy.
    """
    cases = tuple(tuple(_alternatives(route)) for route in routes)
    choice = Choice(word.token_of("c", msgspec.json.encode(cases)), cases)
    list(choice_rules(choice))  # may raise Unfit
    return choice


def choice_rules(choice: Choice) -> Iterator[str]:
    """Yield the rules that come to the number of the first route that fits.

    Raises:
        Unfit: something cannot be said to HAProxy.
    """
    yield f"acl {choice.name} var(txn.policy) -m str {choice.name}"
    names: dict[tuple[str, ...], str] = {}
    for number, alternatives in enumerate(choice.cases):
        for alternative in alternatives:
            wanted = []
            for is_wanted, tests in _tests(alternative):
                if tests not in names:
                    names[tests] = f"{choice.name}-{len(names)}"
                    yield from (f"acl {names[tests]} {test}" for test in tests)
                wanted.append(f"{'' if is_wanted else '!'}{names[tests]}")
            if len(wanted) > _MOST:
                raise word.Unfit(f"a route with more than {_MOST} conditions")
            words = " ".join((choice.name, "!{ var(txn.case) -m found }", *wanted))
            yield f"http-request set-var(txn.case) str({number}) if {words}"


def before_choices() -> Iterator[str]:
    """Yield what ends the rules for requests of which there is nothing to choose."""
    yield "http-request allow unless { var(txn.route) -m beg c }"
    yield "http-after-response allow unless { var(txn.case) -m found }"
    yield "http-request set-var-fmt(txn.query) '&%[query]&'"


def after_choices(place: Place) -> Iterator[str]:
    """Yield how a number becomes a route; the key stands where other routes have their pool."""
    yield "http-request return status 404 if !{ var(txn.case) -m found }"
    key = f"var(txn.pool),concat(/,txn.case),map_str({place.map('case')})"
    yield f"http-request set-var(txn.pool) {key}"
    yield f"http-request allow if {{ var(txn.pool) {IS_POOL} }}"
    yield "http-request set-var(txn.route) var(txn.pool)"
    for number, part in enumerate(("policy", "pool"), start=1):
        yield f"http-request set-var(txn.{part}) var(txn.route),field({number},:)"


def _alternatives(route: Route) -> Iterator[Alternative]:
    """Yield the ways to be a request of a route: a preflight has a method of its own."""
    call = route.match.value if route.match.kind is PathKind.METHOD else None
    yield Alternative(route.when, call)
    if route.cors is not None and route.when.method is not None:
        yield Alternative(route.when, call, is_preflight=True)


def _tests(alternative: Alternative) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Yield what an ACL tests, one of several being enough, and whether it must be so.

    Lines of a header are one value with commas between them (RFC 9110, section 5.3), which HAProxy
    does not put together: what comes in several lines fits nothing.
    """
    when = alternative.when
    if alternative.is_preflight:
        asked, header = _PREFLIGHT
        yield True, (asked,)
        yield True, (_is_header(header, word.method(when.method or "")),)
    elif when.method is not None:
        yield True, (f"method {word.method(when.method)}",)
    for name, value in when.headers:
        yield True, (_is_header(name, value),)
    if when.headers:
        counts = (f"{word.fetch('req.fhdr_cnt', name)} gt 1" for name, _ in when.headers)
        yield False, tuple(counts)
    for name, value in when.queries:
        yield True, (f"var(txn.query) -m sub -- {word.quoted(f'&{name}={value}&')}",)
    if alternative.call is not None:
        yield True, ("path -m reg -- '^/[^/]+/[^/]+$'",)
        yield True, (f"path -m end -- {word.quoted(word.path(f'/{alternative.call}'))}",)


def _is_header(name: str, value: str) -> str:
    is_it = f"-m str -- {word.quoted(value)}" if value else "-m len -- 0"
    return f"{word.fetch('req.fhdr', name)} {is_it}"
