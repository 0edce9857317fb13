"""Which prefixes are remembered, and since when they may have changed."""

import math

from onehop.net.fib.mirror import REMEMBERED_S, Mirror, Reading
from onehop.net.fib.prefix import EVERYTHING, Key, key_of
from onehop.net.fib.route import Matched

POOL = key_of(10 << 24, 8)
BLOCK = key_of(10 << 24, 26)
OTHER = key_of(11 << 24, 26)


def reading(*keys: Key) -> Reading:
    found = Reading()
    for key in keys:
        found.add(Matched(False, key, None))
    return found


def test_what_is_there_at_first_was_never_touched() -> None:
    """So it is steady."""
    mirror = Mirror(ipv6=False)

    mirror.fill(reading(POOL, BLOCK))

    assert BLOCK in mirror.prefixes
    assert mirror.touched_at(BLOCK, 8) == -math.inf


def test_only_prefixes_as_long_as_the_route_matter() -> None:
    """A new default route does not make a block's route new."""
    mirror = Mirror(ipv6=False)
    mirror.fill(reading(POOL, BLOCK))
    mirror.touch(Matched(False, EVERYTHING, None), 5.0)
    mirror.touch(Matched(False, POOL, None), 4.0)

    assert mirror.touched_at(BLOCK, 26) == -math.inf
    assert mirror.touched_at(BLOCK, 8) == 4.0
    assert mirror.touched_at(BLOCK, 0) == 5.0


def test_a_later_reading_finds_what_no_event_told_of() -> None:
    """What is new and what is gone counts as touched; what is gone is kept for a while."""
    mirror = Mirror(ipv6=False)
    mirror.fill(reading(BLOCK))

    mirror.refill(reading(OTHER), 10.0)

    assert mirror.touched_at(OTHER, 26) == mirror.touched_at(BLOCK, 26) == 10.0
    assert BLOCK in mirror.prefixes

    mirror.refill(reading(OTHER), 10.0 + REMEMBERED_S)

    assert BLOCK not in mirror.prefixes
    assert OTHER in mirror.prefixes
    assert mirror.touched_at(OTHER, 26) == -math.inf


def test_who_refuses_is_found_around_the_address() -> None:
    """The innermost route that refuses; without one it is a rule, which has no table."""
    mirror = Mirror(ipv6=False)
    mirror.fill(reading(BLOCK))
    assert mirror.refusal(BLOCK) == (EVERYTHING, None)

    mirror.touch(Matched(False, POOL, (100, 4)), 1.0)

    assert mirror.refusal(BLOCK) == (POOL, (100, 4))
