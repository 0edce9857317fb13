"""Weights as slots to draw from; pure.

A member that has three of eight slots gets three connections of eight. Slots are moved as little
as possible when members change: each one that moves is two messages to the kernel.
"""

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

NOBODY: Final = 0
"""In place of a member, where there is none: whoever draws it is turned away."""
MOST: Final = 1024
"""Slots of one listener, unless it has more members than that."""
_HASH_SLOTS: Final = (1021, 16_381)
"""Primes, as Maglev wants them; a member has about a hundredth of its share too much or too little
as long as there are a hundred times as many slots as members (the paper's section 5.3)."""
_FEW: Final = 128


def together(groups: Iterable[tuple[int, Mapping[int, int]]]) -> dict[int, int]:
    """Return the weight of each member among all, exactly; who has no weight is not among them.

    Args:
        groups: each with its weight among the others, and its members with theirs among themselves.
            One without members is NOBODY's. Who is in several has what he has in each.
    """
    every = [(weight, members, sum(members.values())) for weight, members in groups]
    common = math.lcm(*(total for _, _, total in every if total))
    weights: dict[int, int] = {}
    for weight, members, total in every:
        unit = weight * common // total if total else weight * common
        for member, own in (members if total else {NOBODY: 1}).items():
            weights[member] = weights.get(member, 0) + own * unit
    return {member: weight for member, weight in weights.items() if weight}


def shares(weights: Mapping[int, int]) -> dict[int, int]:
    """Return how many slots each member gets; exactly by weight where MOST slots suffice.

    Where they do not, nobody is off by more than one slot, and everybody has one.
    """
    if not weights:
        return {}
    divisor = math.gcd(*weights.values())
    exact = {member: weight // divisor for member, weight in weights.items()}
    total = sum(exact.values())
    slots = max(MOST, len(exact))
    if total <= slots:
        return exact
    rounded = {member: max(1, weight * slots // total) for member, weight in exact.items()}
    by_loss = sorted(
        (member for member, weight in exact.items() if weight * slots >= total),
        key=lambda member: (-(exact[member] * slots % total), member),
    )
    for member in by_loss[: max(0, slots - sum(rounded.values()))]:
        rounded[member] += 1
    return rounded


def arrange(wanted: Mapping[int, int], before: Sequence[int]) -> tuple[int, ...]:
    """Return who has which slot, with everybody where he was as far as that goes.

    Args:
        wanted: slots of each member.
        before: who had them until now.
    """
    left = dict(wanted)
    slots: list[int | None] = [None] * sum(left.values())
    for place, member in enumerate(before[: len(slots)]):
        if left.get(member, 0):
            slots[place] = member
            left[member] -= 1
    waiting = [member for member in sorted(left) for _ in range(left[member])]
    return tuple(waiting.pop() if member is None else member for member in slots)


def hashed(weights: Mapping[int, int]) -> tuple[int, ...]:
    """Return who has which slot, depending on nothing but the members: the same on every host.

    Maglev's table (Eisenbud et al., NSDI 2016, section 3.4): each member has an order of its own in
    which it wants slots, and they take turns. If one goes, little more than its slots move.
    """
    if not weights:
        return ()
    size = _HASH_SLOTS[0] if len(weights) <= _FEW else _HASH_SLOTS[1]
    slots = [-1] * size
    wishes = {member: _Wishes(member, size) for member in sorted(weights)}
    heaviest = max(weights.values())
    credit = dict.fromkeys(wishes, 0)
    free = size
    while True:
        for member, wish in wishes.items():
            credit[member] += weights[member]
            if credit[member] < heaviest:  # waits for its turn
                continue
            credit[member] -= heaviest
            place = wish.next()
            while slots[place] >= 0:
                place = wish.next()
            slots[place] = member
            free -= 1
            if not free:
                return tuple(slots)


class _Wishes:
    """The order in which a member wants slots."""

    def __init__(self, member: int, size: int) -> None:
        text = str(member).encode()
        self._size = size
        self._place = zlib.crc32(text) % size
        self._skip = zlib.crc32(text, 1) % (size - 1) + 1

    def next(self) -> int:
        self._place = (self._place + self._skip) % self._size
        return self._place
