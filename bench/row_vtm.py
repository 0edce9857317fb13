"""Rows of the vTM driver, before an imitated unit that takes 20 ms for each call.

The unit is a process of its own and says when it has carried out which write; what is measured is
the driver alone, in this process. A unit that works at calls one after another would be slower;
how many a real one works at is not known.
"""

import asyncio
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from bench.child import ChildFailed, running, until
from bench.row import Figures, Row, Target, spread_ms
from bench.unit import Carried
from bench.world import Size, World
from onehop.driver.vtm import VtmDriver, VtmOptions
from onehop.driver.vtm.name import Names
from onehop.lab.vtm.cluster import PASSWORD
from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import ListenerId, ObjectRef, PoolId
from onehop.model.listener import ForwardTcp, Listener
from onehop.model.model import Change
from onehop.model.model import Row as ModelRow
from onehop.model.pool import BackendProtocol, HealthCheck, Pool
from onehop.plan import make_plan

CALL_MS: Final = 20
_PORT: Final = 9070
_OWNER: Final = "bench"
_OWN_MS: Final = 20
_EVERY_S: Final = 0.03
_BURST: Final = 5
"""So many changes of one pool come at once, each sixth time."""


class Sent(msgspec.Struct, frozen=True):
    """One change of a pool's endpoints, and when it was told to the driver."""

    at_s: float
    pool: PoolId
    node: str


def measure_endpoints(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Change endpoints of one pool after the other, sometimes several times at once."""
    services, changes = (20, 30) if quick else (1_000, 1_000)
    log = world.log("unit-endpoints")
    with _unit(log):
        sent, calls = asyncio.run(_change(_options(log), services, changes))
        lags = list(_lags(sent, _carried(log)))
    return Figures(
        product={
            **spread_ms(lags),
            "calls_per_change": calls / len(sent),
        },
        notes={"changes": len(sent), "calls": calls, "call_ms": CALL_MS, "pools": services},
    )


def measure_resync(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Write ten thousand objects to an empty unit; then start anew, with nothing to change."""
    services = 50 if quick else 3_333
    log = world.log("unit-resync")
    rows = tuple(_rows(services))
    with _unit(log):
        options = _options(log)
        first = asyncio.run(_start(options, rows))
        again = asyncio.run(_start(options, rows))
    return Figures(
        product={
            "first_apply_s": first["apply_s"],
            "read_back_s": again["read_s"],
            "resync_s": again["apply_s"],
            "resync_writes": again["writes"],
        },
        notes={
            "objects": int(first["writes"]),
            "calls_at_once": int(again["at_once"]),
            "call_ms": CALL_MS,
        },
    )


async def _start(options: VtmOptions, rows: Sequence[ModelRow]) -> dict[str, float]:
    driver = VtmDriver(options)
    began = time.monotonic()
    async with driver.running():
        read = time.monotonic()
        receipt = await driver.apply(make_plan(Change(tuple(rows))))
        done = time.monotonic()
        if receipt.refused:
            raise ChildFailed(f"the unit refuses {receipt.refused[0]}")
        return {
            "read_s": read - began,
            "apply_s": done - read,
            "writes": driver.remote_counts().writes,
            "at_once": float(driver.describe()["calls_at_once"]),
        }


async def _change(options: VtmOptions, services: int, changes: int) -> tuple[tuple[Sent, ...], int]:
    driver = VtmDriver(options)
    sent: list[Sent] = []
    async with driver.running():
        await driver.apply(make_plan(Change(tuple(_rows(services)))))
        before = driver.steps
        for number in range(changes):
            pool = _pool(number * 7919 % services)
            for _ in range(_BURST if number % 6 == 0 else 1):
                address = f"10.{200 + (len(sent) >> 16)}.{len(sent) >> 8 & 255}.{len(sent) & 255}"
                members = PoolEndpoints(pool.id, (_endpoint(address),))
                sent.append(Sent(time.monotonic(), pool.id, f"{address}:8080"))
                driver.set_endpoints(members)
                await asyncio.sleep(0)
            await asyncio.sleep(_EVERY_S)
        await asyncio.sleep(1.0)  # the last ones land
        return tuple(sent), driver.steps - before


def _lags(sent: Sequence[Sent], carried: Sequence[Carried]) -> Iterator[float]:
    """Yield how long each change took until its pool held it, or one that came after it."""
    names = Names(_OWNER)
    number_of = {each.node: number for number, each in enumerate(sent)}
    writes: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for write in carried:
        if write.node in number_of:
            writes[write.name].append((number_of[write.node], write.at_s))
    for number, change in enumerate(sent):
        name = names.name(change.pool)
        there = [at_s for newest, at_s in writes[name] if newest >= number]
        if not there:
            raise ChildFailed(f"{change.node} never was on the unit")
        yield min(there) - change.at_s


def _rows(services: int) -> Iterator[ModelRow]:
    """Yield Services of three objects each: monitor, pool, virtual server; and one address."""
    for service in range(services):
        pool = _pool(service)
        yield pool
        address = f"10.{100 + (service >> 16)}.{service >> 8 & 255}.{service & 255}"
        yield PoolEndpoints(pool.id, tuple(_endpoint(address, port) for port in range(8000, 8010)))
        yield Listener(
            id=ListenerId(f"{pool.id}@shared"),
            owner=None,
            address=IpAddr("192.0.2.10"),
            port=10_000 + service,
            handler=ForwardTcp(pool=pool.id),
        )


def _pool(service: int) -> Pool:
    name = f"service-{service}"
    return Pool(
        id=PoolId(f"bench/{name}:80"),
        service=ObjectRef("Service", "bench", name),
        port=80,
        protocol=BackendProtocol.TCP,
        health_check=HealthCheck(),
    )


def _endpoint(address: str, port: int = 8080) -> Endpoint:
    return Endpoint(address=IpAddr(address), port=port)


def _options(log: Path) -> VtmOptions:
    password = log.with_name("password")
    password.write_text(PASSWORD)
    url = f"http://127.0.0.1:{_PORT}"
    return VtmOptions(urls=(url,), owner=_OWNER, password_file=password)


def _carried(log: Path) -> list[Carried]:
    lines = log.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Carried) for line in lines if line.startswith(b"{")]


@contextmanager
def _unit(log: Path) -> Generator[None]:
    command = (sys.executable, "-m", "bench.unit", str(_PORT), str(CALL_MS))
    with running(command, log):
        until(_answers, 20, "the unit")
        yield


def _answers() -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", _PORT)):
        return True
    return False


ROWS: Final = (
    Row(
        name="vtm-endpoint",
        what=f"an endpoint change on a unit that takes {CALL_MS} ms for each call",
        measure=measure_endpoints,
        size=Size(1, 1),
        quick_size=Size(1, 1),
        targets=(
            Target("p50_ms", 2 * CALL_MS + _OWN_MS),
            Target("p99_ms", 2 * CALL_MS + _OWN_MS),
            Target("calls_per_change", 1.0),
        ),
    ),
    Row(
        name="vtm-resync",
        what=f"10,000 objects written first, read back and compared, at {CALL_MS} ms a call",
        measure=measure_resync,
        size=Size(1, 1),
        quick_size=Size(1, 1),
        targets=(
            Target("first_apply_s", 60.0),
            Target("read_back_s", 30.0),
            Target("resync_writes", 0.0),
        ),
    ),
)
