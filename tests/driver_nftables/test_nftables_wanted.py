"""Shares of several pools as elements: who is drawn how often, and who by nobody."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.driver.nftables.element import Elements, Lookup, to_number
from onehop.driver.nftables.slots import NOBODY, together
from onehop.driver.nftables.wanted import Part, Served, may_serve, parts_of, serve
from onehop.model.endpoint import Endpoint, Readiness
from onehop.model.listener import Listener, StreamShare
from onehop.model.pool import Balancing, Pool, SourceIpPersistence
from tests.driver_nftables.world import at, listener, pool, shared

WEB, NEW = pool(), pool(name="new")
ENTRANCE = listener(WEB)

groups = st.lists(
    st.tuples(st.integers(0, 50), st.dictionaries(st.integers(1, 9), st.integers(0, 9))),
    max_size=5,
)


def served(*parts: Part, of: Pool = WEB, before: Elements | None = None) -> Served:
    return serve(listener(of), of, parts, before=before)


def slots(of: Served) -> Counter[int]:
    """Return how many slots lead to each port of the Pod; to 0 those of nobody."""
    ports = {number: port for (_, port), number in of.members.items()} | {NOBODY: 0}
    return Counter(
        ports[to_number(value)]
        for place, value in of.elements.items()
        if place.lookup is Lookup.DRAW
    )


def draining(endpoint: Endpoint) -> Endpoint:
    return msgspec.structs.replace(endpoint, readiness=Readiness.DRAINING)


def test_a_pools_share_is_divided_among_its_endpoints() -> None:
    """Three to one, of two endpoints and of one that weigh as they like."""
    got = served(Part(3, (at(8001, weight=2), at(8002, weight=1))), Part(1, (at(8003, weight=7),)))

    assert slots(got) == {8001: 2, 8002: 1, 8003: 1}


def test_one_pool_is_one_share() -> None:
    """Whatever its weight: there is nothing to weigh it against."""
    ends = at(8001, weight=3), at(8002)

    assert served(Part(1, ends)) == served(Part(7, ends))
    assert parts_of(ENTRANCE, {WEB.id: ends}.__getitem__) == (Part(1, ends),)


@pytest.mark.parametrize("nobody", [Part(1), Part(1, (at(8003, 6),))])
def test_the_share_of_whoever_is_not_there_is_nobodys(nobody: Part) -> None:
    """Missing, without endpoints, or with endpoints of the other version of IP alone."""
    assert slots(served(Part(2, (at(8001), at(8002))), nobody)) == {8001: 1, 8002: 1, 0: 1}


def test_if_nobody_is_there_at_all_everybody_is_refused() -> None:
    """As with one pool that has no endpoints."""
    for parts in ((Part(1),), (Part(1), Part(2, (at(8001, 6),))), ()):
        assert {place.lookup for place in served(*parts).elements} == {Lookup.REFUSED}


def test_an_endpoint_of_two_pools_has_its_part_of_both() -> None:
    """It is one member, with one number."""
    got = served(Part(1, (at(8001), at(8002))), Part(1, (at(8001),)))

    assert slots(got) == {8001: 3, 8002: 1}
    assert len(got.members) == 2


def test_who_has_no_weight_has_no_slots() -> None:
    """Neither an endpoint nor a whole share."""
    got = served(Part(1, (at(8001), at(8002, weight=0))), Part(0, (at(8003),)), Part(0))

    assert slots(got) == {8001: 1}


def test_each_pool_has_its_own_checks() -> None:
    """Who fails in one may serve in another; where all fail, all serve."""
    failed = [(each.address, each.port) for each in (at(8001), at(8003))]
    got = served(
        Part(1, (at(8001), at(8002)), failed), Part(1, (at(8003),), failed), Part(1, (at(8001),))
    )

    assert slots(got) == {8002: 1, 8003: 1, 8001: 1}


def test_flows_may_stay_where_any_share_has_them() -> None:
    """Drawn or draining, of whichever pool; not where checks have failed."""
    one, two, three, four = (at(port) for port in (8001, 8002, 8003, 8004))
    failed = [(four.address, four.port)]
    may = may_serve((Part(1, (one, draining(two))), Part(1, (three, four), failed), Part(1)))

    assert {port for _, port in may} == {8001, 8002, 8003}


def test_a_hash_has_slots_for_nobody_as_well() -> None:
    """A quarter of all addresses."""
    hashed = pool(balancing=Balancing.HASH)
    got = slots(served(Part(3, (at(8001), at(8002))), Part(1), of=hashed))

    assert got.total() == 1021
    assert abs(got[0] - 1021 / 4) <= 2


def test_clients_are_remembered_while_other_backends_come_and_go() -> None:
    """The map of clients is that of the first backend, by whatever shares there are."""
    sticky = pool(persistence=SourceIpPersistence())
    alone, beside = (
        served(*parts, of=sticky)
        for parts in ((Part(1, (at(8001),)),), (Part(9, (at(8001),)), Part(1, (at(8002),))))
    )

    assert alone.sticky == beside.sticky


def test_slots_stay_where_they_were() -> None:
    """A share that goes leaves the slots of others alone, as far as they are there."""
    ends = at(8001), at(8002)
    before = served(Part(2, ends), Part(1, (at(8003),)))
    after = served(Part(2, ends), Part(1), before=before.elements)
    changed = {place for place, value in after.elements.items() if before.elements[place] != value}

    assert len(changed) == 1


def test_shares_of_a_listener_are_its_parts() -> None:
    """In their order; a backend that is missing has no endpoints."""
    of: Listener = shared(ENTRANCE, StreamShare(NEW.id, 2), StreamShare(None, 3))

    assert parts_of(
        of, {NEW.id: (at(8001),)}.__getitem__, {NEW.id: ((at(1).address, 1),)}.__getitem__
    ) == (
        Part(2, (at(8001),), ((at(1).address, 1),)),
        Part(3),
    )


@given(groups)
def test_weights_of_groups_are_exact(every: list[tuple[int, dict[int, int]]]) -> None:
    """Each member has of the whole what it has of its groups, to the last digit."""
    weights = together(every)
    whole, total = sum(weights.values()), sum(weight for weight, _ in every)
    for member in (NOBODY, *range(1, 10)):
        # Both sides times `total` and the product of all sums, so that nothing is rounded.
        expected = sum(share_of(member, weight, members, every) for weight, members in every)
        assert weights.get(member, 0) * total * product(every) == whole * expected
    assert all(weights.values())


def share_of(
    member: int, weight: int, members: dict[int, int], every: list[tuple[int, dict[int, int]]]
) -> int:
    total = sum(members.values())
    own = members.get(member, 0) if total else member == NOBODY
    return weight * own * product(every) // (total or 1)


def product(every: list[tuple[int, dict[int, int]]]) -> int:
    result = 1
    for _, members in every:
        result *= sum(members.values()) or 1
    return result
