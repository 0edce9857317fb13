"""Reach row: what the routing table says of a hundred thousand endpoints.

4,000 blocks of 64 addresses, each with a route to its node, 25 endpoints each; every twentieth
block has a Pod that lives elsewhere. Read from scratch; then one route changes at a time; then a
thousand routes are withdrawn at once, as BIRD does when a reflector is lost.
"""

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Final

import msgspec

from bench.row import MS, Figures, Row, Target, spread_ms
from bench.world import Size, World
from onehop.model.address import Cidr, IpAddr
from onehop.model.reach import Area
from onehop.net.fib import Fib
from onehop.net.rtnetlink.kernel import transact
from onehop.net.rtnetlink.route import KernelRoute, put_route

_FIRST: Final = 10 << 24
_BLOCK: Final = 64
_ENDPOINTS: Final = 25
_EXCEPTION_EVERY: Final = 20
_GATEWAYS: Final = 200
_DEVICE: Final = "ohreach0"
_ROUNDS: Final = 5
_REST_S: Final = 0.03
"""Between two events, so that each is the first of its kind (see GATHER_S)."""
_TIMEOUT_S: Final = 30.0


class _Plan(msgspec.Struct, frozen=True):
    """How much of it."""

    blocks: int
    events: int
    withdrawn: int


def measure(_: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Set routes up, read them, and change them."""
    plan = _Plan(100, 10, 50) if quick else _Plan(4_000, 300, 1_000)
    with _routes(plan):
        scratch = [asyncio.run(_from_scratch(plan)) for _ in range(1 if quick else _ROUNDS)]
        events, withdrawal_s, calls = asyncio.run(_follow(plan))
    spread = spread_ms(events)
    return Figures(
        product={
            "scratch_ms": sorted(scratch)[len(scratch) // 2] * MS,
            **{f"event_{name}": value for name, value in spread.items()},
            "withdrawal_ms": withdrawal_s * MS,
        },
        notes={
            "areas": plan.blocks,
            "endpoints": plan.blocks * _ENDPOINTS,
            "withdrawn": plan.withdrawn,
            "calls": calls,
        },
    )


def _block(number: int) -> Cidr:
    return Cidr(f"{_address(_FIRST + number * _BLOCK)}/26")


def _address(number: int) -> IpAddr:
    return IpAddr(socket.inet_ntoa(number.to_bytes(4, "big")))


def _gateway(number: int) -> IpAddr:
    return IpAddr(f"203.0.113.{2 + number % _GATEWAYS}")


@contextlib.contextmanager
def _routes(plan: _Plan) -> Generator[None]:
    """Have a route for each block, and for some single Pods, for as long as the context lasts."""
    lines = [
        f"link add {_DEVICE} type veth peer name ohreach1",
        f"link set {_DEVICE} up",
        "link set ohreach1 up",
        f"address add 203.0.113.1/24 dev {_DEVICE}",
    ]
    for number in range(plan.blocks):
        lines.append(f"route add {_block(number)} via {_gateway(number)} proto bird")
        if number % _EXCEPTION_EVERY == 0:
            pod = _address(_FIRST + number * _BLOCK + 5)
            lines.append(f"route add {pod}/32 via {_gateway(number + 1)} proto bird")
    _ip(lines)
    try:
        yield
    finally:
        _ip([f"link del {_DEVICE}"])


def _ip(lines: Sequence[str]) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


async def _from_scratch(plan: _Plan) -> float:
    """Return how long it takes until every endpoint's route is known."""
    blocks = [_block(number) for number in range(plan.blocks)]
    began = time.perf_counter()
    async with Fib() as fib:
        areas = fib.want(blocks)
        stretches = [
            area.at(_FIRST + number * _BLOCK + offset)
            for number, area in enumerate(areas)
            for offset in range(1, _ENDPOINTS + 1)
        ]
    took_s = time.perf_counter() - began
    assert all(stretch.route is not None for stretch in stretches)
    return took_s


class _Told:
    """What `Fib.run` says."""

    def __init__(self) -> None:
        self.calls = 0
        self.at = 0.0
        self.without_route: set[Cidr] = set()
        self.has_come = asyncio.Event()

    def changed(self, areas: tuple[Area, ...]) -> None:
        self.at = time.perf_counter()
        self.calls += 1
        for area in areas:
            has_route = area.stretches[-1].route is not None
            (self.without_route.discard if has_route else self.without_route.add)(area.prefix)
        self.has_come.set()


@contextlib.asynccontextmanager
async def _followed(plan: _Plan) -> AsyncGenerator[_Told]:
    told = _Told()
    # Nothing shall become steady while it is measured what a change costs.
    async with Fib(stable_s=600) as fib, asyncio.timeout(_TIMEOUT_S), asyncio.TaskGroup() as group:
        fib.want(_block(number) for number in range(plan.blocks))
        task = group.create_task(fib.run(told.changed))
        yield told
        task.cancel()


async def _follow(plan: _Plan) -> tuple[list[float], float, int]:
    """Return how late each change was told, how late the last withdrawal, and in how many calls."""
    events: list[float] = []
    device = socket.if_nametoindex(_DEVICE)
    async with _followed(plan) as told:
        for number in range(plan.events):
            await asyncio.sleep(_REST_S)
            told.has_come.clear()
            route = KernelRoute(
                prefix=_block(number),
                table=254,
                protocol=12,
                metric=0,
                via=_gateway(number + 7),
                device=device,
            )
            began = time.perf_counter()
            await transact([put_route(route)])
            await told.has_come.wait()
            events.append(told.at - began)
        await asyncio.sleep(_REST_S)
        told.calls = 0
        withdrawn = range(plan.blocks - plan.withdrawn, plan.blocks)
        await asyncio.to_thread(_ip, [f"route del {_block(number)}" for number in withdrawn])
        began = time.perf_counter()
        while len(told.without_route) < plan.withdrawn:
            told.has_come.clear()
            await told.has_come.wait()
        return events, max(0.0, told.at - began), told.calls


ROWS: Final = (
    Row(
        name="reach",
        what="routes of 100k endpoints from scratch, one changed, 1,000 withdrawn at once",
        measure=measure,
        size=Size(20, 3),
        quick_size=Size(20, 3),
        targets=(
            Target("scratch_ms", 300),
            Target("event_p99_ms", 2),
            Target("withdrawal_ms", 100),
        ),
    ),
)
