"""What happens to requests of a route, said once for all routes that want the same.

The entry of a route that only forwards is its pool: no rule has to be tested for its requests. Any
other says `policy:pool:text`. The policy is all that the route says but who it is: its rules stand
in the configuration, so another host or path with a policy that is known there costs an entry in a
map and no reload. Where the text goes is told by the policy: an answer's body.
"""

import base64
from collections.abc import Iterator
from typing import Final, assert_never

import msgspec

from onehop.driver.capability import Capability
from onehop.driver.haproxy import word
from onehop.driver.haproxy.cors import cors_rules
from onehop.driver.haproxy.edit import request_edits, response_edits
from onehop.driver.haproxy.guard import guard_rules
from onehop.driver.haproxy.retry import attempts_of
from onehop.driver.haproxy.rewrite import host_rule, path_rules, redirect_rules
from onehop.driver.haproxy.share import (
    PersistenceOf,
    pool_name,
    share_rules,
    shares_of,
    without_the_only_pool,
)
from onehop.driver.haproxy.support import SHORTCOMINGS
from onehop.driver.haproxy.timed import time_for_all_s, timed_rules
from onehop.model.route import (
    Forward,
    PathKind,
    PathMatch,
    Redirect,
    Respond,
    Route,
)

IDLE_S: Final = 300.0
"""What the configuration has for every route; others have a rule."""

IS_POOL: Final = "-m beg b-"
"""Whether a value is that of a plain route; see `pool_name`."""

_ANYWHERE: Final = PathMatch(PathKind.PREFIX, "/")
_LONGEST_BODY: Final = 8 * 1024


class Policy(msgspec.Struct, frozen=True):
    """A route without what tells it from others with the same wishes.

    Attributes:
        name: derives from all else; safe anywhere in the configuration.
        is_chosen: whether its routes are found by a choice (`choice`).
        is_plain: whether requests are forwarded to one pool, and that is all.
    """

    name: str
    route: Route
    is_chosen: bool = False
    is_plain: bool = False


def value_of(route: Route, *, is_chosen: bool = False) -> tuple[Policy, str]:
    """Return a route's policy, and what stands for the route in a map.

    Raises:
        Unfit: something in the route cannot be said to HAProxy.
    """
    policy = _policy_of(route, is_chosen=is_chosen)
    rules = list(policy_rules(policy, is_tls=False, persistence_of=lambda _: None))
    pool = text = ""
    match route.action:
        case Forward() if shares_of(route.action) and len(shares_of(route.action)) == 1:
            pool = pool_name(shares_of(route.action)[0].pool, attempts_of(route.action))
        case Respond(body=body):
            if len(body) > _LONGEST_BODY:
                raise word.Unfit(f"an answer's body has more than {_LONGEST_BODY} bytes")
            text = base64.b64encode(body.encode()).decode()
        case Forward() | Redirect():
            pass
        case _:
            assert_never(route.action)
    if not rules:
        return msgspec.structs.replace(policy, is_plain=True), pool
    return policy, f"{policy.name}:{pool}:{text}"


def answering(*statuses: int) -> Iterator[Policy]:
    """Yield the policies of plain answers."""
    for status in statuses:
        route = Route(id="", owner=None, match=_ANYWHERE, action=Respond(status=status))
        yield _policy_of(route, is_chosen=False)


def policy_rules(policy: Policy, *, is_tls: bool, persistence_of: PersistenceOf) -> Iterator[str]:
    """Yield the rules of a frontend, in the order in which they are obeyed.

    Raises:
        Unfit: something cannot be said to HAProxy.
    """
    route, when = policy.route, f"if {{ var(txn.policy) -m str {policy.name} }}"
    yield from guard_rules(route.guard, policy.name, when)
    yield from cors_rules(route.cors, policy.name, when)
    yield from response_edits(route.response_headers, when)
    match route.action:
        case Respond(status=status):
            yield (
                f"http-request return status {int(status)} content-type text/plain"
                f" lf-string '%[var(txn.route),field(3,:),b64dec]' {when}"
            )
        case Redirect() as redirect:
            yield from redirect_rules(redirect, route.match, when, is_tls=is_tls)
        case Forward() as forward:
            yield from _forward_rules(forward, route.match, when, persistence_of)
            yield from request_edits(route.request_headers, when)
        case _:
            assert_never(route.action)


def _policy_of(route: Route, *, is_chosen: bool) -> Policy:
    """Erase who the route is. A rate is counted by route, so its policy remains its own."""
    action, match = route.action, _ANYWHERE
    if isinstance(action, Respond):
        action = msgspec.structs.replace(action, body="")
    if isinstance(action, Forward):
        if action.rewrite_prefix is not None:
            match = route.match
        action = without_the_only_pool(action)
    if isinstance(action, Redirect) and action.prefix is not None:
        match = route.match
    bare = Route(
        id=route.id if route.guard.rate_limit is not None else "",
        owner=None,
        match=match,
        action=action,
        guard=route.guard,
        cors=route.cors,
        request_headers=route.request_headers,
        response_headers=route.response_headers,
    )
    kind = "q" if is_chosen else "p"
    return Policy(word.token_of(kind, msgspec.json.encode(bare)), bare, is_chosen)


def _forward_rules(
    forward: Forward, match: PathMatch, when: str, persistence_of: PersistenceOf
) -> Iterator[str]:
    if forward.mirrors:
        raise word.Unfit(SHORTCOMINGS[Capability.MIRRORS].words)
    if forward.is_divided:
        raise word.Unfit(SHORTCOMINGS[Capability.BACKEND_FILTERS].words)
    yield from share_rules(forward, when, persistence_of)
    if not shares_of(forward):
        return
    yield from path_rules(forward.rewrite_path, forward.rewrite_prefix, match, when)
    if forward.rewrite_host is not None:
        yield host_rule(forward.rewrite_host, when)
    silences = (forward.timeout_s, forward.idle_timeout_s, forward.retry.per_try_timeout_s)
    silence_s = min(each for each in silences if each is not None)
    all_s = time_for_all_s(forward)
    if all_s is not None:
        yield from timed_rules(silence_s, all_s, when)
    elif silence_s != IDLE_S:
        yield f"http-request set-var(txn.timeout) int({word.ms(silence_s)}) {when}"
    if forward.idle_timeout_s != IDLE_S:
        yield f"http-request set-var(txn.tunnel) int({word.ms(forward.idle_timeout_s)}) {when}"
