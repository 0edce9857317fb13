"""Routes by which hosts are proven to a CA (RFC 8555, section 8.3): ours, and cert-manager's.

They stand before all other routes of the virtual host that takes the host's requests today, and
never make one: an exact host beside `*.example.com` would take all requests for its name away from
the wildcard's routes. So that a route in a wildcard's host answers for its own name alone,
whoever wrote it, it carries that name: else who may prove `a.example.com` could also prove
`b.example.com`, and get a certificate for it.

They stand on the plain router only: a CA begins with plain HTTP on port 80, and what is answered
there is not redirected.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from onehop.compile.answers import ANSWERS, HTTP_HOSTS, HostAnswers
from onehop.compile.backend import options_of
from onehop.compile.challenge import CHALLENGE_PATH, HttpChallenge
from onehop.compile.hostkey import plain_host_for
from onehop.compile.ingress import SOLVED_HOSTS
from onehop.compile.router import HostKey
from onehop.compile.rule import Claim
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, quoted
from onehop.model.route import PathKind, PathMatch, Respond, Route


class Proof(msgspec.Struct, frozen=True):
    """The routes that prove one host, and the virtual host where they stand."""

    place: HostKey
    routes: tuple[Route, ...]


def proofs_in(reader: Reader, key: HostKey) -> tuple[Route, ...]:
    """Return the routes that stand in a virtual host before all others."""
    return tuple(route for proof in reader.where(PROOFS_IN, key) for route in proof.routes)


def _compute(reader: Reader, host: str) -> Cell[Proof]:
    place = plain_host_for(reader, host)
    has_vip = bool(options_of(reader).shared)
    answers = (reader.get(ANSWERS, host) if has_vip else None) or HostAnswers()
    routes = {route.match: route for route in map(answer_to, answers.http)}
    problems: list[Problem] = []
    intents = sorted(reader.unordered(SOLVED_HOSTS, host), key=lambda intent: intent.age_key)
    for intent in intents:
        for claim in intent.solved:
            if claim.hostname != host:
                continue
            winner = routes.setdefault(claim.plain.match, claim.plain)
            if winner is not claim.plain:
                problems.append(_lost(intent.ref, claim, winner))
    if not routes:
        return Cell(None)
    proof = Proof(place, tuple(narrowed(tuple(routes.values()), host, place)))
    return Cell(proof, tuple(problems))


def narrowed(routes: Sequence[Route], host: str, place: HostKey) -> Iterator[Route]:
    """Yield routes of a host as they stand in a virtual host, which may be a wider one."""
    for route in routes:
        is_wider = place.hostname != host
        yield msgspec.structs.replace(route, hostname=host) if is_wider else route


def answer_to(challenge: HttpChallenge) -> Route:
    """Return the route that answers a challenge."""
    return Route(
        id=f"acme:{challenge.host}:{challenge.token}",
        owner=None,
        match=PathMatch(PathKind.EXACT, f"{CHALLENGE_PATH}{challenge.token}"),
        action=Respond(status=200, body=challenge.body),
    )


def _lost(loser: ObjectRef, claim: Claim, winner: Route) -> Problem:
    return Problem(
        subject=loser,
        field=f"spec.rules[host={claim.hostname}]",
        reason=Reason.CONFLICT,
        message=f"the challenge {quoted(claim.plain.match.value)} of host {claim.hostname} is"
        f" answered by {winner.owner or 'onehop itself'}; this Ingress gets no request for it",
    )


PROOFS: Final = Derived[str, Proof]("proofs", _compute, (HTTP_HOSTS, SOLVED_HOSTS))
PROOFS_IN: Final = Index[str, Proof, HostKey](PROOFS, "place", lambda _, proof: (proof.place,))
