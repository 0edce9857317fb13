"""The rule that takes a request: whose it is, why it is this one, and who lost to it."""

from collections.abc import Iterator
from typing import Final, assert_never

from onehop.cluster import Kind
from onehop.compile.gateway.proof import GATEWAY_PROOFS
from onehop.compile.host import claims_on
from onehop.compile.ingress import ANY_HOST, CLAIMS_BY_HOST, DEFAULT_CLAIMS
from onehop.compile.inputs import ONLY
from onehop.compile.proof import PROOFS
from onehop.compile.router import HostKey
from onehop.control.explain.explanation import Branch, Loser, Outcome, OutcomeKind, RouteStep
from onehop.control.explain.facts import Facts
from onehop.control.explain.matching import demands_of, names_for, routes_for, takes
from onehop.model.route import (
    Forward,
    Guard,
    Labels,
    PathKind,
    PathMatch,
    Redirect,
    Respond,
    Route,
    VirtualHost,
)

_OF_GATEWAYS: Final = frozenset({Kind.HTTP_ROUTE, Kind.GRPC_ROUTE})
_LOOKING: Final = "a CA looks for it just now, which comes before all rules"
NOTHING_THERE = Outcome(kind=OutcomeKind.RESPOND, says="404, no rule takes it")


def route_step(facts: Facts, host: VirtualHost, route: Route) -> RouteStep:
    """Return a rule of a host by itself, whatever the request."""
    if is_of_gateway(route):
        return _step(host, route, _asked(route), ())
    if _is_proof(facts, host, route) or _is_gateways_proof(facts, host, route):
        return _step(host, route, "a CA looks for it just now", ())
    same = same_path(facts, host, route)
    why = "the only one for this host and path" if not same else "the oldest for this host and path"
    return _step(host, route, why, same)


def route_taken(host: VirtualHost, hostname: str, path: str) -> Route | None:
    """Return the rule that takes a request, or None: the answer is 404."""
    return next(iter(routes_for(host, hostname, path)), None)


def step_of_request(
    facts: Facts, host: VirtualHost, route: Route, hostname: str, path: str
) -> RouteStep:
    """Return the rule that takes a request, and all that fit it and do not get it."""
    if is_of_gateway(route):
        why = f"{_host_words(host, route)}, {_path_words(route.match)}"
        return _step(host, route, why, tuple(_beside(host, route, path)))
    if _is_gateways_proof(facts, host, route):
        return _step(host, route, _LOOKING, tuple(_beside(host, route, path)))
    lost = (
        *same_path(facts, host, route),
        *_less_exact(host, route, hostname, path),
        *_wider_hosts(facts, host, route, hostname, path),
    )
    if _is_proof(facts, host, route):
        why = _LOOKING
    elif _is_default(facts, host, route):
        why = "the oldest defaultBackend, for no rule takes it"
    else:
        why = f"{_host_words(host, route)}, {_path_words(route.match)}"
    return _step(host, route, why, lost)


def is_of_gateway(route: Route) -> bool:
    """Tell whether a route is an HTTPRoute's or a GRPCRoute's."""
    return route.owner is not None and route.owner.kind in _OF_GATEWAYS


def _asked(route: Route) -> str:
    demands = demands_of(route)
    return f"with {demands}" if demands else "by its host and path"


def _beside(host: VirtualHost, taken: Route, path: str) -> Iterator[Loser]:
    """Yield the rules of a Gateway's host that would take this path, if the request were another.

    Hosts do not fall through to wider ones, so there are no others (docs/adr/0031).
    """
    for other in host.routes:
        is_for_it = other.hostname in {None, taken.hostname}
        if other is taken or not is_for_it or not takes(other.match, path):
            continue
        demands = demands_of(other)
        why = f"only with {demands}" if demands else "less exact, or younger"
        yield Loser(owner=str(other.owner), rule=rule_text(host.hostname, other.match), why=why)


def _is_proof(facts: Facts, host: VirtualHost, route: Route) -> bool:
    """Tell whether a route is there to prove a host to a CA."""
    proof = facts.compiler.reader().get(PROOFS, route.hostname or host.hostname)
    return proof is not None and any(each.id == route.id for each in proof.routes)


def _is_gateways_proof(facts: Facts, host: VirtualHost, route: Route) -> bool:
    """Tell the same of a route on a Gateway, or on a port that is open for CAs alone."""
    proof = facts.compiler.reader().get(GATEWAY_PROOFS, route.hostname or host.hostname)
    if proof is None or HostKey(host.router, host.hostname) not in proof.places:
        return False
    return any(each.id == route.id for each in proof.routes)


def _is_default(facts: Facts, host: VirtualHost, route: Route) -> bool:
    """Tell whether a route is there for what no rule of the host takes."""
    claims = claims_on(facts.compiler.reader(), _claimed(host, route)).claims
    return all(claim.plain.id != route.id for claim in claims)


def _claimed(host: VirtualHost, route: Route) -> str:
    """Return the host that a route was claimed for: it may stand behind a wildcard's own."""
    return ANY_HOST if route.labels is Labels.MORE else host.hostname


def _step(host: VirtualHost, route: Route, why: str, lost: tuple[Loser, ...]) -> RouteStep:
    return RouteStep(
        host=route.hostname or host.hostname,
        path_kind=route.match.kind.value,
        path=route.match.value,
        owner=str(route.owner) if route.owner is not None else None,
        why=why,
        lost=lost,
        limits=tuple(limits_of(route.guard)),
    )


def _host_words(host: VirtualHost, route: Route) -> str:
    if route.labels is Labels.MORE:
        return f"a rule for any host, for the * of {host.hostname} is one label"
    if host.hostname == ANY_HOST:
        return "a rule for any host, for no other has this name"
    return "longest wildcard" if host.hostname.startswith("*.") else "exact host"


def _path_words(match: PathMatch) -> str:
    if match.kind is PathKind.METHOD:
        return "this method of any service"
    return "exact path" if match.kind is PathKind.EXACT else "longest prefix"


def rule_text(hostname: str, match: PathMatch) -> str:
    """Return a rule as people write it."""
    return f"{hostname}{match.value} ({match.kind})"


def same_path(facts: Facts, host: VirtualHost, route: Route) -> tuple[Loser, ...]:
    """Return the claims on the same host and path that are younger, and the younger defaults."""
    hostname = _claimed(host, route)
    if _is_proof(facts, host, route):
        return ()
    if _is_default(facts, host, route):
        return tuple(_younger_defaults(facts, route))
    return tuple(
        Loser(
            owner=str(lost.loser),
            rule=rule_text(hostname, route.match),
            why=_elder(lost.loser == lost.winner.plain.owner),
        )
        for lost in claims_on(facts.compiler.reader(), hostname).lost
        if lost.winner.plain.id == route.id
    )


def _younger_defaults(facts: Facts, route: Route) -> Iterator[Loser]:
    rivals = facts.compiler.reader().unordered(DEFAULT_CLAIMS, ONLY)
    for rival in sorted(rivals, key=lambda rival: rival.age_key):
        if rival.ref != route.owner:
            why = "its defaultBackend is younger"
            yield Loser(owner=str(rival.ref), rule="defaultBackend", why=why)


def _elder(is_same: bool) -> str:  # noqa: FBT001  one question
    return "the same path stands in an earlier rule" if is_same else "the same path, and younger"


def _less_exact(host: VirtualHost, route: Route, hostname: str, path: str) -> Iterator[Loser]:
    for other in routes_for(host, hostname, path):
        if other is not route:
            rule = rule_text(host.hostname, other.match)
            yield Loser(owner=str(other.owner), rule=rule, why=_less(other.match, route.match))


def _less(other: PathMatch, taken: PathMatch) -> str:
    if other == taken:
        return "the same path, and a CA comes first"
    return "a shorter prefix" if taken.kind is PathKind.PREFIX else "only a prefix"


def _wider_hosts(
    facts: Facts, host: VirtualHost, route: Route, hostname: str, path: str
) -> Iterator[Loser]:
    """Yield the rules of hosts that fit as well, and are not asked: a better one is there."""
    names = list(names_for(hostname))
    reader = facts.compiler.reader()
    for name in names[names.index(host.hostname) + 1 :]:
        if name == ANY_HOST and route.labels is Labels.MORE:
            continue  # that is where the route comes from
        for intent in sorted(reader.unordered(CLAIMS_BY_HOST, name), key=lambda i: i.age_key):
            for claim in intent.claims:
                if claim.hostname == name and takes(claim.plain.match, path):
                    rule = rule_text(name, claim.plain.match)
                    why = f"{host.hostname} fits the name better"
                    yield Loser(owner=str(intent.ref), rule=rule, why=why)


def limits_of(guard: Guard) -> Iterator[str]:
    """Yield who may use what is guarded, and how much."""
    if guard.allow:
        yield f"only from {', '.join(guard.allow)}"
    if guard.deny:
        yield f"not from {', '.join(guard.deny)}"
    if guard.rate_limit is not None:
        yield f"{guard.rate_limit.requests} requests in {guard.rate_limit.per_s} s from an address"
    if guard.body_limit_bytes is not None:
        yield f"bodies of at most {guard.body_limit_bytes} bytes"


def outcome_of(route: Route) -> Outcome:
    """Return what becomes of a request that a route takes."""
    match route.action:
        case Forward() as forward:
            return _forwarded(forward)
        case Redirect(code=code, scheme=scheme):
            where = f"to {scheme}" if scheme else "elsewhere"
            return Outcome(kind=OutcomeKind.REDIRECT, says=f"{code}, redirected {where}")
        case Respond(status=status, body=body):
            said = f"{status}, {body.strip()}" if body else str(status)
            return Outcome(kind=OutcomeKind.RESPOND, says=said)
        case _:
            assert_never(route.action)


def _forwarded(forward: Forward) -> Outcome:
    """Return where requests go, each with its share; that of missing backends is answered here."""
    redirected = sum(share.weight for share in forward.redirects)
    total = forward.missing + redirected + sum(share.weight for share in forward.pools)
    branches = tuple(
        Branch(share.pool, round(100 * share.weight / total, 1))
        for share in forward.pools
        if share.weight > 0
    )
    rewrite = forward.rewrite_prefix
    says = f"passed on, its path becoming {rewrite}" if rewrite is not None else "passed on"
    if redirected:
        says += f"; {round(100 * redirected / total, 1):g} % redirected"
    if forward.missing:
        share = round(100 * forward.missing / total, 1)
        says += f"; {share:g} % answered {forward.missing_status}, for a backend is missing"
    return Outcome(kind=OutcomeKind.FORWARD, says=says, branches=branches)
