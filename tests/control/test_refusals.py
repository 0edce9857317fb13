"""Who is told what the data plane does not do, at which field, and until when."""

import msgspec

from onehop.control.refusals import Refusals
from onehop.driver import Receipt, Refusal
from onehop.model.ident import HostId, ObjectRef, PoolId, RouterId
from onehop.model.model import Change, Row, key_of
from onehop.model.pool import HeaderPersistence, Pool
from onehop.model.problem import Problem, Severity
from onehop.model.route import (
    Forward,
    Guard,
    PathKind,
    PathMatch,
    PoolShare,
    RateLimit,
    Route,
    VirtualHost,
)

ROUTER = RouterId("shared-http")
SERVICE = ObjectRef("Service", "shop", "web")
ONE, TWO = (ObjectRef("Ingress", "shop", name) for name in ("one", "two"))
KEPT = Pool(
    id=PoolId("shop/web:80~1"),
    service=SERVICE,
    port=80,
    persistence=HeaderPersistence(name="x-session"),
)
REFUSED = Refusal(key_of(KEPT), "vTM keeps no session by a response header")
PERSISTENCE = "metadata.annotations[onehop.dev/persistence]"


def route(owner: ObjectRef, **fields: object) -> Route:
    plain = Route(
        id=f"{owner}",
        owner=owner,
        match=PathMatch(PathKind.PREFIX, "/"),
        action=Forward(pools=(PoolShare(KEPT.id),)),
    )
    return msgspec.structs.replace(plain, **fields)


def host(name: str, *routes: Route) -> VirtualHost:
    return VirtualHost(id=HostId(f"{ROUTER}/{name}"), router=ROUTER, hostname=name, routes=routes)


def on_vtm() -> Refusals:
    return Refusals(lambda: "vtm")


def note(refusals: Refusals, *rows: Row, refused: tuple[Refusal, ...] = ()) -> set[ObjectRef]:
    return set(refusals.note(Change(rows), Receipt(refused=refused)))


def told(refusals: Refusals) -> dict[ObjectRef, list[str]]:
    fields: dict[ObjectRef, list[str]] = {}
    for problem in refusals.problems():
        fields.setdefault(problem.subject, []).append(problem.field)
    return fields


def test_whoever_sends_to_a_refused_pool_is_told_at_the_field() -> None:
    """And the Service, whose field it may not be; also one that comes later, until it is mended."""
    refusals = on_vtm()

    assert note(refusals, KEPT, host("a", route(ONE)), refused=(REFUSED,)) == {ONE, SERVICE}
    assert told(refusals) == {SERVICE: [""], ONE: [PERSISTENCE]}

    assert note(refusals, host("b", route(TWO))) == {TWO}
    assert told(refusals) == {SERVICE: [""], ONE: [PERSISTENCE], TWO: [PERSISTENCE]}

    assert note(refusals, KEPT) == {SERVICE, ONE, TWO}
    assert told(refusals) == {}


def test_a_user_that_goes_is_told_nothing_more() -> None:
    """Nor one that sends elsewhere."""
    refusals = on_vtm()
    note(refusals, KEPT, host("a", route(ONE)), host("b", route(TWO)), refused=(REFUSED,))

    gone = Change((), (key_of(host("a")),))
    assert refusals.note(gone, Receipt()) == {ONE}
    assert note(refusals, host("b", route(TWO, action=Forward(pools=())))) == {TWO}

    assert told(refusals) == {SERVICE: [""]}


def test_of_many_owners_the_one_who_asked_is_told() -> None:
    """With what can be done; the neighbours on the host hear nothing."""
    limited = Guard(rate_limit=RateLimit(requests=1, burst=1))
    row = host("a", route(ONE, guard=limited), route(TWO))
    partial = Refusal(key_of(row), "served without the burst of a rate limit", is_partial=True)
    refusals = on_vtm()

    assert note(refusals, row, refused=(partial,)) == {ONE}

    (problem,) = refusals.problems()
    assert isinstance(problem, Problem)
    assert problem.field == "metadata.annotations[onehop.dev/rate-limit-burst]"
    assert problem.severity is Severity.WARNING
    assert problem.message.endswith("leave it out, or use dataPlane.driver envoy or haproxy")
    assert refusals.rows() == ()


def test_what_no_wish_explains_is_told_to_all_behind_the_row() -> None:
    """In the data plane's own words."""
    row = host("a", route(ONE), route(TWO))
    refusals = Refusals(lambda: "envoy")

    assert note(refusals, row, refused=(Refusal(key_of(row), "out of memory"),)) == {ONE, TWO}

    assert all("out of memory" in problem.message for problem in refusals.problems())
    assert key_of(row) in refusals
