"""Routes: the rules of each, compiled without a look at any other.

`apis/v1/httproute_types.go` and its neighbours. Where a route counts is decided beside it, in
`attachment`; who comes first on a host, in `host`.
"""

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, assert_never

import msgspec

from onehop.cluster import GRPCRoute, HTTPRoute, TCPRoute, TLSRoute, UDPRoute
from onehop.cluster.gateway_http import HttpRouteRule
from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.compile.gateway.attachment import ATTACHED_REFS
from onehop.compile.gateway.backend import NO_CONNECTIONS, Backend, Unresolved, resolve
from onehop.compile.gateway.call import as_http, read_calls
from onehop.compile.gateway.feature import why_not
from onehop.compile.gateway.kinds import route_of
from onehop.compile.gateway.match import Match, Rank, read_match
from onehop.compile.gateway.rule import Ruling, read_rule
from onehop.compile.policy import Policy, parse_policy
from onehop.compile.rule import guard_of
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.wish import Wish
from onehop.model.capability import Capability
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.listener import StreamShare
from onehop.model.problem import Problem, Reason, Severity
from onehop.model.route import Route

_Order: TypeAlias = tuple[Rank, tuple[str, str, str], int]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A match of a rule, and the route that it becomes on every host.

    Attributes:
        order: sort key among all entries of a host; see `Match.rank`. On ties "the oldest Route",
            then "alphabetical order by {namespace}/{name}", then the first in the list.
    """

    order: _Order
    route: Route


class Rules(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a route asks for.

    Attributes:
        entries: in the order of precedence; none if no rule of it can be done.
        pool: of a route for whole listeners; None if no backend of it is there.
        shares: several of them by weight, the missing ones included; empty for one alone.
        cas: Secrets and ConfigMaps that its backends are verified by.
        policies: BackendTLSPolicies that have a say in its backends.
        annotated: what its annotations say of streams.
        fault: a condition `Accepted` that says why none of it can be done, or None.
        sayings: `ResolvedRefs`, and `PartiallyInvalid` where it holds.
    """

    entries: tuple[Entry, ...]
    pool: PoolId | None = None
    shares: tuple[StreamShare, ...] = ()
    wishes: tuple[Wish, ...]
    cas: tuple[ObjectRef, ...]
    policies: tuple[ObjectRef, ...] = ()
    annotated: Policy = Policy()
    fault: Saying | None
    sayings: tuple[Saying, ...]


def _compute(reader: Reader, ref: ObjectRef) -> Cell[Rules]:
    route = route_of(reader, ref)
    match route:
        case HTTPRoute() | GRPCRoute():
            return _of_requests(reader, ref, route)
        case TLSRoute() | TCPRoute() | UDPRoute():
            return _of_streams(reader, ref, route)
        case None:
            return Cell(None)
        case _:
            assert_never(route)


def _of_requests(reader: Reader, ref: ObjectRef, route: HTTPRoute | GRPCRoute) -> Cell[Rules]:
    policy, problems = parse_policy(ref, route.metadata.annotations)
    rulings = [
        read_rule(reader, ref, rule, matches, field=f"spec.rules[{number}]", policy=policy)
        for number, (rule, matches) in enumerate(_rules(route))
    ]
    bad = {number: ruling for number, ruling in enumerate(rulings) if ruling.fault}
    is_hopeless = bool(bad) and len(bad) == len(rulings)
    entries = [
        Entry((match.rank, route.metadata.age_key, number), _route(ref, match, ruling, policy))
        for number, ruling in enumerate(rulings)
        for match in ruling.matches
    ]
    wishes = {wish.pool.id: wish for ruling in rulings for wish in ruling.wishes}
    rules = Rules(
        entries=() if is_hopeless else tuple(sorted(entries, key=lambda entry: entry.order)),
        wishes=tuple(wishes.values()),
        cas=tuple(sorted({ca for ruling in rulings for ca in ruling.cas})),
        policies=tuple(sorted({each for ruling in rulings for each in ruling.policies})),
        fault=_fault(bad) if is_hopeless else None,
        sayings=tuple(_sayings(rulings, {} if is_hopeless else bad)),
    )
    return Cell(rules, (*problems, *_problems(ref, rulings)))


def _of_streams(
    reader: Reader, ref: ObjectRef, route: TLSRoute | TCPRoute | UDPRoute
) -> Cell[Rules]:
    """Return the pools of a route for whole listeners, by weight.

    "If an invalid backend is requested to have 80% of connections, then 80% of connections must be
    rejected instead" (TCPRouteRule.BackendRefs, TLSRouteRule.BackendRefs).
    """
    policy, problems = parse_policy(ref, route.metadata.annotations)
    problems = (*problems, *_unkept(ref, policy))
    refs = [backend for rule in route.spec.rules for backend in rule.backend_refs]
    wrong = ""
    if len(route.spec.rules) > 1:
        wrong = f"{len(route.spec.rules)} rules: nothing in a stream tells one from the other"
    elif sum(each.weight > 0 for each in refs) > 1:
        wrong = _undividable(reader, route)
    if wrong:
        fault = Saying("Accepted", Truth.FALSE, "UnsupportedValue", wrong)
        problem = Problem(subject=ref, field="spec.rules", reason=Reason.UNSUPPORTED, message=wrong)
        sayings = tuple(_resolved([]))
        return Cell(
            Rules(entries=(), wishes=(), cas=(), fault=fault, sayings=sayings), (*problems, problem)
        )
    found = [
        (
            each.weight,
            resolve(reader, ref, each, policy, _backend_field(number), until=NO_CONNECTIONS),
        )
        for number, each in enumerate(refs)
    ]
    taking = [(weight, each) for weight, each in found if weight > 0]
    good = {each.wish.pool.id: each for _, each in taking if isinstance(each, Backend)}
    bad = [each for _, each in found if isinstance(each, Unresolved)]
    shares = tuple(StreamShare(_pool_of(each), weight) for weight, each in taking)
    rules = Rules(
        entries=(),
        pool=next(iter(good), None),
        shares=shares if len(shares) > 1 and good else (),
        wishes=tuple(each.wish for each in good.values()),
        cas=tuple(sorted({ca for _, each in found for ca in each.cas})),
        policies=tuple(sorted({policy for _, each in found for policy in each.policies})),
        annotated=policy,
        fault=None,
        sayings=tuple(_resolved(bad)),
    )
    told = (problem for each in good.values() for problem in each.told)
    return Cell(rules, (*problems, *told, *(each.problem for each in bad)))


def _unkept(ref: ObjectRef, policy: Policy) -> Iterator[Problem]:
    """Say that a stream has neither cookies nor headers."""
    if policy.persistence in {"cookie", "header"}:
        yield Problem(
            subject=ref,
            field="metadata.annotations[onehop.dev/persistence]",
            reason=Reason.UNSUPPORTED,
            message=f"persistence by {policy.persistence} works where HTTP is understood; streams"
            " can keep source-ip",
            severity=Severity.WARNING,
        )


def _undividable(reader: Reader, route: TLSRoute | TCPRoute | UDPRoute) -> str:
    """Return why a route cannot have several backends; empty if it can."""
    is_udp = isinstance(route, UDPRoute)
    why = why_not(reader, Capability.WEIGHTED_FLOWS if is_udp else Capability.WEIGHTED_STREAMS)
    return f"several backendRefs: {why}" if why else ""


def _backend_field(number: int) -> str:
    return f"spec.rules[0].backendRefs[{number}]"


def _pool_of(found: Backend | Unresolved) -> PoolId | None:
    return found.wish.pool.id if isinstance(found, Backend) else None


def _rules(
    route: HTTPRoute | GRPCRoute,
) -> Iterator[tuple[HttpRouteRule, list[Match | str]]]:
    """Yield the rules, and apart from them what they match."""
    match route:
        case HTTPRoute():
            for rule in route.spec.rules:
                yield rule, [read_match(wanted) for wanted in rule.matches]
        case GRPCRoute():
            for calls in route.spec.rules:
                yield as_http(calls), read_calls(calls)
        case _:
            assert_never(route)


def _route(ref: ObjectRef, match: Match, ruling: Ruling, policy: Policy) -> Route:
    return Route(
        id=f"{ref}:{match}",
        owner=ref,
        match=match.path,
        when=match.when,
        action=ruling.action,
        guard=guard_of(policy),
        cors=ruling.cors,
        request_headers=ruling.request,
        response_headers=ruling.response,
    )


def _fault(bad: dict[int, Ruling]) -> Saying:
    """Say why a route as a whole is not accepted: no rule of it can be done."""
    number, ruling = next(iter(bad.items()))
    return Saying("Accepted", Truth.FALSE, ruling.fault_reason, f"rule {number}: {ruling.fault}")


def _resolved(unresolved: Sequence[Unresolved]) -> Iterator[Saying]:
    if unresolved:
        first = unresolved[0]
        message = f"{first.problem.field}: {first.problem.message}"
        yield Saying("ResolvedRefs", Truth.FALSE, first.reason, message)
    else:
        yield Saying("ResolvedRefs", Truth.TRUE, "ResolvedRefs")


def _sayings(rulings: list[Ruling], bad: dict[int, Ruling]) -> Iterator[Saying]:
    yield from _resolved([each for ruling in rulings for each in ruling.unresolved])
    if bad:
        # "1) Drop Rule(s): ... the message for this condition MUST start with the prefix
        # 'Dropped Rule'" (RouteConditionPartiallyInvalid). Their requests get no other rule's.
        told = "; ".join(f"{number}: {ruling.fault}" for number, ruling in bad.items())
        message = f"Dropped Rule {told}; requests that it takes get 500"
        yield Saying("PartiallyInvalid", Truth.TRUE, "UnsupportedValue", message)


def _problems(ref: ObjectRef, rulings: list[Ruling]) -> Iterator[Problem]:
    for number, ruling in enumerate(rulings):
        yield from (each.problem for each in ruling.unresolved)
        yield from ruling.told
        if ruling.fault:
            yield Problem(
                subject=ref,
                field=f"spec.rules[{number}]",
                reason=Reason.UNSUPPORTED,
                message=f"{ruling.fault}; requests that only this rule takes are not served",
            )


ROUTE_RULES: Final = Derived[ObjectRef, Rules]("route-rules", _compute, (ATTACHED_REFS,))
ROUTE_CAS: Final = Index[ObjectRef, Rules, ObjectRef](ROUTE_RULES, "ca", lambda _, rules: rules.cas)
