"""Real BIRDs: what is learnt, what is refused, what is announced, and what survives."""

import asyncio
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from onehop.base.errors import ConfigError
from onehop.model.address import Cidr, IpAddr
from onehop.model.certificate import SecretText
from onehop.model.reach import FibRoute, Hop
from onehop.net.bird import (
    AttachedBird,
    BgpState,
    Bird,
    OwnBird,
    SessionState,
    audit,
    leftover_routes,
    remove_leftover_routes,
)
from onehop.net.bird.speaker import TABLE
from tests.net.bird.speakers import node, reflector, upstream
from tests.net.bird.world import (
    LB,
    NODE1,
    NODE2,
    ROUTER,
    World,
    eventually,
    is_up,
    session,
    speaking,
    until,
    world,
)

pytestmark = [pytest.mark.root, pytest.mark.slow]

_HOLD_LEFT_S = 6
"""How much of the hold time is left at least: a keepalive comes each third of the nine seconds."""
VIP = IpAddr("203.0.113.10")
VIP6 = IpAddr("2001:db8:1::10")
BOTH = {
    "10.244.1.0/24": NODE1[0],
    "10.244.2.0/24": NODE2[0],
    "fd00:10:244:1::/64": NODE1[1],
    "fd00:10:244:2::/64": NODE2[1],
}
NODES = (node("node-1", NODE1[0]), node("node-2", NODE2[0]))


@pytest.fixture(name="here")
def _here() -> Iterator[World]:
    with world() as made:
        yield made


def start_nodes(here: World, *, options: str = "") -> None:
    """Have both nodes announce their own blocks, of both families."""
    here.node1.start(NODE1[0], "10.244.1.0/24", "fd00:10:244:1::/64", options=options)
    here.node2.start(NODE2[0], "10.244.2.0/24", "fd00:10:244:2::/64", options=options)


def test_blocks_are_learnt_and_lies_are_not(here: World) -> None:
    """A node is believed for its own blocks; all else it says is kept out of the kernel, and told.

    What it says: another node's block, a Pod of another node's block as its own (as Calico does
    with a borrowed address), a prefix that is no Pod's, and a default route.
    """
    lies = ("10.244.2.0/25", "10.244.2.7/32", "172.20.0.0/16", "0.0.0.0/0")
    here.node1.start(NODE1[0], "10.244.1.0/24", "10.244.1.9/32", "fd00:10:244:1::/64", *lies)
    here.node2.start(NODE2[0], "10.244.2.0/24", "fd00:10:244:2::/64")
    wanted = {**BOTH, "10.244.1.9": NODE1[0]}

    async def main() -> BgpState:
        async with here.bird(speaking(*NODES)) as bird:
            await until(lambda: here.routes() == wanted)
            await until(lambda: session(bird, "node-1").filtered == len(lies))
            await until(lambda: bird.state.is_current and len(bird.state.offered) == 9)
            assert is_up(bird, "node-1", "node-2")
            assert not bird.state.fault
            return bird.state

    state = here.lb.run(main)

    assert here.routes() == wanted  # also after the end
    told = audit(speaking().network, _kernel(here), state.offered)
    assert [(each.kind.value, each.prefix, each.node) for each in told] == [
        ("hijacked", "10.244.2.0/25", "node-2"),
        ("hijacked", "10.244.2.7/32", "node-2"),
    ]
    refused = {route.prefix for route in state.offered if not route.is_accepted}
    assert refused == set(lies)


def _kernel(here: World) -> list[FibRoute]:
    return [
        FibRoute(
            prefix=Cidr(prefix if "/" in prefix else f"{prefix}/32"),
            hops=(Hop(device="eth0", address=IpAddr(hop)),),
        )
        for prefix, hop in here.routes().items()
    ]


def test_a_next_hop_that_is_not_the_nodes_is_refused(here: World) -> None:
    """Its own block, but by way of somebody else."""
    here.node1.start(
        *(NODE1[0], "10.244.1.0/24"),
        change="if net.type = NET_IP4 then bgp_next_hop = 192.0.2.66;",
        channel="next hop keep;",
    )

    async def main() -> BgpState:
        async with here.bird(speaking(NODES[0])) as bird:
            await until(lambda: session(bird, "node-1").filtered == 1)
            await until(lambda: bool(bird.state.offered))
            return bird.state

    state = here.lb.run(main)

    assert here.routes() == {}
    hijacks = [each for each in audit(speaking().network, (), state.offered) if each.via]
    assert [(each.prefix, each.via) for each in hijacks] == [("10.244.1.0/24", "192.0.2.66")]


def test_vips_are_announced_to_routers_alone_and_withdrawn(here: World) -> None:
    """With ourselves as the next hop; a configuration changes without a session ending."""
    here.node1.start(NODE1[0], "10.244.1.0/24")
    here.router.start(ROUTER[0], "10.244.1.0/24", "198.51.100.0/24", asn=64600)
    neighbors = (NODES[0], upstream("tor", ROUTER[0]))
    before = speaking(*neighbors, vips=(VIP, VIP6), returns=(Cidr("198.18.0.0/15"),))

    async def main() -> None:
        async with here.bird(before) as bird:
            await until(lambda: here.router.hears(f"{VIP}/32"))
            await until(lambda: here.router.hears(f"{VIP6}/128"))
            await until(lambda: is_up(bird, "node-1", "tor"))
            assert f"via {LB} on eth0" in here.router.ask(f"show route for {VIP}/32")
            assert not here.router.hears("10.244.1.0/24") or "lb" not in here.router.ask(
                "show route 10.244.1.0/24"
            )
            assert not here.node1.hears(f"{VIP}/32")
            assert not here.node1.hears("198.18.0.0/15")
            await until(lambda: session(bird, "tor").exported == 2)
            assert session(bird, "tor").imported == 0
            since = session(bird, "tor").since_s

            hearing = msgspec.structs.replace(NODES[0], hears_return=True, hears_vips=True)
            bird.want(speaking(hearing, neighbors[1], vips=(VIP,), returns=before.returns))
            await until(lambda: here.node1.hears("198.18.0.0/15") and here.node1.hears(f"{VIP}/32"))
            await until(lambda: not here.router.hears(f"{VIP6}/128"))

            await bird.withdraw_vips()
            await until(lambda: not here.router.hears(f"{VIP}/32"))
            assert session(bird, "tor").since_s == since
            assert here.routes() == {"10.244.1.0/24": NODE1[0]}

    here.lb.run(main)


def test_passwords_must_agree(here: World) -> None:
    """Without the same one there is no session, and no other session suffers."""
    right, wrong = SecretText("a $pass# {word};"), SecretText("another")
    here.node1.start(NODE1[0], "10.244.1.0/24", options=f'password "{right.reveal}";')
    here.node2.start(NODE2[0], "10.244.2.0/24", options=f'password "{right.reveal}";')
    neighbors = [
        msgspec.structs.replace(each, password=password)
        for each, password in zip(NODES, (right, wrong), strict=True)
    ]

    async def main() -> None:
        async with here.bird(speaking(*neighbors)) as bird:
            await until(lambda: here.routes() == {"10.244.1.0/24": NODE1[0]})
            await until(lambda: is_up(bird, "node-1"))
            assert session(bird, "node-2").state in {SessionState.CONNECT, SessionState.ACTIVE}

            bird.want(speaking(neighbors[0], msgspec.structs.replace(neighbors[1], password=right)))
            await until(lambda: is_up(bird, "node-1", "node-2"))
            await until(lambda: len(here.routes()) == 2)

    here.lb.run(main)

    file = here.place.file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert right.reveal in file.read_text()


def test_bfd_notices_a_cut_at_once(here: World) -> None:
    """The node's routes leave the kernel long before a hold timer runs out; the others stay."""
    start_nodes(here, options="bfd on;")
    neighbors = [msgspec.structs.replace(each, bfd=True) for each in NODES]

    async def main() -> None:
        async with here.bird(speaking(*neighbors)) as bird:
            await until(lambda: here.routes() == BOTH)
            await until(lambda: is_up(bird, "node-1", "node-2"))
            await until(lambda: here.node1.ask("show bfd sessions").count(" Up ") == 1)

            loop = asyncio.get_running_loop()
            cut = loop.time()
            await asyncio.to_thread(here.node1.machine.ip, "link", "set", "eth0", "down")
            await until(lambda: "10.244.1.0/24" not in here.routes())
            assert loop.time() - cut < _HOLD_LEFT_S
            await until(lambda: not is_up(bird, "node-1"))
            assert is_up(bird, "node-2")
            assert here.routes()["10.244.2.0/24"] == NODE2[0]

    here.lb.run(main)


def test_a_session_that_ends_withdraws_its_routes(here: World) -> None:
    """Without BFD: the node says goodbye."""
    start_nodes(here)

    async def main() -> None:
        async with here.bird(speaking(*NODES)) as bird:
            await until(lambda: here.routes() == BOTH)
            await asyncio.to_thread(here.node1.ask, "down")
            await until(lambda: set(here.routes().values()) == set(NODE2))
            await until(lambda: not is_up(bird, "node-1"))

    here.lb.run(main)


def test_a_nodes_restart_takes_no_route_away(here: World) -> None:
    """As when Calico is upgraded: its BIRD dies, and comes back (RFC 4724)."""
    start_nodes(here)

    async def main() -> None:
        async with here.bird(speaking(*NODES)) as bird:
            await until(lambda: here.routes() == BOTH)
            await until(lambda: is_up(bird, "node-1", "node-2"))
            monitor = here.changes()
            await asyncio.to_thread(here.node1.kill)
            await until(lambda: not is_up(bird, "node-1"))
            assert here.routes() == BOTH
            here.node1.start(NODE1[0], "10.244.1.0/24", "fd00:10:244:1::/64")
            await until(lambda: is_up(bird, "node-1"))
            assert here.routes() == BOTH
            assert [line for line in monitor.stop() if "Deleted" in line] == []

    here.lb.run(main)


def test_a_killed_bird_loses_no_route_and_comes_back(here: World) -> None:
    """The kernel keeps what it has, the new BIRD takes it over; only what is gone goes."""
    start_nodes(here)

    async def main() -> None:
        async with here.bird(speaking(*NODES)) as bird:
            await until(lambda: here.routes() == BOTH)
            await until(lambda: is_up(bird, "node-1", "node-2"))
            first = bird.pid
            assert first is not None
            monitor = here.changes()

            os.kill(first, signal.SIGKILL)

            await until(lambda: bird.state.restarts == 1 and is_up(bird, "node-1", "node-2"))
            await until(lambda: bird.pid not in {None, first} and bird.state.is_running)
            await until(lambda: session(bird, "node-2").imported == 2)
            assert here.routes() == BOTH
            assert [line for line in monitor.stop() if "Deleted" in line] == []

            await asyncio.to_thread(here.node2.ask, "down")
            await until(lambda: set(here.routes().values()) == set(NODE1))

    here.lb.run(main)


def test_stopping_withdraws_vips_and_leaves_routes(here: World) -> None:
    """So a restart of onehop loses nothing, and no client is led to a host that serves nothing."""
    start_nodes(here)
    here.router.start(ROUTER[0], asn=64600)
    speaker = speaking(*NODES, upstream("tor", ROUTER[0]), vips=(VIP,))

    async def once() -> int:
        async with here.bird(speaker) as bird:
            await until(lambda: here.routes() == BOTH)
            await until(lambda: here.router.hears(f"{VIP}/32"))
            assert bird.pid is not None
            return bird.pid

    monitor = here.changes()
    pid = here.lb.run(once)

    assert not Path(f"/proc/{pid}").exists()
    eventually(lambda: not here.router.hears(f"{VIP}/32"))
    assert here.routes() == BOTH
    here.lb.run(once)
    assert [line for line in monitor.stop() if "Deleted" in line] == []
    assert not here.states[-1].is_running

    assert len(here.lb.run(lambda: leftover_routes(TABLE))) == len(BOTH)
    assert here.lb.run(lambda: remove_leftover_routes(TABLE)) == len(BOTH)
    assert here.routes() == {}


def test_a_reflector_tells_of_every_node(here: World) -> None:
    """Within our AS (RFC 4456), over IPv6 as well: each block leads to its own node."""
    here.router.start(
        ROUTER[0],
        *("10.244.1.0/24", "10.244.2.0/24", "10.244.3.0/24"),
        *("fd00:10:244:1::/64", "fd00:10:244:2::/64"),
        peer="2001:db8::1",
        options="rr client;",
        change=(
            "if net.type = NET_IP4 then bgp_next_hop = 192.0.2.3; "
            "if net.type = NET_IP6 then bgp_next_hop = 2001:db8::3; "
            "if net = 10.244.1.0/24 then bgp_next_hop = 192.0.2.2; "
            "if net = fd00:10:244:1::/64 then bgp_next_hop = 2001:db8::2;"
        ),
        channel="next hop keep; ",
    )

    async def main() -> None:
        async with here.bird(speaking(reflector("rr", ROUTER[1]))) as bird:
            await until(lambda: here.routes() == BOTH)
            await until(lambda: session(bird, "rr").filtered == 1)  # nobody has 10.244.3.0/24
            await until(lambda: session(bird, "rr").imported == 4)

    here.lb.run(main)


def test_two_sessions_with_one_node_carry_a_family_each(here: World) -> None:
    """As Calico's two BIRDs do, in another AS than ours."""
    channel = "next hop self;"
    here.node1.start(NODE1[0], "10.244.1.0/24", asn=64513, channel=channel)
    here.node2.start(
        *(NODE2[0], "fd00:10:244:2::/64"), asn=64513, peer="2001:db8::1", channel=channel
    )
    neighbors = (node("node-1", NODE1[0], 64513), node("node-2/ipv6", NODE2[1], 64513))

    async def main() -> None:
        async with here.bird(speaking(*neighbors)) as bird:
            await until(
                lambda: here.routes() == {"10.244.1.0/24": NODE1[0], "fd00:10:244:2::/64": NODE2[1]}
            )
            await until(lambda: is_up(bird, "node-1", "node-2/ipv6"))

    here.lb.run(main)


def test_a_refused_configuration_leaves_the_last_good_one(here: World) -> None:
    """It is reported, and the next good one is taken."""
    start_nodes(here)
    good = speaking(*NODES)
    bad = msgspec.structs.replace(good, router_id=IpAddr("2001:db8::1"))

    async def main() -> None:
        async with here.bird(good) as bird:
            await until(lambda: here.routes() == BOTH)
            text = here.place.file.read_text()
            bird.want(bad)
            await until(lambda: "syntax error" in bird.state.fault)
            assert not bird.state.is_current
            assert here.place.file.read_text() == text
            assert here.routes() == BOTH
            bird.want(speaking(NODES[0]))
            await until(lambda: set(here.routes().values()) == set(NODE1))
            await until(lambda: bird.state.is_current and not bird.state.fault)
            assert [path.name for path in here.place.state_dir.glob("*candidate*")] == []

    here.lb.run(main)


def test_a_bird_of_somebody_elses_is_joined(here: World) -> None:
    """By the file that it includes; its own protocols stay, and so does it when we go."""
    start_nodes(here)
    here.router.start(ROUTER[0], asn=64600)
    folder = here.place.state_dir
    folder.mkdir()
    place = AttachedBird(socket=folder / "theirs.ctl", include=folder / "onehop.conf")
    place.include.write_text("")
    conf = folder / "theirs.conf"
    conf.write_text(
        f"router id {LB};\nprotocol device {{}}\nprotocol static theirs {{ ipv4; }}\n"
        f'include "{place.include}";\n'
    )
    theirs = subprocess.Popen(
        ["ip", "netns", "exec", here.lb.name, "bird", "-f", "-c", conf, "-s", place.socket],
        stderr=subprocess.DEVNULL,
    )

    async def main() -> None:
        bird = Bird(place)
        async with bird.running():
            bird.want(speaking(*NODES, upstream("tor", ROUTER[0]), vips=(VIP,)))
            await until(lambda: here.routes() == BOTH)
            await until(lambda: here.router.hears(f"{VIP}/32"))
            await until(lambda: is_up(bird, "node-1", "node-2", "tor"))
            text = place.include.read_text()
            good = conf.read_text()
            conf.write_text(f"{good}nonsense")
            bird.want(speaking(NODES[0]))
            await until(lambda: bool(bird.state.fault))
            assert place.include.read_text() == text
            assert here.routes() == BOTH
            conf.write_text(good)

    try:
        here.lb.run(main)
        assert theirs.poll() is None
        eventually(lambda: not here.router.hears(f"{VIP}/32"))
        assert here.routes() == BOTH
    finally:
        theirs.kill()
        theirs.wait()


def test_what_is_missing_for_a_bird_is_named(tmp_path: Path) -> None:
    """The program, and room for the socket's name."""

    async def run(place: OwnBird) -> None:
        await Bird(place).run()

    with pytest.raises(ConfigError, match="no program 'no-such-bird'"):
        asyncio.run(run(OwnBird(state_dir=tmp_path, binary="no-such-bird")))
    with pytest.raises(ConfigError, match="too long for a Unix socket"):
        asyncio.run(run(OwnBird(state_dir=tmp_path / ("x" * 100))))
