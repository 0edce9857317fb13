"""The outcome of a comparison, as data: this is what `--json` writes."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from onehop.lab.bench.cpu import Cpu
from onehop.lab.bench.figure import Spread, ratio, spread
from onehop.lab.bench.load import Answered
from onehop.lab.bench.plane import ENVOY, Plane, planes_of
from onehop.lab.bench.way import BALANCED, TWO_TIERS, Load, Way


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One load on one way in one round."""

    answered: Answered
    cpu: Cpu

    @property
    def per_second(self) -> float:
        """Requests in a second."""
        return self.answered.requests / (self.answered.duration_us / 1e6)

    @property
    def per_proxy_s(self) -> float:
        """Requests for a processor second of the proxies; 0 if there are none."""
        return self.answered.requests / self.cpu.proxies if self.cpu.proxies else 0.0

    @property
    def per_whole_s(self) -> float:
        """Requests for a processor second of everybody on the path, client and Pods included."""
        return self.answered.requests / self.cpu.whole


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Where the processor time of a request goes, in microseconds; medians of the rounds."""

    balancer_us: float
    edge_us: float
    client_us: float
    pods_us: float
    kernel_us: float


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A load on a way.

    Attributes:
        requests: of all rounds.
        failed: requests that were not answered as they should be, of all rounds.
        per_proxy_s: requests for a CPU-second of the proxies; None where there are none, or where
            the kernel does their work.
        per_whole_s: requests for a CPU-second of all on the path, client and Pods included.
        against_two_tiers: `per_proxy_s` in relation to that of two tiers in the same round.
        whole_against_two_tiers: the same of `per_whole_s`.
        against_first: `per_proxy_s` in relation to that of the first data plane, on the same way in
            the same round; None for the first one.
        whole_against_first: the same of `per_whole_s`.
        packets: on the nodes' network, both directions, for each request.
    """

    way: str
    load: str
    requests: int
    failed: int
    per_second: Spread
    p50_ms: Spread
    p99_ms: Spread
    per_proxy_s: Spread | None
    per_whole_s: Spread
    against_two_tiers: Spread | None
    whole_against_two_tiers: Spread
    against_first: Spread | None = None
    whole_against_first: Spread | None = None
    cost: Cost
    packets: float


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """A way, as packets have taken it; averages of all loads.

    Attributes:
        hops: arrivals at an address behind the load balancer, the Pod's included.
        links: how often a packet crosses the network between machines.
        translations: how often an address in it is rewritten.
        saw: the source addresses that Pods have seen, and whose they are.
    """

    way: str
    title: str
    hops: float
    links: float
    translations: float
    saw: Mapping[str, str]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with what it was measured.

    Attributes:
        envoy: the version of the Envoys in Pods, and of the second tier.
    """

    processors: int
    kernel: str
    python: str
    envoy: str
    load_average: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison of the ways on one data plane.

    Attributes:
        version: of the data plane; "" if it has none of its own.
    """

    machine: Machine
    plane: str
    version: str
    rounds: int
    seconds: float
    paths: tuple[Path, ...]
    cells: tuple[Cell, ...]

    @property
    def failed(self) -> int:
        """How many requests failed, in all of it."""
        return sum(cell.failed for cell in self.cells)

    @property
    def title(self) -> str:
        """The data plane, for people."""
        return planes_of((self.plane,))[0].title

    @property
    def has_proxies(self) -> bool:
        """Whether processes carry the traffic, and not the kernel."""
        return not planes_of((self.plane,))[0].is_kernel

    @property
    def loads(self) -> tuple[Load, ...]:
        """What was sent."""
        return planes_of((self.plane,))[0].loads

    def cell(self, way: Way, load: Load) -> Cell:
        """Return a load on a way; KeyError if it was not measured."""
        return {(cell.way, cell.load): cell for cell in self.cells}[way.name, load.name]


Rounds: TypeAlias = Mapping[Way, tuple[Sample, ...]]
"""The samples of a load on every way, in the order of the rounds."""


def make_cell(  # noqa: PLR0913  a load, a way, and what it is compared with
    way: Way,
    load: Load,
    rounds: Rounds,
    *,
    packets: float,
    plane: Plane = ENVOY,
    first: Rounds | None = None,
) -> Cell:
    """Return the outcome of a load on a way.

    Args:
        way: the way.
        load: the load.
        rounds: what was measured.
        packets: on the nodes' network for each request, both directions.
        plane: what carried the traffic.
        first: what was measured on the first data plane in the same rounds; None if this is it.
    """
    mine = rounds[way]
    has_proxy = way in BALANCED and not plane.is_kernel
    return Cell(
        way=way.name,
        load=load.name,
        requests=sum(sample.answered.requests for sample in mine),
        failed=sum(sample.answered.failed for sample in mine),
        per_second=spread(sample.per_second for sample in mine),
        p50_ms=spread(sample.answered.p50_us / 1e3 for sample in mine),
        p99_ms=spread(sample.answered.p99_us / 1e3 for sample in mine),
        per_proxy_s=spread(_per_proxy_s(mine)) if has_proxy else None,
        per_whole_s=spread(_per_whole_s(mine)),
        against_two_tiers=(
            ratio(_per_proxy_s(mine), _per_proxy_s(rounds[TWO_TIERS])) if has_proxy else None
        ),
        whole_against_two_tiers=ratio(_per_whole_s(mine), _per_whole_s(rounds[TWO_TIERS])),
        against_first=(
            ratio(_per_proxy_s(mine), _per_proxy_s(first[way])) if first and has_proxy else None
        ),
        whole_against_first=(
            ratio(_per_whole_s(mine), _per_whole_s(first[way])) if first else None
        ),
        cost=_cost(mine),
        packets=packets,
    )


def _per_proxy_s(samples: tuple[Sample, ...]) -> list[float]:
    return [sample.per_proxy_s for sample in samples]


def _per_whole_s(samples: tuple[Sample, ...]) -> list[float]:
    return [sample.per_whole_s for sample in samples]


def _cost(samples: tuple[Sample, ...]) -> Cost:
    def median_us(who: str) -> float:
        return spread(
            getattr(sample.cpu, who) * 1e6 / sample.answered.requests for sample in samples
        ).median

    return Cost(
        balancer_us=median_us("balancer"),
        edge_us=median_us("edge"),
        client_us=median_us("client"),
        pods_us=median_us("pods"),
        kernel_us=median_us("kernel"),
    )
