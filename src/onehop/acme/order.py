"""The way of an order, as a pure machine: what is saved and what was seen, to the next step.

RFC 8555, section 7.1.6. There is no "current state" of our own that could be wrong: each step is
derived from what the CA says *now* about the saved order. So a crash at any point, a cut
connection, an answer that never came, and a CA that skips a step because it reuses what it
knows, are all the same case: look again, then do what is next.
"""

from collections.abc import Iterator
from typing import TypeAlias, assert_never

import msgspec

from onehop.acme.issuer import Http01, Issuer, Rfc2136, SolverChoice, TlsAlpn01, Webhook
from onehop.acme.protocol.wire import (
    Authorization,
    AuthorizationStatus,
    Challenge,
    Order,
    OrderStatus,
)
from onehop.acme.refusal import Refusal, refusal_of
from onehop.acme.saved import SavedOrder


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What this run has learnt of the saved order; after a failure it begins anew, empty.

    Attributes:
        authorizations: those that were read, as last read.
        told: URLs of the challenges that the CA was told to look at in this run, or was
            found to look at already, with our answer in its place.
    """

    order: Order | None = None
    authorizations: tuple[Authorization, ...] = ()
    told: frozenset[str] = frozenset()


class PlaceOrder(msgspec.Struct, frozen=True):
    """There is no order: place one."""


class SeekOrder(msgspec.Struct, frozen=True):
    """The answer to newOrder was lost: look for what it may have made."""


class ReadOrder(msgspec.Struct, frozen=True):
    """Look at the order."""

    url: str


class ReadAuthorizations(msgspec.Struct, frozen=True):
    """Look at what has to be proven."""

    urls: tuple[str, ...]


class Proof(msgspec.Struct, frozen=True):
    """A host, the CA's challenge for it, and by whom it is solved."""

    authorization: Authorization
    challenge: Challenge
    solver: SolverChoice


class Prove(msgspec.Struct, frozen=True):
    """Put answers in their places, and tell the CA to look."""

    proofs: tuple[Proof, ...]


class AwaitAuthorization(msgspec.Struct, frozen=True):
    """The CA is looking; look at the authorization in a while."""

    url: str


class Finalize(msgspec.Struct, frozen=True):
    """All is proven: send the signing request."""

    order: Order


class AwaitOrder(msgspec.Struct, frozen=True):
    """The CA is issuing; look at the order in a while."""

    url: str


class Download(msgspec.Struct, frozen=True):
    """The certificate is there."""

    url: str


class GiveUp(msgspec.Struct, frozen=True):
    """This order comes to nothing.

    Attributes:
        failed: hosts whose validation failed, which CAs count.
    """

    refusal: Refusal
    failed: tuple[str, ...] = ()


Step: TypeAlias = (
    PlaceOrder
    | SeekOrder
    | ReadOrder
    | ReadAuthorizations
    | Prove
    | AwaitAuthorization
    | Finalize
    | AwaitOrder
    | Download
    | GiveUp
)


def next_step(issuer: Issuer, saved: SavedOrder | None, seen: Seen) -> Step:
    """Return what is to be done next for an order."""
    if saved is None:
        return PlaceOrder()
    if saved.url is None:
        return SeekOrder()
    order = seen.order
    if order is None:
        return ReadOrder(saved.url)
    match order.status:
        case OrderStatus.PENDING:
            return _prove(issuer, order, seen)
        case OrderStatus.READY:
            return Finalize(order)
        case OrderStatus.PROCESSING:
            return AwaitOrder(saved.url)
        case OrderStatus.VALID if order.certificate:
            return Download(order.certificate)
        case OrderStatus.VALID:
            return AwaitOrder(saved.url)
        case OrderStatus.INVALID:
            return _post_mortem(order, seen)
        case _:
            assert_never(order.status)


def choose(issuer: Issuer, authorization: Authorization) -> Proof | None:
    """Return the first solver of the issuer that may prove the host by what the CA offers."""
    for solver in issuer.solvers:
        if not may_prove(solver, authorization.host):
            continue
        for challenge in authorization.challenges:
            if challenge.type == challenge_type(solver) and challenge.token:
                return Proof(authorization, challenge, solver)
    return None


def challenge_type(solver: SolverChoice) -> str:
    """Return what RFC 8555 (section 9.7.8) calls what a solver solves."""
    match solver:
        case Http01():
            return "http-01"
        case TlsAlpn01():
            return "tls-alpn-01"
        case Rfc2136() | Webhook():
            return "dns-01"
        case _:
            assert_never(solver)


def may_prove(solver: SolverChoice, host: str) -> bool:
    """Tell whether a solver is for a host: its zones hold it, and a wildcard needs dns-01.

    RFC 8555 leaves the latter to CAs (section 7.1.3); all of them agree.
    """
    plain = host.removeprefix("*.")
    if plain != host and challenge_type(solver) != "dns-01":
        return False
    return not solver.zones or any(
        plain == zone or plain.endswith(f".{zone}") for zone in solver.zones
    )


def with_authorization(seen: Seen, authorization: Authorization) -> Seen:
    """Return what was seen, with one authorization as it is now."""
    others = tuple(known for known in seen.authorizations if known.url != authorization.url)
    return msgspec.structs.replace(seen, authorizations=(*others, authorization))


def _prove(issuer: Issuer, order: Order, seen: Seen) -> Step:
    by_url = {authorization.url: authorization for authorization in seen.authorizations}
    unread = tuple(url for url in order.authorizations if url not in by_url)
    if unread:
        return ReadAuthorizations(unread)
    needed = [by_url[url] for url in order.authorizations]
    if any(_is_dead(authorization) for authorization in needed):
        return _post_mortem(order, seen)
    pending = [found for found in needed if found.status is AuthorizationStatus.PENDING]
    if not pending:
        return Finalize(order)
    proofs: list[Proof] = []
    for authorization in pending:
        proof = choose(issuer, authorization)
        if proof is None:
            return GiveUp(_unsolvable(issuer, authorization))
        if proof.challenge.url not in seen.told:
            proofs.append(proof)
    return Prove(tuple(proofs)) if proofs else AwaitAuthorization(pending[0].url)


def _is_dead(authorization: Authorization) -> bool:
    return authorization.status not in {AuthorizationStatus.PENDING, AuthorizationStatus.VALID}


def _post_mortem(order: Order, seen: Seen) -> Step:
    """Say why an order is dead: the CA tells in the order, or in the challenge that failed."""
    read = {authorization.url for authorization in seen.authorizations}
    unread = tuple(url for url in order.authorizations if url not in read)
    if unread:
        return ReadAuthorizations(unread)
    dead = sorted(filter(_is_dead, seen.authorizations), key=lambda found: found.host)
    reasons = tuple(reason for authorization in dead for reason in _reasons(authorization))
    failed = tuple(found.host for found in dead if any(c.error for c in found.challenges))
    if len(reasons) == 1:
        return GiveUp(reasons[0], failed)
    if reasons:
        detail = f"{len(reasons)} hosts could not be validated"
        return GiveUp(Refusal(kind="compound", detail=detail, subproblems=reasons), failed)
    if order.error is not None:
        return GiveUp(refusal_of(order.error), failed)
    names = ", ".join(found.host for found in dead)
    detail = f"the CA gave the order up without a reason; {names or 'nothing'} is not proven"
    return GiveUp(Refusal(kind="orderInvalid", detail=detail), failed)


def _reasons(authorization: Authorization) -> Iterator[Refusal]:
    for challenge in authorization.challenges:
        if challenge.error is not None:
            yield msgspec.structs.replace(
                refusal_of(challenge.error, host=authorization.host), host=authorization.host
            )
            return


def _unsolvable(issuer: Issuer, authorization: Authorization) -> Refusal:
    offered = ", ".join(sorted({challenge.type for challenge in authorization.challenges}))
    ours = ", ".join(dict.fromkeys(map(challenge_type, issuer.solvers)))
    wildcard = "; a wildcard is proven by dns-01 only" if authorization.wildcard else ""
    return Refusal(
        kind="noSolver",
        host=authorization.host,
        detail=f"the CA offers {offered or 'nothing'}; issuer {issuer.name} has {ours}, and none"
        f" of these may prove this host{wildcard}",
    )
