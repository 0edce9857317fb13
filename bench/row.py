"""What a row of the table is: a question, its target, and what was measured."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from bench.world import Size, World


class Target(msgspec.Struct, frozen=True):
    """What a figure must not exceed (or, with `least`, fall short of)."""

    figure: str
    limit: float
    least: bool = False

    def is_met(self, value: float) -> bool:
        """Tell whether a figure is good enough."""
        return value >= self.limit if self.least else value <= self.limit


class Result(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a row measured.

    Attributes:
        product: figures of the product, by name with unit.
        floor: the same figures of the floor, in the same run.
        ratio: product by floor.
        missed: targets that were not met, in words.
        notes: other figures worth knowing.
    """

    row: str
    what: str
    quick: bool
    product: dict[str, float]
    floor: dict[str, float] = {}
    ratio: dict[str, float] = {}
    missed: list[str] = []
    notes: dict[str, Any] = {}


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What the measuring of a row returns."""

    product: dict[str, float]
    floor: dict[str, float] = {}
    notes: dict[str, Any] = {}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        measure: does the work; its second argument says whether to be quick about it.
        size: of the world it runs in; rows of one size share a world.
        quick_size: of the world when it is quick.
        targets: hold for full runs; a quick run has too few samples to judge.
        within: how many times the floor a figure may be.
    """

    name: str
    what: str
    measure: Callable[[World, bool], Figures]
    size: Size
    quick_size: Size
    targets: tuple[Target, ...] = ()
    within: tuple[Target, ...] = ()

    def world_size(self, *, quick: bool) -> Size:
        """Return the size of the world to run in."""
        return self.quick_size if quick else self.size

    def run(self, world: World, *, quick: bool) -> Result:
        """Measure, and hold the figures against the targets."""
        figures = self.measure(world, quick)
        ratio = {
            name: round(value / figures.floor[name], 2)
            for name, value in figures.product.items()
            if figures.floor.get(name)
        }
        missed = [*_missed(self.targets, figures.product), *_missed(self.within, ratio, "x floor")]
        return Result(
            row=self.name,
            what=self.what,
            quick=quick,
            product=_rounded(figures.product),
            floor=_rounded(figures.floor),
            ratio=ratio,
            missed=[] if quick else missed,
            notes=figures.notes,
        )


def _missed(targets: Iterable[Target], values: dict[str, float], unit: str = "") -> list[str]:
    return [
        f"{target.figure} {values[target.figure]:g}{unit}, target"
        f" {'>=' if target.least else '<='} {target.limit:g}{unit}"
        for target in targets
        if target.figure in values and not target.is_met(values[target.figure])
    ]


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}


def quantile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that is not exceeded by this share of them."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


MS: Final = 1000.0


def spread_ms(samples: Sequence[float]) -> dict[str, float]:
    """Return the usual figures of latencies in seconds, in milliseconds."""
    return {
        "p50_ms": quantile(samples, 0.5) * MS,
        "p99_ms": quantile(samples, 0.99) * MS,
        "max_ms": max(samples) * MS,
    }
