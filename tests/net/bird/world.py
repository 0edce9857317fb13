"""A load balancer, nodes and a router on one link; the others speak BGP by BIRDs of their own."""

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any, Final

import msgspec

from onehop.model.address import Cidr, IpAddr
from onehop.model.network import Block, Neighbor, Network
from onehop.net.bird import BgpSession, BgpState, Bird, OwnBird, SessionState, Speaker
from onehop.net.bird.speaker import TABLE
from tests.net.bird.speakers import block
from tests.net.namespaces import Machine, machines

SOON_S: Final = 40.0
LB: Final = "192.0.2.1"
NODE1: Final = ("192.0.2.2", "2001:db8::2")
NODE2: Final = ("192.0.2.3", "2001:db8::3")
ROUTER: Final = ("192.0.2.4", "2001:db8::4")
BLOCKS: Final = (
    block("10.244.1.0/24", "node-1", *NODE1),
    block("10.244.2.0/24", "node-2", *NODE2),
    block("fd00:10:244:1::/64", "node-1", *NODE1),
    block("fd00:10:244:2::/64", "node-2", *NODE2),
)
RANGES: Final = (Cidr("10.244.0.0/16"), Cidr("fd00:10:244::/48"))
SPEAKER: Final = Speaker(
    network=Network(asn=64512, blocks=BLOCKS, ranges=RANGES), router_id=IpAddr(LB)
)

PLAIN: Final = """
log stderr all;
protocol device {{ scan time 1; }}
protocol bfd {{
  interface "*" {{ min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }};
}}
router id {router_id};
protocol static {{ ipv4; {routes4} }}
protocol static {{ ipv6; {routes6} }}
protocol bgp lb {{
  local as {asn}; neighbor {peer} as 64512; direct; graceful restart on; {options}
  connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 9;
  ipv4 {{ import all; export filter {{ {change} accept; }}; {channel} }};
  ipv6 {{ import all; export filter {{ {change} accept; }}; {channel} }};
}}
"""


def speaking(*neighbors: Neighbor, blocks: tuple[Block, ...] = BLOCKS, **more: Any) -> Speaker:
    """Return a speaker with neighbours."""
    network = msgspec.structs.replace(SPEAKER.network, neighbors=neighbors, blocks=blocks)
    return msgspec.structs.replace(SPEAKER, network=network, **more)


class Peer:
    """A BIRD on another machine."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self._folder = folder
        self._socket = folder / "peer.ctl"
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        address: str,
        *routes: str,
        asn: int = 64512,
        peer: str = LB,
        **text: str,
    ) -> None:
        """Announce routes to the load balancer; `-R` as Calico starts its own.

        Args:
            address: of the machine, the router id.
            routes: prefixes.
            asn: of the machine.
            peer: the load balancer's address.
            text: of BIRD's: `options` of the session, `channel` of its channels, and how the
                export filter should `change` a route.
        """
        lines = [f"route {route} blackhole;" for route in routes]
        defaults = {"options": "", "change": "", "channel": "next hop self;"}
        conf_text = PLAIN.format(
            router_id=address,
            asn=asn,
            peer=peer,
            routes4=" ".join(line for line in lines if ":" not in line),
            routes6=" ".join(line for line in lines if ":" in line),
            **(defaults | text),
        )
        conf = self._folder / "peer.conf"
        conf.write_text(conf_text)
        command = ("ip", "netns", "exec", self.machine.name, "bird", "-f", "-R", "-c", conf)
        with (self._folder / "peer.log").open("wb") as log:
            self._process = subprocess.Popen([*command, "-s", self._socket], stderr=log)

    def ask(self, command: str) -> str:
        """Return what birdc says."""
        done = subprocess.run(
            ["birdc", "-s", self._socket, command], check=False, capture_output=True, text=True
        )
        return done.stdout

    def hears(self, prefix: str) -> bool:
        """Tell whether it has the route."""
        return f"{prefix} " in self.ask(f"show route for {prefix}")

    def kill(self) -> None:
        """End it without a word, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class World:
    """What a test acts on: our own BIRD on the load balancer, and the peers."""

    def __init__(self, lb: Machine, peers: list[Peer], folder: Path) -> None:
        self.lb = lb
        self.node1, self.node2, self.router = peers
        binary = os.environ.get("ONEHOP_TEST_BIRD", "bird")  # to try another version
        self.place = OwnBird(state_dir=folder / "own", binary=binary)
        self.states: list[BgpState] = []

    @contextlib.asynccontextmanager
    async def bird(self, speaker: Speaker) -> AsyncGenerator[Bird]:
        """Run our BIRD; to be used inside `lb.run`."""
        bird = Bird(self.place, changed=self.states.append)
        bird.want(speaker)
        async with asyncio.timeout(240), bird.running():
            yield bird

    def routes(self) -> dict[str, str]:
        """Return the gateways of what BIRD has put into our table, by prefix."""
        return {
            route["dst"]: route.get("gateway") or route["nexthops"][0]["gateway"]
            for family in ("-4", "-6")
            for route in self.lb.show(family, "route", "show", "table", "all", "proto", "bird")
            if route["table"] == str(TABLE)
        }

    def changes(self) -> "RouteMonitor":
        """Return a record of what becomes of the kernel's routes from now on."""
        return RouteMonitor(self.lb)


class RouteMonitor:
    """`ip monitor route` on a machine."""

    def __init__(self, machine: Machine) -> None:
        self._process = subprocess.Popen(
            ["ip", "-n", machine.name, "-ts", "monitor", "route"], stdout=subprocess.PIPE, text=True
        )

    def stop(self) -> list[str]:
        """Return what the kernel said."""
        self._process.terminate()
        said, _ = self._process.communicate()
        return [line for line in said.splitlines() if "10.244" in line or "fd00:" in line]


def session(bird: Bird, name: str) -> BgpSession:
    """Return what is known of a session, which may be nothing yet."""
    nothing = BgpSession(name=name, address=IpAddr(""), asn=0)
    return next((each for each in bird.state.sessions if each.name == name), nothing)


def is_up(bird: Bird, *names: str) -> bool:
    """Tell whether these sessions are established."""
    up = {each.name for each in bird.state.sessions if each.state is SessionState.ESTABLISHED}
    return up.issuperset(names)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody sends an event for."""
    async with asyncio.timeout(SOON_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait outside of an event loop."""
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextlib.contextmanager
def world() -> Generator[World]:
    """Make the machines; nothing speaks yet."""
    with (
        machines("lb", "node1", "node2", "router") as (lb, *others),
        tempfile.TemporaryDirectory(prefix="oh-bird-") as name,
    ):
        folder = Path(name)
        peers = []
        for machine in others:
            its = folder / machine.name.rpartition("-")[2]
            its.mkdir()
            peers.append(Peer(machine, its))
        try:
            yield World(lb, peers, folder)
        finally:
            for peer in peers:
                peer.kill()
