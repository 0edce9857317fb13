"""A comparison with figures that were made up, so that what is written of it is known."""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.lab.bench.cpu import Cpu
from onehop.lab.bench.load import Answered
from onehop.lab.bench.plane import ENVOY, HAPROXY, KERNEL, Plane
from onehop.lab.bench.result import Cell, Machine, Path, Result, Rounds, Sample, make_cell
from onehop.lab.bench.way import DIRECT, LOCAL, NODE, NONE, TWO_TIERS, WAYS

MACHINE: Final = Machine(
    processors=2, kernel="6.1.0", python="3.11.7", envoy="1.40.0", load_average=0.5
)
CPU: Final = {
    TWO_TIERS: Cpu(balancer=0.10, edge=0.10, client=0.02, pods=0.06, kernel=0.002),
    NODE: Cpu(balancer=0.11, client=0.02, pods=0.06),
    LOCAL: Cpu(balancer=0.10, client=0.02, pods=0.05),
    DIRECT: Cpu(balancer=0.09, client=0.02, pods=0.05),
    NONE: Cpu(client=0.02, pods=0.03),
}
_VERSIONS: Final = {ENVOY: "1.40.0", HAPROXY: "2.6.12", KERNEL: ""}
_PACKETS: Final = {TWO_TIERS: 4.9, NODE: 3.3, LOCAL: 2.0, DIRECT: 2.0, NONE: 2.0}
_PATHS: Final = {
    TWO_TIERS: (3.67, 2.33, 2.0, {"10.244.1.3": "pod-echo-4"}),
    NODE: (2.67, 1.67, 2.0, {"10.111.0.11": "node1", "10.111.0.12": "node2"}),
    LOCAL: (2.0, 1.0, 1.0, {"10.111.0.2": "lb1"}),
    DIRECT: (1.0, 1.0, 0.0, {"10.111.0.2": "lb1"}),
    NONE: (1.0, 1.0, 0.0, {"10.110.0.10": "client"}),
}


def sample(cpu: Cpu, requests: int = 1000, failed: int = 0) -> Sample:
    """Return a round of a second."""
    answered = Answered(
        requests=requests, duration_us=1_000_000, failed=failed, p50_us=1500, p99_us=6000
    )
    return Sample(answered=answered, cpu=cpu)


def result(plane: Plane = ENVOY) -> Result:
    """Return a comparison of three rounds that differ by a tenth; HAProxy does twice as much."""
    paths = tuple(
        Path(way=way.name, title=way.title, hops=hops, links=links, translations=nats, saw=saw)
        for way, (hops, links, nats, saw) in _PATHS.items()
    )
    return Result(
        machine=MACHINE,
        plane=plane.name,
        version=_VERSIONS[plane],
        rounds=3,
        seconds=1,
        paths=paths,
        cells=tuple(_cells(plane)),
    )


def _cells(plane: Plane) -> Iterator[Cell]:
    first = None if plane == ENVOY else _rounds(ENVOY)
    for load in plane.loads:
        for way in WAYS:
            rounds = _rounds(plane)
            yield make_cell(way, load, rounds, packets=_PACKETS[way], plane=plane, first=first)


def _rounds(plane: Plane) -> Rounds:
    times = 2 if plane == HAPROXY else 1
    return {
        way: tuple(sample(_cpu(plane, cpu), times * requests) for requests in (1000, 900, 1100))
        for way, cpu in CPU.items()
    }


def _cpu(plane: Plane, cpu: Cpu) -> Cpu:
    return msgspec.structs.replace(cpu, balancer=0.0) if plane.is_kernel else cpu
