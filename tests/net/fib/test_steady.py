"""How long a route must stand: pure, and time is a number."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.model.address import Cidr, IpAddr
from onehop.model.reach import FibRoute, Hop, RouteKind
from onehop.net.fib.steady import (
    BUDGET,
    BUDGET_S,
    FORGIVEN_S,
    MAX_WAIT_S,
    Promotions,
    Standing,
    Way,
    begin,
    move,
    way_of,
)

STABLE_S = 3.0
A = Hop("eth0", IpAddr("192.0.2.1"))
B = Hop("eth0", IpAddr("192.0.2.2"))
VIA_A: Way = (RouteKind.UNICAST, (A,))
VIA_B: Way = (RouteKind.UNICAST, (B,))
VIA_BOTH: Way = (RouteKind.UNICAST, (A, B))

WAYS = st.sampled_from([None, VIA_A, VIA_B, VIA_BOTH])


def from_the_beginning(way: Way) -> Standing:
    return begin(way, now=0.0, since=-math.inf, stable_s=STABLE_S)


def wait_of(standing: Standing, way: Way, now: float) -> float:
    """Move, and return how long the stretch must stand from then on."""
    move(standing, way, now=now, stable_s=STABLE_S)
    assert not standing.is_steady
    return standing.steady_at - now


def ripen(standing: Standing, promotions: Promotions[str]) -> float:
    """Let a stretch become steady; return when."""
    promotions.add("it", standing)
    assert promotions.take(standing.steady_at) == ["it"]
    return standing.steady_at


@pytest.mark.parametrize(
    "route",
    [
        None,
        FibRoute(prefix=Cidr("0.0.0.0/0"), hops=(A,)),
        FibRoute(prefix=Cidr("::/0"), hops=(A,)),
        FibRoute(prefix=Cidr("10.0.0.0/26"), kind=RouteKind.REFUSED),
    ],
)
def test_what_proves_no_way_has_nothing_to_wait_for(route: FibRoute | None) -> None:
    """A default route, a refusal and no route at all are taken as they are, at once."""
    assert way_of(route) is None
    assert begin(way_of(route), now=5.0, since=5.0, stable_s=STABLE_S).is_steady


def test_a_route_is_steady_if_it_was_there_from_the_beginning() -> None:
    """A restart moves nothing."""
    assert from_the_beginning(VIA_A).is_steady


def test_a_route_that_came_before_it_was_asked_about_waits_for_the_rest() -> None:
    """It counts from when it came."""
    standing = begin(VIA_A, now=10.0, since=8.0, stable_s=STABLE_S)

    assert (standing.is_steady, standing.steady_at) == (False, 11.0)
    assert begin(VIA_A, now=12.0, since=8.0, stable_s=STABLE_S).is_steady


def test_a_route_that_comes_back_waits() -> None:
    """And a lost one is lost at once."""
    standing = from_the_beginning(VIA_A)

    move(standing, None, now=10.0, stable_s=STABLE_S)
    assert standing.way is None
    assert wait_of(standing, VIA_A, 11.0) == STABLE_S


def test_a_route_that_leads_elsewhere_waits() -> None:
    """It is told of at once, and is not steady."""
    assert wait_of(from_the_beginning(VIA_A), VIA_B, 10.0) == STABLE_S


def test_an_equal_route_moves_nothing() -> None:
    """BIRD replaces routes for reasons of its own."""
    standing = from_the_beginning(VIA_A)
    before = standing.copy()

    move(standing, VIA_A, now=10.0, stable_s=STABLE_S)

    assert standing == before


def test_what_is_left_of_a_way_stays_steady() -> None:
    """Of two hops one went away; the other has stood all the time. One more hop is news."""
    standing = from_the_beginning(VIA_BOTH)

    move(standing, VIA_A, now=10.0, stable_s=STABLE_S)
    assert standing.is_steady
    assert wait_of(standing, VIA_BOTH, 20.0) == STABLE_S


def test_flapping_doubles_the_wait_up_to_the_longest() -> None:
    """Each loss counts."""
    standing = from_the_beginning(VIA_A)
    waits: list[float] = []

    for turn in range(8):
        move(standing, None, now=10.0 * turn, stable_s=STABLE_S)
        waits.append(wait_of(standing, VIA_A, 10.0 * turn + 5.0))

    assert waits == [3, 6, 12, 24, 48, MAX_WAIT_S, MAX_WAIT_S, MAX_WAIT_S]


def test_a_minute_of_steadiness_forgives() -> None:
    """The next loss is the first again."""
    standing, promotions = from_the_beginning(VIA_A), Promotions[str]()
    for now in (0.0, 1.0, 2.0):
        move(standing, None, now=now, stable_s=STABLE_S)
        move(standing, VIA_A, now=now + 0.5, stable_s=STABLE_S)
    steady_at = ripen(standing, promotions)

    early = standing.copy()
    assert wait_of(early, VIA_B, steady_at + FORGIVEN_S - 1) == STABLE_S * 8
    assert wait_of(standing, VIA_B, steady_at + FORGIVEN_S) == STABLE_S


def test_a_minute_of_absence_forgives_as_well() -> None:
    """Whoever was away for long is no flapper."""
    standing = from_the_beginning(VIA_A)
    for now in (0.0, 1.0, 2.0):
        move(standing, VIA_A, now=now, stable_s=STABLE_S)
        move(standing, None, now=now + 0.5, stable_s=STABLE_S)

    assert wait_of(standing, VIA_A, 2.5 + FORGIVEN_S) == STABLE_S


def test_without_a_wait_everything_is_steady_at_once() -> None:
    """`stableS: 0` means what it says."""
    standing = begin(VIA_A, now=0.0, since=0.0, stable_s=0.0)
    assert standing.is_steady

    move(standing, VIA_B, now=1.0, stable_s=0.0)

    assert standing.is_steady


@given(st.lists(st.tuples(st.integers(0, 100), WAYS), max_size=30))
def test_waits_are_within_bounds_whatever_happens(moves: list[tuple[int, Way]]) -> None:
    """Nothing that proves a way and has moved is steady earlier than it should be, or never."""
    standing, now = from_the_beginning(VIA_A), 0
    for pause_s, way in moves:
        now += pause_s
        before = standing.copy()
        move(standing, way, now=now, stable_s=STABLE_S)
        assert standing.way == way
        if not standing.is_steady and standing.since != before.since:
            assert STABLE_S <= standing.steady_at - now <= MAX_WAIT_S
        if way is None:
            assert standing.is_steady


def test_promotions_keep_to_their_budget() -> None:
    """A cluster that comes back as a whole is not moved in one instant, but it is moved."""
    promotions = Promotions[int]()
    standings = [begin(VIA_A, now=0.0, since=0.0, stable_s=STABLE_S) for _ in range(BUDGET * 2 + 1)]
    for number, standing in enumerate(standings):
        promotions.add(number, standing)
    assert promotions.due_in(1.0) == STABLE_S - 1.0

    taken: list[int] = []
    now = STABLE_S
    for expected in (BUDGET, BUDGET, 1):
        assert promotions.due_in(now) == pytest.approx(0)
        some = promotions.take(now)
        assert len(some) == expected
        assert promotions.take(now) == []
        taken += some
        now += BUDGET_S

    assert taken == list(range(len(standings)))
    assert promotions.due_in(now) is None
    assert all(standing.is_steady for standing in standings)


def test_what_moves_while_it_waits_waits_anew() -> None:
    """The earlier time is void."""
    promotions = Promotions[str]()
    standing = begin(VIA_A, now=0.0, since=0.0, stable_s=STABLE_S)
    promotions.add("it", standing)
    move(standing, VIA_B, now=2.0, stable_s=STABLE_S)
    promotions.add("it", standing)

    assert promotions.take(3.0) == []
    assert promotions.due_in(3.0) == 2.0
    standing.release()
    assert promotions.due_in(3.0) is None
