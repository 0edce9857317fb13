"""Many changes at once, events that get lost or come too early, a kernel that does not answer."""

import asyncio
import socket
from collections.abc import Iterator, Sequence

import pytest
import structlog

from onehop.base.errors import TransientError
from onehop.model.address import Cidr, IpAddr
from onehop.model.reach import FibRoute
from onehop.net.fib import fib as fib_module
from onehop.net.fib.kernel import Kernel
from onehop.net.fib.steady import BUDGET
from tests.net.fib.following import following
from tests.net.fib.iproute import batch
from tests.net.namespaces import Machine, machines, until

pytestmark = pytest.mark.root

A = "192.0.2.2"
BLOCKS = tuple(f"10.{number >> 8}.{number & 255}.0/26" for number in range(1000))
FEW = 50


@pytest.fixture
def machine() -> Iterator[Machine]:
    with machines("fib") as (machine,):
        yield machine


def added(blocks: Sequence[str]) -> list[str]:
    return [f"route add {block} via {A} proto bird" for block in blocks]


def removed(blocks: Sequence[str]) -> list[str]:
    return [f"route del {block}" for block in blocks]


def shrink(kernel: socket.socket) -> None:
    """Leave room for a message or two."""
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)


def test_a_thousand_withdrawals_are_told_in_a_few_strokes(machine: Machine) -> None:
    """Whoever listens compiles after each call; so there must not be a thousand."""
    batch(machine, added(BLOCKS))

    async def main() -> None:
        async with following(*BLOCKS) as followed:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await asyncio.to_thread(batch, machine, removed(BLOCKS))
            await followed.until(lambda: not any(map(followed.gateways, BLOCKS)))

            # A slow machine takes longer to withdraw them: what follows from the pace is added.
            assert len(followed.calls) <= FEW + (loop.time() - began) / fib_module.GATHER_S
            assert sum(map(len, followed.calls)) == len(BLOCKS)

    machine.run(main)


def test_a_cluster_that_comes_back_is_promoted_in_portions(machine: Machine) -> None:
    """All routes at once, but no more stretches in one call than the budget allows."""
    blocks = BLOCKS[: BUDGET * 3]

    async def main() -> None:
        async with following(*blocks) as followed:
            await asyncio.to_thread(batch, machine, added(blocks))
            await followed.until(
                lambda: all(
                    stretch.route is not None and stretch.is_steady
                    for block in blocks
                    for stretch in followed.area(block).stretches
                )
            )

            promoted = [
                sum(
                    area.stretches[0].route is not None and area.stretches[0].is_steady
                    for area in call
                )
                for call in followed.calls
            ]
            assert max(promoted) <= BUDGET
            assert sum(promoted) == len(blocks)

    machine.run(main)


def test_lost_events_lead_to_a_new_reading(machine: Machine) -> None:
    """Nobody read for a while, and the kernel threw events away: the answers are right again."""
    batch(machine, added(BLOCKS))

    async def main() -> None:
        async with following(*BLOCKS, "10.200.0.0/24") as followed:
            shrink(followed.fib._kernel._events)
            with structlog.testing.capture_logs() as logs:
                batch(machine, removed(BLOCKS[10:]))  # on this thread: so nobody reads
                batch(machine, ["route add 10.200.0.0/24 via 192.0.2.3"])
                await followed.until(lambda: not any(map(followed.gateways, BLOCKS[10:])))
                await followed.until(lambda: followed.gateways("10.200.0.0/24") == ["192.0.2.3"])
            assert all(followed.gateways(block) == [A] for block in BLOCKS[:10])
            assert "route_events_lost" in {line["event"] for line in logs}

            batch(machine, removed(BLOCKS[:10]))
            await followed.until(lambda: not any(map(followed.gateways, BLOCKS)))

    machine.run(main)


def test_an_event_that_comes_before_its_change_is_not_taken_for_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says that it removes a route, and answers once more as if it had not."""
    batch(machine, added(BLOCKS[:1]))
    look_up = Kernel.look_up
    early: list[list[FibRoute | int | None]] = []

    def look_up_too_early(
        kernel: Kernel, numbers: Sequence[int], *, ipv6: bool
    ) -> list[FibRoute | int | None]:
        if early and numbers:
            return early.pop()
        return look_up(kernel, numbers, ipv6=ipv6)

    async def main() -> None:
        async with following(BLOCKS[0]) as followed:
            early.append([followed.area(BLOCKS[0]).stretches[0].route])
            monkeypatch.setattr(Kernel, "look_up", look_up_too_early)
            machine.ip("route", "del", BLOCKS[0])
            await followed.until(lambda: followed.gateways(BLOCKS[0]) == [])
            assert early == []

    machine.run(main)


def test_a_kernel_that_does_not_answer_is_asked_later(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged, what is known stays, and everything is read anew."""
    monkeypatch.setattr(fib_module, "RETRY_S", 0.05)
    batch(machine, added(BLOCKS[:1]))
    look_up = Kernel.look_up

    def fail(*_: object, **__: object) -> list[FibRoute | int | None]:
        raise TransientError("not now")

    async def main() -> None:
        async with following(BLOCKS[0]) as followed:
            with structlog.testing.capture_logs() as logs:
                monkeypatch.setattr(Kernel, "look_up", fail)
                machine.ip("route", "del", BLOCKS[0])
                await until(lambda: bool(logs))
                with pytest.raises(TransientError):
                    followed.want(*BLOCKS[:2])
                assert followed.gateways(BLOCKS[0]) == [A]

                monkeypatch.setattr(Kernel, "look_up", look_up)
                await followed.until(lambda: followed.gateways(BLOCKS[0]) == [])
            assert {line["event"] for line in logs} == {"routes_not_read"}
            assert [area.prefix for area in followed.want(*BLOCKS[:2])] == [Cidr(BLOCKS[1])]

    machine.run(main)


def test_what_no_event_tells_of_is_found_by_reading_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last resort: here events are read by nobody."""
    monkeypatch.setattr(fib_module, "REREAD_S", 0.05)
    batch(machine, added(BLOCKS[:1]))

    async def deaf(_: Kernel) -> list[object]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(Kernel, "events", deaf)

    async def main() -> None:
        async with following(*BLOCKS[:2]) as followed:
            batch(machine, [*removed(BLOCKS[:1]), *added(BLOCKS[1:2])])
            await followed.until(lambda: followed.gateways(BLOCKS[0]) == [])
            await followed.until(lambda: followed.gateways(BLOCKS[1]) == [A])
            await followed.until(lambda: followed.area(BLOCKS[1]).stretches[0].is_steady)

    machine.run(main)


def test_answers_that_do_not_fit_are_asked_for_again(machine: Machine) -> None:
    """The kernel drops what its queue to us has no room for; every address is answered."""
    batch(machine, added(BLOCKS[:100]))

    async def main() -> None:
        async with following() as followed:
            shrink(followed.fib._kernel._questions)
            areas = followed.want(*BLOCKS[:100])
            assert all(area.stretches[0].route is not None for area in areas)
            assert followed.fib.route_to(IpAddr("10.0.0.1")) is not None

    machine.run(main)
