"""What is made of several rounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.lab.bench.figure import ratio, spread, turn
from onehop.lab.bench.plane import HAPROXY, KERNEL
from onehop.lab.bench.result import make_cell
from onehop.lab.bench.way import DIRECT, LOADS, NONE, TWO_TIERS, WAYS
from tests.lab_bench.known import CPU, result, sample


@given(st.lists(st.floats(1, 1e6), min_size=1))
def test_a_median_lies_between_the_least_and_the_most(values: list[float]) -> None:
    """And as many rounds were above it as below."""
    found = spread(values)

    assert found.least <= found.median <= found.most
    above = sum(value > found.median for value in values)
    below = sum(value < found.median for value in values)
    assert max(above, below) <= len(values) / 2


def test_no_rounds_have_no_median() -> None:
    """Nothing is made up for them."""
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_a_slow_round_changes_no_ratio() -> None:
    """What slows a whole round down slows both sides of it."""
    found = ratio([200.0, 20.0, 300.0], [100.0, 10.0, 150.0])

    assert (found.least, found.median, found.most) == (2.0, 2.0, 2.0)


def test_sides_of_different_length_have_no_ratio() -> None:
    """Then it would not be known which round belongs to which."""
    with pytest.raises(ValueError, match="longer"):
        ratio([1.0], [1.0, 2.0])


@given(st.integers(0, 30))
def test_every_round_has_every_way_once(number: int) -> None:
    """Whatever its order."""
    assert set(turn(WAYS, number)) == set(WAYS)
    assert len(turn(WAYS, number)) == len(WAYS)


def test_orders_alternate() -> None:
    """There and back, then from the next one on."""
    said = ["".join(turn("ABCD", number)) for number in range(4)]

    assert said == ["ABCD", "DCBA", "BCDA", "ADCB"]


def test_every_way_comes_first_and_last_as_often() -> None:
    """Over a whole turn of rounds."""
    rounds = [turn(WAYS, number) for number in range(2 * len(WAYS))]

    for way in WAYS:
        first = sum(order[0] == way for order in rounds)
        last = sum(order[-1] == way for order in rounds)
        assert first == last == 2


def test_a_way_is_compared_with_two_tiers_by_what_the_proxies_spend() -> None:
    """0.09 s against 0.20 s for as many requests."""
    cell = result().cell(DIRECT, LOADS[0])

    assert cell.against_two_tiers is not None
    assert cell.against_two_tiers.median == pytest.approx(0.20 / 0.09)
    assert cell.whole_against_two_tiers.median == pytest.approx(0.282 / 0.16)


def test_the_floor_has_no_proxies() -> None:
    """An Envoy that only waits makes no figure of requests for its time."""
    cell = result().cell(NONE, LOADS[0])

    assert cell.per_proxy_s is None
    assert cell.against_two_tiers is None
    assert cell.per_whole_s.median == pytest.approx(1000 / 0.05)


def test_failures_are_added_up() -> None:
    """A round that failed is not averaged away."""
    rounds = {way: (sample(CPU[way]), sample(CPU[way], failed=3)) for way in WAYS}

    assert make_cell(TWO_TIERS, LOADS[0], rounds, packets=1.0).failed == 3


def test_data_planes_are_compared_way_by_way() -> None:
    """With the first one, in the same round; the kernel's has no proxies to compare."""
    cell = result(HAPROXY).cell(DIRECT, LOADS[0])
    kernel = result(KERNEL).cell(DIRECT, KERNEL.loads[0])

    assert cell.against_first is not None
    assert cell.against_first.median == pytest.approx(2)
    assert kernel.against_first is kernel.per_proxy_s is None
    assert kernel.whole_against_first is not None
    assert kernel.whole_against_first.median == pytest.approx(0.16 / 0.07)
    assert result().cell(DIRECT, LOADS[0]).whole_against_first is None
