"""A comparison with figures that were made up, so that what is written of it is known."""

from collections.abc import Iterator
from typing import Final

from onehop.lab.bench.cpu import Cpu
from onehop.lab.bench.load import Answered
from onehop.lab.bench.result import Cell, Machine, Path, Result, Sample, make_cell
from onehop.lab.bench.way import DIRECT, LOADS, LOCAL, NODE, NONE, TWO_TIERS, WAYS

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


def result() -> Result:
    """Return a comparison of three rounds that differ by a tenth."""
    paths = tuple(
        Path(way=way.name, title=way.title, hops=hops, links=links, translations=nats, saw=saw)
        for way, (hops, links, nats, saw) in _PATHS.items()
    )
    return Result(machine=MACHINE, rounds=3, seconds=1, paths=paths, cells=tuple(_cells()))


def _cells() -> Iterator[Cell]:
    rounds = {
        way: tuple(sample(cpu, requests) for requests in (1000, 900, 1100))
        for way, cpu in CPU.items()
    }
    for load in LOADS:
        for way in WAYS:
            yield make_cell(way, load, rounds, packets=_PACKETS[way])
