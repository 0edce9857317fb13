"""What blocks come to on given links: pure, no kernel."""

import errno
import string

from hypothesis import given
from hypothesis import strategies as st

from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.network import Block
from onehop.net.own_routes import RouteChanges
from onehop.net.rtnetlink.route import LOCAL, UNICAST, Answer
from onehop.net.static import RouteFaultReason, refusals, resolve
from onehop.net.table import PROTOCOL, TABLE

ON_LINK = IpAddr("192.0.2.2")
OTHER = IpAddr("192.0.2.3")
FAR = IpAddr("198.51.100.2")
OURS = IpAddr("192.0.2.1")
DEAD = IpAddr("203.0.113.9")
V6 = IpAddr("2001:db8::2")
ANSWERS = {
    ON_LINK: Answer(kind=UNICAST, device=2, via=None),
    OTHER: Answer(kind=UNICAST, device=3, via=None),
    V6: Answer(kind=UNICAST, device=2, via=None),
    FAR: Answer(kind=UNICAST, device=2, via=IpAddr("192.0.2.254")),
    OURS: Answer(kind=LOCAL, device=1, via=None),
    DEAD: None,
}
PREFIX = Cidr("10.244.1.0/24")


def block(*hops: IpAddr, prefix: Cidr = PREFIX, node: str = "node1") -> Block:
    return Block(prefix=prefix, node=node, hops=hops)


def test_the_first_hop_on_a_link_of_ours_is_taken() -> None:
    """Neither a hop of the other family nor one behind a router is, wherever it stands."""
    resolved = resolve([block(V6, FAR, OTHER, ON_LINK)], ANSWERS)

    route = resolved.routes[PREFIX]
    assert (route.via, route.device) == (OTHER, 3)
    assert (route.table, route.protocol) == (TABLE, PROTOCOL)
    assert resolved.faults == ()


def test_a_block_without_a_usable_hop_says_why() -> None:
    """The reason is about the last hop of its family, or that there is none."""
    reasons = {
        hops: [fault.reason for fault in resolve([block(*hops)], ANSWERS).faults]
        for hops in [(), (V6,), (FAR,), (OURS,), (DEAD,)]
    }

    assert reasons == {
        (): [RouteFaultReason.NO_ADDRESS],
        (V6,): [RouteFaultReason.NO_ADDRESS],
        (FAR,): [RouteFaultReason.NOT_ON_LINK],
        (OURS,): [RouteFaultReason.OURSELVES],
        (DEAD,): [RouteFaultReason.NOT_ON_LINK],
    }


def test_a_block_of_two_nodes_goes_to_the_first() -> None:
    """The other one is named, and no route flaps between the two."""
    blocks = [block(ON_LINK, node="a"), block(OTHER, node="b")]
    resolved = resolve(blocks, ANSWERS)

    assert resolved.routes[PREFIX].via == ON_LINK
    (fault,) = resolved.faults
    assert (fault.node, fault.reason) == ("b", RouteFaultReason.CLAIMED_TWICE)


def test_a_route_that_the_kernel_refuses_is_named() -> None:
    """But to find nothing to remove is no refusal."""
    put, gone, stuck = (
        resolve([block(ON_LINK, prefix=Cidr(prefix))], ANSWERS).routes[Cidr(prefix)]
        for prefix in ("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")
    )
    changes = RouteChanges(put=(put,), remove=(gone, stuck))

    assert refusals(changes, {0: errno.ENETUNREACH, 1: errno.ESRCH, 2: errno.EBUSY}) == {
        "10.1.0.0/16": "Network is unreachable",
        "10.3.0.0/16": "Device or resource busy",
    }


PREFIXES = st.sampled_from([Cidr("10.0.0.0/24"), Cidr("10.0.1.0/24"), Cidr("fd00::/64"), PREFIX])
BLOCKS = st.builds(
    Block,
    prefix=PREFIXES,
    node=st.sampled_from(string.ascii_lowercase),
    hops=st.lists(st.sampled_from(list(ANSWERS)), max_size=3).map(tuple),
)


@given(st.lists(BLOCKS))
def test_every_block_is_routed_or_named(blocks: list[Block]) -> None:
    """Nothing is left out in silence, and no route has a hop of the wrong family."""
    blocks = sorted(set(blocks))
    resolved = resolve(blocks, ANSWERS)

    assert len(resolved.routes) + len(resolved.faults) == len(blocks)
    assert resolved.routes.keys() == resolved.nodes.keys()
    for prefix, route in resolved.routes.items():
        assert route.via in {ON_LINK, OTHER, V6}
        assert is_ipv6(prefix) == is_ipv6(route.via)
