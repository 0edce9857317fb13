"""Weights as slots."""

import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.driver.nftables.slots import MOST, arrange, hashed, shares

numbers = st.integers(1, 2**32 - 1)
weighted = st.dictionaries(numbers, st.integers(1, 1000), max_size=40)


@given(weighted)
def test_shares_are_by_weight(weights: dict[int, int]) -> None:
    """Exactly where that needs few slots; otherwise to less than one slot, and one for each."""
    got = shares(weights)
    assert got.keys() == weights.keys()
    if not weights:
        return
    exact = {member: weight // math.gcd(*weights.values()) for member, weight in weights.items()}
    total = sum(exact.values())
    if total <= MOST:
        assert got == exact
        return
    for member, slots in got.items():
        assert slots >= 1
        assert abs(slots - max(1, weights[member] * MOST / sum(weights.values()))) < 1


@given(weighted, weighted)
def test_as_few_slots_move_as_can_be(before: dict[int, int], after: dict[int, int]) -> None:
    """Everybody has his share, and whoever keeps it keeps the slots that are still there."""
    had = arrange(shares(before), ())
    got = arrange(shares(after), had)
    assert Counter(got) == Counter(shares(after))
    kept = sum(1 for one, other in zip(had, got, strict=False) if one == other)
    common = Counter(had[: len(got)]) & Counter(got)
    assert kept == common.total()


@settings(max_examples=20)
@given(st.dictionaries(numbers, st.integers(1, 10), min_size=1, max_size=8))
def test_hash_slots_depend_on_members_alone(weights: dict[int, int]) -> None:
    """Whatever order they come in, and nearly by weight."""
    got = hashed(weights)
    assert got == hashed(dict(reversed(weights.items())))
    counts = Counter(got)
    for member, weight in weights.items():
        assert abs(counts[member] - len(got) * weight / sum(weights.values())) <= 2


def test_losing_a_member_moves_little_more_than_its_clients() -> None:
    """Maglev's promise: of the clients of others, a few in a hundred move."""
    members = dict.fromkeys((each * 2654435761 % 2**32 for each in range(1, 11)), 1)
    before = hashed(members)
    lost = next(iter(members))
    after = hashed({member: 1 for member in members if member != lost})
    moved = sum(1 for one, other in zip(before, after, strict=True) if one not in {other, lost})
    assert moved < len(before) * 0.1


def test_nobody_has_no_slots() -> None:
    """No members, no slots."""
    assert shares({}) == {}
    assert hashed({}) == ()
    assert arrange({}, (1, 2)) == ()
