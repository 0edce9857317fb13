"""What is told of a refusal: to whom, at which field, and what to do about it.

Where a driver's own declaration says why (`support.py`), each wish that is not fulfilled is told by
itself, to the object that has it. Whatever else is refused is told in the data plane's words, to
all objects behind the row.
"""

from collections.abc import Iterable, Iterator
from typing import assert_never

from onehop.control.abilities import advice_on, field_of
from onehop.driver import Refusal
from onehop.driver.asks import Ask
from onehop.driver.capability import Extent, Shortcomings
from onehop.driver.shortfall import unmet
from onehop.model.certificate import Certificate, ServerName, is_challenge
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.listener import ForwardHttp, ForwardTcp, ForwardUdp, Listener, Vip
from onehop.model.model import Row
from onehop.model.pool import Pool
from onehop.model.problem import Problem, Reason, Severity
from onehop.model.route import Forward, VirtualHost


def told_of(refusal: Refusal, row: Row | None, lacks: Shortcomings) -> Iterator[Problem]:
    """Yield what the objects behind a row are told."""
    owners = sorted(set(_owners(row))) if row is not None else []
    everybody = owners or [ObjectRef("DataPlane", "", refusal.key.id)]
    asks = _unmet(row, lacks) if row is not None else ()
    for ask in asks:
        # A pool's wishes may be those of whoever sends to it: no field of its Service is named.
        is_sure = not isinstance(row, Pool)
        for owner in [ask.owner] if ask.owner is not None else everybody:
            field = field_of(ask.capability, owner) if is_sure else ""
            yield _problem(owner, field, refusal, _why(ask, lacks))
    if row is None or not _is_said(refusal, row, asks, lacks):
        for owner in everybody:
            yield _problem(owner, "", refusal, refusal.reason)


def told_users(refusal: Refusal, pool: Pool, user: Row, lacks: Shortcomings) -> Iterator[Problem]:
    """Yield what those are told who send to a refused pool by a row of theirs."""
    for owner in dict.fromkeys(owner for owner, used in _uses(user) if used == pool.id):
        for ask in _unmet(pool, lacks):
            yield _problem(owner, field_of(ask.capability, owner), refusal, _why(ask, lacks))


def pools_of(row: Row) -> frozenset[PoolId]:
    """Return the pools that a row sends to."""
    return frozenset(pool for _, pool in _uses(row))


def _unmet(row: Row, lacks: Shortcomings) -> tuple[Ask, ...]:
    return tuple(dict.fromkeys(unmet(row, lacks)))


def _is_said(refusal: Refusal, row: Row, asks: Iterable[Ask], lacks: Shortcomings) -> bool:
    """Tell whether the wishes that are not fulfilled say all that there is to the refusal."""
    words = [lacks[ask.capability].words for ask in asks]
    if not refusal.is_partial:
        return any(each in refusal.reason for each in words)
    is_shared = isinstance(row, Listener) and any(unmet(row, lacks, Extent.PARTLY))
    return bool(words) and not is_shared


def _why(ask: Ask, lacks: Shortcomings) -> str:
    return f"{lacks[ask.capability].words}; {advice_on(ask.capability)}"


def _problem(owner: ObjectRef, field: str, refusal: Refusal, why: str) -> Problem:
    became = "serves" if refusal.is_partial else "refused"
    kept = "in part" if refusal.is_partial else "and keeps what it had"
    key = refusal.key
    return Problem(
        subject=owner,
        field=field,
        reason=Reason.DATA_PLANE_REFUSED,
        message=f"the data plane {became} {key.table} {key.id} {kept}: {why}",
        severity=Severity.WARNING if refusal.is_partial else Severity.ERROR,
    )


def _uses(row: Row) -> Iterator[tuple[ObjectRef, PoolId]]:
    """Yield the pools that a row sends to, each with whoever wants it so."""
    match row:
        case VirtualHost(routes=routes):
            for route in routes:
                if isinstance(route.action, Forward) and route.owner is not None:
                    yield from ((route.owner, pool) for pool in route.action.targets)
        case Listener(handler=ForwardHttp() as http):
            passed = http.passthroughs
            yield from ((each.owner, pool) for each in passed for pool in each.pools)
        case Listener(owner=ObjectRef() as owner, handler=ForwardTcp() | ForwardUdp() as bytes_):
            yield from ((owner, pool) for pool in bytes_.pools)
        case _:
            return


def _owners(row: Row) -> Iterator[ObjectRef]:
    """Yield the objects a row was compiled from, as far as the row says."""
    match row:
        case Listener(owner=owner):
            if owner is not None:
                yield owner
        case VirtualHost(routes=routes):
            yield from (route.owner for route in routes if route.owner is not None)
        case Pool(service=service):
            yield service
        case Vip(owners=owners):
            yield from owners
        case Certificate(id=name) if is_challenge(name):
            return
        case Certificate(id=name):
            namespace, _, secret = name.partition("/")
            yield ObjectRef("Secret", namespace, secret)
        case PoolEndpoints() | ServerName():
            return
        case _:
            assert_never(row)
