"""What happens to requests of a route, said once for all routes that want the same.

The entry of a route that only forwards is its pool: no rule has to be tested for its requests. Any
other says `policy:pool:text`. The policy is all that the route says but who it is: its rules stand
in the configuration, so another host or path with a policy that is known there costs an entry in a
map and no reload. Where the text goes is told by the policy: an answer's body.
"""

import base64
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias, assert_never

import msgspec

from onehop.driver.haproxy import word
from onehop.driver.haproxy.guard import guard_rules
from onehop.driver.haproxy.rewrite import redirect_rules, rewrite_rules
from onehop.model.ident import PoolId
from onehop.model.pool import Persistence
from onehop.model.route import (
    Forward,
    HeaderEdit,
    PathKind,
    PathMatch,
    PoolShare,
    Redirect,
    Respond,
    Retry,
    Route,
)

PersistenceOf: TypeAlias = Callable[[PoolId], Persistence | None]
"""What a pool keeps sessions by; None for a pool that is not there, too."""

IDLE_S: Final = 300.0
"""What the configuration has for every route; others have a rule."""

IS_POOL: Final = "-m beg b-"
"""Whether a value is that of a plain route; see `pool_name`."""

_ANYWHERE: Final = PathMatch(PathKind.PREFIX, "/")
_LONGEST_BODY: Final = 8 * 1024
_ONE_POOL: Final = (PoolShare(PoolId("")),)


class Policy(msgspec.Struct, frozen=True):
    """A route without what tells it from others with the same wishes.

    Attributes:
        name: derives from `route`; safe anywhere in the configuration.
        is_plain: whether requests are forwarded to one pool, and that is all.
    """

    name: str
    route: Route
    is_plain: bool = False


def value_of(route: Route) -> tuple[Policy, str]:
    """Return a route's policy, and what stands for the route in a map.

    Raises:
        Unfit: something in the route cannot be said to HAProxy.
    """
    policy = _policy_of(route)
    rules = list(policy_rules(policy, is_tls=False, persistence_of=lambda _: None))
    pool = text = ""
    match route.action:
        case Forward() if shares_of(route.action) and len(shares_of(route.action)) == 1:
            pool = pool_name(shares_of(route.action)[0].pool)
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


def pool_name(pool: PoolId) -> str:
    """Return the name of a pool's backend section; `IS_POOL` tells it from other values."""
    return word.name_of("b", pool)


def answering(*statuses: int) -> Iterator[Policy]:
    """Yield the policies of plain answers."""
    for status in statuses:
        route = Route(id="", owner=None, match=_ANYWHERE, action=Respond(status=status))
        yield _policy_of(route)


def shares_of(forward: Forward) -> tuple[PoolShare, ...]:
    """Return the pools that get any requests."""
    return tuple(share for share in forward.pools if share.weight > 0)


def policy_rules(policy: Policy, *, is_tls: bool, persistence_of: PersistenceOf) -> Iterator[str]:
    """Yield the rules of a frontend, in the order in which they are obeyed.

    Raises:
        Unfit: something cannot be said to HAProxy.
    """
    route, when = policy.route, f"if {{ var(txn.policy) -m str {policy.name} }}"
    if route.specials:
        raise word.Unfit(f"this driver does not do {', '.join(route.specials)}")
    yield from guard_rules(route.guard, policy.name, when)
    yield from _response_edits(route.response_headers, when)
    match route.action:
        case Respond(status=status):
            yield (
                f"http-request return status {int(status)} content-type text/plain"
                f" lf-string '%[var(txn.route),field(3,:),b64dec]' {when}"
            )
        case Redirect() as redirect:
            yield from redirect_rules(redirect, when, is_tls=is_tls)
        case Forward() as forward:
            yield from _forward_rules(forward, route.match, when, persistence_of)
            yield from _request_edits(route.request_headers, when)
        case _:
            assert_never(route.action)


def _policy_of(route: Route) -> Policy:
    """Erase who the route is. A rate is counted by route, so its policy remains its own."""
    action, match = route.action, _ANYWHERE
    if isinstance(action, Respond):
        action = msgspec.structs.replace(action, body="")
    if isinstance(action, Forward):
        if action.rewrite_prefix is not None:
            match = route.match
        if len(shares_of(action)) == 1:
            action = msgspec.structs.replace(action, pools=_ONE_POOL)
    bare = Route(
        id=route.id if route.guard.rate_limit is not None else "",
        owner=None,
        match=match,
        when=route.when,
        action=action,
        guard=route.guard,
        request_headers=route.request_headers,
        response_headers=route.response_headers,
    )
    return Policy(word.token_of("p", msgspec.json.encode(bare)), bare)


def _forward_rules(
    forward: Forward, match: PathMatch, when: str, persistence_of: PersistenceOf
) -> Iterator[str]:
    shares = shares_of(forward)
    if not shares:
        yield f"http-request return status 503 {when}"
        return
    if len(shares) > 1:
        yield from _split(shares, when, persistence_of)
    yield from rewrite_rules(forward.rewrite_prefix, match, when)
    retry: Retry = forward.retry
    silences = (forward.timeout_s, forward.idle_timeout_s, retry.per_try_timeout_s)
    silence_s = min(each for each in silences if each is not None)
    if silence_s != IDLE_S:
        yield f"http-request set-var(txn.timeout) int({word.ms(silence_s)}) {when}"
    if forward.idle_timeout_s != IDLE_S:
        yield f"http-request set-var(txn.tunnel) int({word.ms(forward.idle_timeout_s)}) {when}"
    if retry.codes:
        yield f"http-request set-var(txn.retry) bool(true) {when}"


def _split(
    shares: tuple[PoolShare, ...], when: str, persistence_of: PersistenceOf
) -> Iterator[str]:
    """Throw a die for the pool; where one of them keeps sessions, by the client's address.

    A session that changed pools on each request would be none.
    """
    total = sum(share.weight for share in shares)
    keeps = any(persistence_of(share.pool) is not None for share in shares)
    die = f"src,crc32(1),mod({total})" if keeps else f"rand({total})"
    yield f"http-request set-var(txn.die) {die} {when}"
    reached = total
    for share in reversed(shares):  # the last rule that applies has the word
        name = pool_name(share.pool)
        below = f"{{ var(txn.die) -m int lt {reached} }}"
        yield f"http-request set-var(txn.pool) str({name}) {when} {below}"
        reached -= share.weight


def _request_edits(edit: HeaderEdit, when: str) -> Iterator[str]:
    yield from _edits("http-request", edit, when)


def _response_edits(edit: HeaderEdit, when: str) -> Iterator[str]:
    """Yield the edits of answers, our own ones included: hence "after" the response."""
    yield from _edits("http-after-response", edit, when)


def _edits(ruleset: str, edit: HeaderEdit, when: str) -> Iterator[str]:
    yield from (f"{ruleset} del-header {word.header(name)} {when}" for name in edit.remove)
    for verb, pairs in (("set-header", edit.set), ("add-header", edit.add)):
        for name, value in pairs:
            said = word.quoted(word.literal(value))
            yield f"{ruleset} {verb} {word.header(name)} {said} {when}"
