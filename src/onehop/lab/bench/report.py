"""A comparison as Markdown: how packets went, then a table for each load. Pure.

With several data planes, that for each of them, and how they compare.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from onehop.lab.bench.figure import Spread
from onehop.lab.bench.plane import ENVOY
from onehop.lab.bench.result import Cell, Path, Result
from onehop.lab.bench.way import BALANCED, WAYS, Load, Way

_PROXIES: Final = ("requests per CPU-second of the proxies", "x two tiers")


def markdown(results: Sequence[Result]) -> str:
    """Return the whole report: a part for each data plane, and how they compare if there are more.

    Args:
        results: of one run; the first one is what the others are compared with.
    """
    lines: list[str] = []
    for result in results:
        lines += [f"## {_capital(result.title)}", ""] if len(results) > 1 else []
        lines += [*_lines(result), ""]
    if len(results) > 1:
        lines += [*_side_by_side(results), ""]
    return "\n".join(lines)


def _lines(result: Result) -> Iterator[str]:
    machine = result.machine
    yield (
        f"Medians of {result.rounds} rounds of {result.seconds:g} s for each load on each way; in"
        f" brackets, the least and the most of the rounds. {machine.processors} processors, load"
        f" {machine.load_average:.1f} before it began; Linux {machine.kernel},"
        f" {_programs(result)}. {_failed(result)}"
    )
    yield ""
    yield "| way | hops | links | addresses rewritten | Pods see |"
    yield "|---|---|---|---|---|"
    yield from (_path(path) for path in result.paths)
    for load in result.loads:
        yield ""
        yield from _load(result, load)


def _programs(result: Result) -> str:
    envoy = f"Envoy {result.machine.envoy}"
    if result.plane == ENVOY.name:
        return envoy
    behind = f"behind it {envoy}"
    return f"{result.title} {result.version}, {behind}" if result.version else behind


def _side_by_side(results: Sequence[Result]) -> Iterator[str]:
    first, *others = results
    yield "## Side by side"
    yield ""
    yield (
        f"Requests per CPU-second, times those by {first.title} on the same way in the same round:"
        " of the proxies, and of all, client and Pods included."
    )
    yield ""
    titles = [title for each in others for title in _titles(each)]
    yield f"| load | way | {' | '.join(titles)} |"
    yield "|---" * (2 + len(titles)) + "|"
    for load in first.loads:
        for way in BALANCED:
            figures = [figure for each in others for figure in _against_first(each, way, load)]
            yield f"| {load.title} | {way.title} | {' | '.join(figures)} |"


def _titles(result: Result) -> list[str]:
    kinds = ("proxies", "all") if result.has_proxies else ("all",)
    return [f"{result.title}: {kind}" for kind in kinds]


def _against_first(result: Result, way: Way, load: Load) -> list[str]:
    if load not in result.loads:
        return ["-"] * len(_titles(result))
    cell = result.cell(way, load)
    spreads = (cell.against_first, cell.whole_against_first)
    return [_times(each) if each else "-" for each in spreads][not result.has_proxies :]


def _capital(title: str) -> str:
    return title[0].upper() + title[1:]


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
    titles = [
        *_PROXIES[: 2 * result.has_proxies],
        *("of all" if result.has_proxies else "requests per CPU-second of all", "x two tiers"),
        *("requests/s", "p50 ms", "p99 ms", "packets per request"),
    ]
    yield f"| way | {' | '.join(titles)} |"
    yield "|---" * (1 + len(titles)) + "|"
    for way in WAYS:
        figures = _figures(result.cell(way, load), has_proxies=result.has_proxies)
        yield f"| {way.title} | {' | '.join(figures)} |"


def _figures(cell: Cell, *, has_proxies: bool) -> Iterator[str]:
    if has_proxies:
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
    least, most = f"{value.least:.2f}", f"{value.most:.2f}"
    return f"{value.median:.2f}" if least == most else f"{value.median:.2f} ({least}-{most})"
