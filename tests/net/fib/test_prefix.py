"""Dividing addresses by what the kernel must answer alike, on addresses of eight bits."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from onehop.net.fib.prefix import EVERYTHING, Key, Prefixes, key_of

BITS = 8


@st.composite
def keys(draw: st.DrawFn) -> Key:
    length = draw(st.integers(0, BITS))
    number = draw(st.integers(0, (1 << BITS) - 1))
    return key_of(number >> (BITS - length) << (BITS - length), length)


def prefixes_of(some: frozenset[Key]) -> Prefixes:
    prefixes = Prefixes(BITS)
    for key in some:
        prefixes.add(key)
    return prefixes


def around(prefixes: Prefixes, some: frozenset[Key], number: int) -> frozenset[Key]:
    """Return every prefix that an address lies in."""
    ends = {key: prefixes.ends(key) for key in some | {EVERYTHING}}
    return frozenset(key for key, (first, last) in ends.items() if first <= number <= last)


@given(st.frozensets(keys(), max_size=20), keys())
def test_spans_are_in_order_without_gaps(some: frozenset[Key], area: Key) -> None:
    """From the first address of the area to its last, each belongs to one span."""
    prefixes = prefixes_of(some)
    first, last = prefixes.ends(area)

    spans = prefixes.split(first, last, area & 0xFF)

    assert [number for span in spans for number in range(span.first, span.last + 1)] == [
        *range(first, last + 1)
    ]


@given(st.frozensets(keys(), max_size=20), keys())
def test_addresses_share_a_key_if_and_only_if_they_share_all_prefixes(
    some: frozenset[Key], area: Key
) -> None:
    """So one question for each key is enough, and none is asked twice."""
    prefixes = prefixes_of(some)
    spans = prefixes.split(*prefixes.ends(area), area & 0xFF)

    for span in spans:
        for number in range(span.first, span.last + 1):
            mine = around(prefixes, some, number)
            assert max(mine, key=lambda key: key & 0xFF) == span.key
    assert all(one.key != next_one.key for one, next_one in itertools.pairwise(spans))


@given(st.frozensets(keys(), max_size=20), keys())
def test_what_lies_inside_and_around_is_found(some: frozenset[Key], area: Key) -> None:
    """`inside` has the longer prefixes in it, `parent` is the longest of the shorter ones."""
    prefixes = prefixes_of(some)
    first, last = prefixes.ends(area)
    length = area & 0xFF
    everything = some | {EVERYTHING}

    inside = prefixes.inside(first, last, length)

    assert inside == sorted(
        key for key in everything if key & 0xFF > length and first <= key >> 8 <= last
    )
    wider = [key for key in around(prefixes, some, first) if key & 0xFF < length]
    assert prefixes.parent(area) == max(wider, key=lambda key: key & 0xFF, default=EVERYTHING)


@given(st.frozensets(keys()), st.frozensets(keys()))
def test_replacing_is_the_same_as_beginning_anew(
    before: frozenset[Key], after: frozenset[Key]
) -> None:
    """Nothing of the earlier prefixes is left."""
    prefixes = prefixes_of(before)

    prefixes.replace(after)

    assert prefixes.all() == after | {EVERYTHING}
    area = (0, (1 << BITS) - 1, 0)
    assert prefixes.split(*area) == prefixes_of(after).split(*area)


@given(st.frozensets(keys()), st.data())
def test_removing_is_the_same_as_never_having_added(
    some: frozenset[Key], data: st.DataObject
) -> None:
    """Nothing of the prefix is left, not even its length."""
    some -= {EVERYTHING}
    gone = frozenset(key for key in sorted(some) if data.draw(st.booleans()))
    prefixes = prefixes_of(some)

    for key in gone:
        prefixes.remove(key)

    assert prefixes.all() == (some - gone) | {EVERYTHING}
    area = (0, (1 << BITS) - 1, 0)
    assert prefixes.split(*area) == prefixes_of(some - gone).split(*area)
    for key in some:
        assert prefixes.parent(key) == prefixes_of(some - gone).parent(key)
