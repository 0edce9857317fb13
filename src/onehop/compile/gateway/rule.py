"""One rule of an HTTPRoute: what becomes of the requests that it takes."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from onehop.cluster.gateway_filter import MirrorFilter
from onehop.cluster.gateway_http import HttpRouteRetry, HttpRouteRule
from onehop.cluster.gateway_ref import BackendObjectRef
from onehop.compile.gateway.backend import (
    NO_CALLS,
    NO_COPIES,
    NO_SHARE,
    Backend,
    Unresolved,
    resolve,
)
from onehop.compile.gateway.duration import seconds
from onehop.compile.gateway.filters import Filters, joined, read_backend_filters, read_filters
from onehop.compile.gateway.match import Match
from onehop.compile.gateway.persistence import read_persistence
from onehop.compile.gateway.unsupported import Unsupported
from onehop.compile.policy import Policy
from onehop.compile.sheet import Reader
from onehop.compile.wish import Wish
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.problem import Problem, quoted
from onehop.model.route import (
    Action,
    Cors,
    Forward,
    HeaderEdit,
    Mirror,
    PathKind,
    PoolShare,
    Redirect,
    RedirectShare,
    Respond,
    Retry,
)

MISSING: Final = 500
UNAVAILABLE: Final = 503
"""gRPC makes UNAVAILABLE of it, which "MUST" be said (GRPCRouteRule.BackendRefs)."""
BROKEN: Final = Respond(status=MISSING, body="this route has no backend\n")
INVALID: Final = Respond(status=500, body="this route asks for what cannot be done\n")
_CODES: Final = range(400, 600)
_MILLION: Final = 1_000_000
_MOST_ATTEMPTS: Final = 100


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What comes of a rule.

    Attributes:
        matches: of the alternatives those that can be matched.
        fault: why it cannot be done as it stands, in the words of a condition; or None.
        fault_reason: of that condition.
        unresolved: references of it that lead nowhere.
    """

    matches: tuple[Match, ...]
    action: Action
    request: HeaderEdit = HeaderEdit()
    response: HeaderEdit = HeaderEdit()
    cors: Cors | None = None
    wishes: tuple[Wish, ...] = ()
    cas: tuple[ObjectRef, ...] = ()
    policies: tuple[ObjectRef, ...] = ()
    told: tuple[Problem, ...] = ()
    unresolved: tuple[Unresolved, ...] = ()
    fault: str = ""
    fault_reason: str = ""


def read_rule(  # noqa: PLR0913  what a rule is made of, by name
    reader: Reader,
    route: ObjectRef,
    rule: HttpRouteRule,
    read: Sequence[Match | str],
    *,
    field: str,
    policy: Policy,
) -> Ruling:
    """Return what comes of a rule; one that cannot be done answers 500 to all it would take.

    Args:
        reader: of the route's cell.
        route: whose rule it is.
        rule: all of it but its matches.
        read: these, or what is wrong with one of them.
        field: where the rule stands.
        policy: what the route's annotations say, for what the rule does not.
    """
    matches = [match for match in read if isinstance(match, Match)]
    wrong = next((each for each in read if isinstance(each, str)), None)
    if wrong is not None:
        return Ruling(
            matches=tuple(matches), action=INVALID, fault=wrong, fault_reason="UnsupportedValue"
        )
    try:
        filters = read_filters(rule.filters, (match.path.kind for match in matches))
        if filters.redirect is not None:
            return _redirected(rule, matches, filters)
        return _Walk(reader, route, rule, field=field, policy=policy).ruling(
            tuple(matches), filters
        )
    except Unsupported as fault:
        return Ruling(
            matches=tuple(matches), action=INVALID, fault=str(fault), fault_reason=fault.reason
        )


def _redirected(rule: HttpRouteRule, matches: Sequence[Match], filters: Filters) -> Ruling:
    if filters.mirrors or filters.cors:
        message = "a redirect leaves nothing to copy, and no answer to share; remove one"
        raise Unsupported(message, "IncompatibleFilters")
    if rule.backend_refs:
        raise Unsupported("a redirect leaves nothing for backendRefs; remove one of the two")
    assert filters.redirect is not None  # noqa: S101  the caller asked
    return Ruling(matches=tuple(matches), action=filters.redirect, response=filters.response)


class _Shares(msgspec.Struct):
    """The backends of a rule, as they are gone through.

    Attributes:
        missing: the weight of those that are not there.
        alone: filters of one that gets all requests, and that so hold for the rule.
    """

    pools: list[PoolShare] = []
    redirects: list[RedirectShare] = []
    missing: int = 0
    alone: Filters = Filters()

    @property
    def is_any(self) -> bool:
        """Whether anybody is there for requests."""
        return bool(self.redirects) or any(share.weight for share in self.pools)


class _Walk:
    """Goes through the backends of a rule once, gathering pools and faults."""

    def __init__(
        self, reader: Reader, route: ObjectRef, rule: HttpRouteRule, *, field: str, policy: Policy
    ) -> None:
        self._reader = reader
        self._route = route
        self._rule = rule
        self._field = field
        self._policy = read_persistence(rule.session_persistence, policy)
        self._is_grpc = route.kind == "GRPCRoute"
        self._wishes: dict[PoolId, Wish] = {}
        self._cas: list[ObjectRef] = []
        self._policies: list[ObjectRef] = []
        self._told: list[Problem] = []
        self._unresolved: list[Unresolved] = []

    def ruling(self, matches: tuple[Match, ...], filters: Filters) -> Ruling:
        """Return what comes of the rule.

        HTTPRouteRule.BackendRefs: "If all entries in BackendRefs are invalid, and there are also no
        filters specified in this route rule, all traffic which matches this rule MUST receive a 500
        status code."
        """
        shares = self._shares([match.path.kind for match in matches], filters)
        alone = shares.alone
        mirrors = (
            *self._mirrors(filters.mirrors, f"{self._field}.filters"),
            *self._mirrors(alone.mirrors, f"{self._field}.backendRefs.filters"),
        )
        filters = joined(filters, alone)
        status = UNAVAILABLE if self._is_grpc else MISSING
        action: Action = msgspec.structs.replace(BROKEN, status=status)
        if shares.is_any:
            action = filters.redirect or self._forward(shares, filters, mirrors)
        return Ruling(
            matches=matches,
            action=action,
            request=filters.request,
            response=filters.response,
            cors=filters.cors,
            wishes=() if isinstance(action, Redirect) else tuple(self._wishes.values()),
            cas=tuple(self._cas),
            policies=tuple(self._policies),
            told=tuple(self._told),
            unresolved=tuple(self._unresolved),
        )

    def _forward(self, shares: _Shares, filters: Filters, mirrors: tuple[Mirror, ...]) -> Forward:
        rewrite = filters.rewrite
        forward = Forward(
            pools=tuple(shares.pools),
            redirects=tuple(shares.redirects),
            missing=shares.missing,
            missing_status=UNAVAILABLE if self._is_grpc and shares.missing else MISSING,
            rewrite_host=rewrite.host if rewrite else None,
            rewrite_path=rewrite.path if rewrite else None,
            rewrite_prefix=rewrite.prefix if rewrite else None,
            timeout_s=self._timeout_s(),
            idle_timeout_s=self._policy.idle_timeout or Forward(pools=()).idle_timeout_s,
            retry=self._retry(self._rule.retry),
            mirrors=mirrors,
        )
        kept = (self._wishes[share.pool].pool for share in shares.pools if share.weight)
        if forward.is_divided and any(pool.persistence is not None for pool in kept):
            what = "a rewrite, copy or redirect at one of several backends, and sessions to be kept"
            raise Unsupported(f"{what}: each request would be another one's; remove one of the two")
        return forward

    def _shares(self, kinds: list[PathKind], of_rule: Filters) -> _Shares:
        """Return the backends with their weights.

        "If two backends are specified with equal weights, and one is invalid, 50 percent of traffic
        must receive a 500" (HTTPRouteRule.BackendRefs).
        """
        shares = _Shares()
        has_others = sum(ref.weight > 0 for ref in self._rule.backend_refs) > 1
        for number, ref in enumerate(self._rule.backend_refs):
            field, weight = f"{self._field}.backendRefs[{number}]", max(ref.weight, 0)
            filters = read_backend_filters(ref.filters, kinds)
            is_shared = has_others and weight > 0
            if weight > 0:
                joined(of_rule, filters)  # for what it refuses
                shares.alone = Filters() if has_others else filters
            is_asked = not (is_shared and filters.redirect)
            until = NO_CALLS if self._is_grpc else NO_SHARE
            pool = self._pool(ref, field, until=until, is_asked=is_asked)
            if pool is None:
                shares.missing += weight
            elif is_shared and filters.redirect is not None:
                shares.redirects.append(RedirectShare(filters.redirect, weight))
            else:
                share = PoolShare(pool, weight, filters.request, filters.response)
                if is_shared:
                    mirrors = tuple(self._mirrors(filters.mirrors, f"{field}.filters"))
                    share = msgspec.structs.replace(share, rewrite=filters.rewrite, mirrors=mirrors)
                shares.pools.append(share)
        return shares

    def _mirrors(self, wanted: Sequence[MirrorFilter], at: str) -> Iterator[Mirror]:
        for number, each in enumerate(wanted):
            field = f"{at}[RequestMirror {number}]"
            pool = self._pool(each.backend_ref, field, until=NO_COPIES)
            if pool is not None:
                yield Mirror(pool, _per_million(each))

    def _pool(
        self, ref: BackendObjectRef, field: str, *, until: str, is_asked: bool = True
    ) -> PoolId | None:
        """Return the pool that is meant, and note it unless nobody asks it for anything."""
        found = resolve(self._reader, self._route, ref, self._policy, field, until=until)
        self._cas.extend(found.cas)
        self._policies.extend(found.policies)
        match found:
            case Unresolved():
                self._unresolved.append(found)
                return None
            case Backend(wish=wish, told=told):
                if is_asked and wish.pool.id not in self._wishes:
                    self._wishes[wish.pool.id] = wish
                    self._told.extend(told)
                return wish.pool.id

    def _timeout_s(self) -> float | None:
        """Return what a whole answer may take; a GRPCRoute says it by annotation."""
        timeouts = self._rule.timeouts
        return _timeout(timeouts.request) if timeouts else self._policy.request_timeout

    def _retry(self, wanted: HttpRouteRetry | None) -> Retry:
        """Return when a request is tried again (GEP-1731).

        "Implementations SHOULD retry on connection errors (disconnect, reset, timeout, TCP failure)
        if a retry stanza is configured"; what was never sent is tried again without one.
        """
        timeouts = self._rule.timeouts
        policy = self._policy
        per_try_s = _timeout(timeouts.backend_request) if timeouts else policy.retry_timeout
        if wanted is None:
            return Retry(
                attempts=Retry().attempts if policy.retries is None else policy.retries,
                codes=policy.retry_on or (),
                per_try_timeout_s=per_try_s,
            )
        strange = [code for code in wanted.codes if code not in _CODES]
        if strange:
            raise Unsupported(f"retry.codes: {strange[0]} is not from 400 to 599")
        backoff_s = seconds(wanted.backoff) if wanted.backoff is not None else None
        if wanted.backoff is not None and backoff_s is None:
            raise Unsupported(f"retry.backoff: {quoted(wanted.backoff)} is no duration (GEP-2257)")
        attempts = Retry().attempts if wanted.attempts is None else wanted.attempts
        return Retry(
            attempts=min(max(attempts, 0), _MOST_ATTEMPTS),
            codes=tuple(sorted(set(wanted.codes))),
            per_try_timeout_s=per_try_s,
            on_silence=True,
            backoff_s=backoff_s or None,
        )


def _timeout(text: str | None) -> float | None:
    """Return a timeout in seconds; "a timeout of 0s disables it" (HTTPRouteTimeouts)."""
    if text is None:
        return None
    found = seconds(text)
    if found is None:
        raise Unsupported(f"timeouts: {quoted(text)} is no duration such as 500ms (GEP-2257)")
    return found or None


def _per_million(mirror: MirrorFilter) -> int:
    """Return the share of requests that are copied; without one, all are (HTTPRequestMirror)."""
    if mirror.percent is not None:
        return _bounded(mirror.percent, 100)
    if mirror.fraction is not None:
        return _bounded(mirror.fraction.numerator, mirror.fraction.denominator)
    return _MILLION


def _bounded(part: int, whole: int) -> int:
    if not 0 <= part <= whole or whole == 0:
        raise Unsupported(f"a mirror's share of {part} in {whole} is no share")
    return round(_MILLION * part / whole)
