"""A comparison as Markdown: how packets went, then a table for each load. Pure."""

from collections.abc import Iterator

from onehop.lab.bench.figure import Spread
from onehop.lab.bench.result import Cell, Path, Result
from onehop.lab.bench.way import LOADS, WAYS, Load


def markdown(result: Result) -> str:
    """Return the whole report."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Result) -> Iterator[str]:
    machine = result.machine
    yield (
        f"Medians of {result.rounds} rounds of {result.seconds:g} s for each load on each way; in"
        f" brackets, the least and the most of the rounds. {machine.processors} processors, load"
        f" {machine.load_average:.1f} before it began; Linux {machine.kernel}, Envoy"
        f" {machine.envoy}. {_failed(result)}"
    )
    yield ""
    yield "| way | hops | links | addresses rewritten | Pods see |"
    yield "|---|---|---|---|---|"
    yield from (_path(path) for path in result.paths)
    for load in LOADS:
        yield ""
        yield from _load(result, load)


def _failed(result: Result) -> str:
    requests = sum(cell.requests for cell in result.cells)
    return f"Of {requests:,} requests {result.failed:,} failed."


def _path(path: Path) -> str:
    saw = ", ".join(sorted(set(path.saw.values())))
    return (
        f"| {path.title} | {path.hops:.2f} | {path.links:.2f} | {path.translations:.2f} | {saw} |"
    )


def _load(result: Result, load: Load) -> Iterator[str]:
    yield f"**{load.title}**"
    yield ""
    yield (
        "| way | requests per CPU-second of the proxies | x two tiers | of all | x two tiers"
        " | requests/s | p50 ms | p99 ms | packets per request |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for way in WAYS:
        cell = result.cell(way, load)
        yield f"| {way.title} | {' | '.join(_figures(cell))} |"


def _figures(cell: Cell) -> Iterator[str]:
    yield _count(cell.per_proxy_s) if cell.per_proxy_s else "-"
    yield _times(cell.against_two_tiers) if cell.against_two_tiers else "-"
    yield _count(cell.per_whole_s)
    yield _times(cell.whole_against_two_tiers)
    yield f"{cell.per_second.median:,.0f}"
    yield f"{cell.p50_ms.median:.2f}"
    yield f"{cell.p99_ms.median:.2f}"
    yield f"{cell.packets:.1f}"


def _count(value: Spread) -> str:
    return f"{value.median:,.0f} ({value.least:,.0f}-{value.most:,.0f})"


def _times(value: Spread) -> str:
    if value.least == value.most:
        return f"{value.median:.2f}"
    return f"{value.median:.2f} ({value.least:.2f}-{value.most:.2f})"
