"""Removals beyond the budget wait for a person."""

from hypothesis import given
from hypothesis import strategies as st

from onehop.control.gate import WINDOW_S, Budget, Gate
from onehop.control.served import Served
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, SecretText, challenge_certificate
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import HostId, ObjectRef, PoolId, RouterId
from onehop.model.model import Change, RowKey, Table, key_of
from onehop.model.pool import Pool
from onehop.model.route import VirtualHost


def host(number: int) -> VirtualHost:
    name = f"h{number}.example.com"
    return VirtualHost(id=HostId(f"r/{name}"), router=RouterId("r"), hostname=name)


def pool(number: int) -> Pool:
    return Pool(id=PoolId(f"n/s{number}:80"), service=ObjectRef("Service", "n", "s"), port=80)


def members(number: int, count: int = 1) -> PoolEndpoints:
    endpoints = tuple(Endpoint(address=IpAddr(f"10.0.0.{i}"), port=80) for i in range(count))
    return PoolEndpoints(pool(number).id, endpoints)


def served_with(*rows: VirtualHost | Pool | PoolEndpoints | Certificate) -> Served:
    served = Served()
    served.take(Change(rows))
    return served


def test_a_small_cluster_may_lose_everything() -> None:
    """Within the number of rows, everything may go at once."""
    hosts = [host(n) for n in range(20)]
    change = Change(removals=tuple(map(key_of, hosts)))

    assert Gate(Budget(30, 20)).admit(change, served_with(*hosts), now_s=0) == change


def test_a_wipe_is_kept_back_whole_and_new_rows_still_pass() -> None:
    """Half a wipe helps nobody, and what is new harms nobody."""
    hosts = [host(n) for n in range(100)]
    gate = Gate(Budget(30, 20))
    change = Change(upserts=(host(200),), removals=tuple(map(key_of, hosts[:31])))

    admitted = gate.admit(change, served_with(*hosts), now_s=0)

    assert admitted == Change(upserts=(host(200),))
    assert gate.withheld == {Table.HOST: 31}


def test_what_is_there_for_a_moment_only_may_always_go() -> None:
    """A hundred hosts proven at once take their certificates for the CA away at once."""
    shown = [
        Certificate(
            id=challenge_certificate(f"h{n}.example.com"),
            chain_pem="",
            key_pem=SecretText(""),
            fingerprint="",
            not_after=0,
        )
        for n in range(100)
    ]
    gate = Gate(Budget(30, 20))
    change = Change(removals=tuple(map(key_of, shown)))

    assert gate.admit(change, served_with(*shown), now_s=0) == change
    assert not gate.withheld


def test_removals_drop_by_drop_share_one_budget_within_a_minute() -> None:
    """A wipe does not pass by coming slowly; a minute later the budget is there again."""
    hosts = [host(n) for n in range(50)]
    served = served_with(*hosts)
    gate = Gate(Budget(10, 20))
    passed = 0
    for number, row in enumerate(hosts):
        change = gate.admit(Change(removals=(key_of(row),)), served, now_s=number * 0.1)
        served.take(change)
        passed += len(change.removals)

    later = gate.admit(Change(removals=(key_of(host(49)),)), served, now_s=WINDOW_S * 2)

    assert passed == 20
    assert later.removals == (key_of(host(49)),)


def test_a_confirmation_lets_go_what_waits() -> None:
    """`onehop confirm` returns the removals, once."""
    hosts = [host(n) for n in range(100)]
    gate = Gate(Budget(30, 20))
    gate.admit(Change(removals=tuple(map(key_of, hosts))), served_with(*hosts), now_s=0)

    confirmed = gate.confirm()

    assert set(confirmed.removals) == set(map(key_of, hosts))
    assert not gate.withheld
    assert not gate.confirm()


def test_a_row_that_comes_back_no_longer_waits() -> None:
    """When the list was a lie, the truth takes the doubt away."""
    hosts = [host(n) for n in range(100)]
    served = served_with(*hosts)
    gate = Gate(Budget(30, 20))
    gate.admit(Change(removals=tuple(map(key_of, hosts))), served, now_s=0)

    gate.admit(Change(upserts=tuple(hosts)), served, now_s=1)

    assert not gate.withheld


def test_pools_that_lose_their_last_endpoint_count_as_removals() -> None:
    """An empty list of EndpointSlices is a wipe as well."""
    rows = [members(n) for n in range(100)]
    gate = Gate(Budget(30, 20))
    emptied = tuple(members(n, 0) for n in range(100))

    admitted = gate.admit(Change(upserts=emptied), served_with(*rows), now_s=0)

    assert admitted == Change()
    assert gate.withheld == {Table.ENDPOINTS: 100}
    assert set(gate.confirm().upserts) == set(emptied)


def test_what_a_kept_host_points_at_stays_too() -> None:
    """While hosts wait, a later removal of their pools waits with them."""
    hosts = [host(n) for n in range(100)]
    served = served_with(*hosts, pool(1))
    gate = Gate(Budget(30, 20))
    gate.admit(Change(removals=tuple(map(key_of, hosts))), served, now_s=0)

    later = gate.admit(Change(removals=(RowKey(Table.POOL, pool(1).id),)), served, now_s=1)

    assert later == Change()


@given(
    st.lists(st.sets(st.integers(0, 60)), max_size=8),
    st.integers(1, 100),
    st.integers(0, 30),
)
def test_no_window_ever_loses_more_than_the_budget(
    removals: list[set[int]], percent: int, rows: int
) -> None:
    """Whatever comes in whatever order, what passes stays within the budget."""
    hosts = [host(n) for n in range(60)]
    served = served_with(*hosts)
    gate = Gate(Budget(percent, rows))
    lost = 0
    for step, numbers in enumerate(removals):
        keys = tuple(key_of(host(n)) for n in sorted(numbers))
        admitted = gate.admit(Change(removals=keys), served, now_s=step)
        lost += sum(key in served for key in admitted.removals)
        served.take(admitted)

    assert lost <= max(rows, 60 * percent // 100)
