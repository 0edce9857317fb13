"""Endpoint rows: from an EndpointSlice's change to requests at the new Pods, and none at the old.

All Pods of a Service change at once (`shop`). One connection asks every millisecond; the latency
ends with the first of ten answers in a row that come from the new side. It begins when the event is
with the API's watchers (`bench.api`), or when the floor has read its order. Blocks of changes
alternate between product and floor; each is asked while the other is idle.
"""

import random
import time
from typing import Final

import msgspec

from bench import shop
from bench.child import ChildFailed, Told
from bench.namespace import FLOOR_VIP, PRODUCT_VIP
from bench.orders import Calm, Churn, Move
from bench.probe import Probe
from bench.row import Figures, Row, Target, spread_ms
from bench.world import Size, World

EVERY_S: Final = 0.001
CONFIRMATIONS: Final = 10
_DEADLINE_S: Final = 10.0
_BLOCK: Final = 20
_PROBED: Final = 50


class Lane(msgspec.Struct, frozen=True):
    """One way to have a change made, and where to look for its effect."""

    orders: Told
    address: str


class Tally(msgspec.Struct):
    """What was seen on one lane."""

    latencies_s: list[float]
    failed: int = 0


def measure_calm(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Measure with nothing else going on."""
    return _measure(world, changes=20 if quick else 400, churn=0)


def measure_busy(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Measure while a hundred other changes arrive each second."""
    return _measure(world, changes=20 if quick else 400, churn=100)


def _measure(world: World, *, changes: int, churn: float) -> Figures:
    probed = min(_PROBED, world.size.services // 2)
    _ = world.product
    lanes = {"product": Lane(world.api, PRODUCT_VIP), "floor": Lane(world.floor, FLOOR_VIP)}
    tallies = {name: Tally([]) for name in lanes}
    churned = 0
    sides = dict.fromkeys(range(probed), 0)
    for start in range(0, changes, _BLOCK):
        numbers = [(start + place) % probed for place in range(min(_BLOCK, changes - start))]
        for name, lane in lanes.items():
            if churn:
                lane.orders.ask(Churn(churn, probed, world.size.services))
                time.sleep(0.2)
            _block(lane, tallies[name], numbers, dict(sides))
            churned += lane.orders.ask(Calm())["changes"] if churn else 0
        for number in numbers:
            sides[number] = 1 - sides[number]
    return Figures(
        product=spread_ms(tallies["product"].latencies_s),
        floor=spread_ms(tallies["floor"].latencies_s),
        notes={
            "changes": changes,
            "failed_requests": {name: tally.failed for name, tally in tallies.items()},
            "other_changes": churned,
        },
    )


def _block(lane: Lane, tally: Tally, numbers: list[int], sides: dict[int, int]) -> None:
    with Probe(lane.address) as probe:
        for number in numbers:
            sides[number] = 1 - sides[number]
            _warm(probe, number)
            time.sleep(random.uniform(0.005, 0.025))  # noqa: S311  no rhythm shared with a timer
            tally.latencies_s.append(_shift(lane, tally, probe, number, sides[number]))


def _warm(probe: Probe, number: int) -> None:
    """Wait until the host answers, so that no connection has to be made within the measurement."""
    deadline = time.monotonic() + _DEADLINE_S
    while probe.ask(shop.host(number)).status != 200:
        if time.monotonic() > deadline:
            raise ChildFailed(f"{shop.host(number)} is not served")
        time.sleep(EVERY_S)


def _shift(lane: Lane, tally: Tally, probe: Probe, number: int, side: int) -> float:
    """Move a Service, and return how long it took until only the new side answered."""
    host, new = shop.host(number), shop.SIDES[side].encode()
    lane.orders.order(Move(number, side))
    deadline = time.monotonic() + _DEADLINE_S
    arrived = 0.0
    in_a_row = 0
    while in_a_row < CONFIRMATIONS:
        asked = time.monotonic()
        answer = probe.ask(host)
        if answer.status != 200:
            tally.failed += 1
        if answer.body.startswith(new):
            arrived = arrived if in_a_row else time.monotonic()
            in_a_row += 1
        else:
            in_a_row = 0
        if asked > deadline:
            raise ChildFailed(f"{host} did not move within {_DEADLINE_S:g} s")
        time.sleep(max(0.0, asked + EVERY_S - time.monotonic()))
    began: float = lane.orders.reply()["at"]
    return arrived - began


ROWS: Final = (
    Row(
        name="endpoint-small",
        what="endpoint change to first request on the new Pod, 1k Services / 10k endpoints",
        measure=measure_calm,
        size=Size(1_000, 10),
        quick_size=Size(50, 10),
        targets=(Target("p50_ms", 8), Target("p99_ms", 40)),
        within=(Target("p50_ms", 2.0), Target("p99_ms", 2.0)),
    ),
    Row(
        name="endpoint-large",
        what="the same at 10k / 100k while 100 other changes/s arrive",
        measure=measure_busy,
        size=Size(10_000, 10),
        quick_size=Size(50, 10),
        targets=(Target("p50_ms", 15), Target("p99_ms", 100)),
    ),
)
