"""A comparison as a drawing: the processor time of a request on each way, and who spends it. Pure.

Bars of time, not of speed, because times add up: what the second tier costs is a part of its bar.
The scale is each load's own; a line across the end of a bar spans the least and the most of the
rounds. The colours are those of docs/four-ways.svg, for a light page and for a dark one.
"""

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from onehop.lab.bench.figure import Spread
from onehop.lab.bench.plane import ENVOY
from onehop.lab.bench.result import Cell, Cost, Result
from onehop.lab.bench.way import DIRECT, NONE, TWO_TIERS, WAYS, Load, Way

_WIDTH: Final = 1000
_TOP: Final = 124
_ROW: Final = 26
_HEAD: Final = 30
_GAP: Final = 20
_BAR: Final = 16
_LEFT: Final = 168
_ROOM: Final = 420
"""Of the longest bar of a load."""
_COLUMNS: Final = (708, 782, 890, 970)
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_STYLE: Final = """\
    .paper { fill: #ffffff; }
    .balancer { fill: #2e9d57; }
    .edge { fill: #c98a1b; }
    .ends { fill: #b9c6d6; }
    .span { stroke: #1f2a37; stroke-width: 1.5; fill: none; }
    .title { fill: #1f2a37; font-size: 18px; font-weight: 600; }
    .head { fill: #1f2a37; font-size: 14px; font-weight: 600; }
    .name { fill: #1f2a37; font-size: 13px; text-anchor: end; }
    .value { fill: #1f2a37; font-size: 12px; }
    .figure { fill: #1f2a37; font-size: 13px; text-anchor: end; }
    .direct { fill: #1d7f43; font-weight: 600; }
    .small { fill: #5a6878; font-size: 12px; }
    .column { fill: #5a6878; font-size: 12px; text-anchor: end; }
    .rule { stroke: #d7e0ea; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; }
      .balancer { fill: #46c274; }
      .edge { fill: #e0a83c; }
      .ends { fill: #3b4a5d; }
      .span { stroke: #e6edf3; }
      .title, .head, .name, .value, .figure { fill: #e6edf3; }
      .direct { fill: #46c274; }
      .small, .column { fill: #a6b4c4; }
      .rule { stroke: #2c3846; }
    }
"""
_TITLE: Final = "What a request costs on each way"
_ABOUT: Final = (
    "For each kind of load, the processor time of a request with two tiers, over NodePorts of all"
    " nodes, over NodePorts of the Pods' nodes, directly to Pods, and without a load balancer."
)


def svg(result: Result) -> str:
    """Return the drawing."""
    block = _HEAD + len(WAYS) * _ROW + _GAP
    height = _TOP + len(result.loads) * block
    title = _title(result)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        f' width="{_WIDTH}" height="{height}" role="img" aria-labelledby="title desc"'
        f' font-family="{_FONT}">'
    )
    lines = [
        head,
        f'  <title id="title">{title}</title>',
        f'  <desc id="desc">{_ABOUT}</desc>',
        f"  <style>\n{_STYLE}  </style>",
        f'  <rect class="paper" x="0" y="0" width="{_WIDTH}" height="{height}"/>',
    ]
    lines += _header(result)
    for number, load in enumerate(result.loads):
        lines += _load(result, load, _TOP + number * block)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _title(result: Result) -> str:
    return _TITLE if result.plane == ENVOY.name else f"{_TITLE}, by {result.title}"


def _legend(result: Result) -> Iterator[tuple[str, str]]:
    if result.has_proxies:
        yield "balancer", f"onehop's {result.title}"
    yield "edge", "proxy inside the cluster"
    yield "ends", "client and Pods"


def _header(result: Result) -> Iterator[str]:
    yield _text("title", 24, 38, _title(result))
    about = f"{result.rounds} rounds of {result.seconds:g} s, medians, all on one machine"
    yield _text("small", 24, 60, f"Processor time, in microseconds. {about}.")
    x = 24.0
    for kind, name in _legend(result):
        yield _rect(kind, x, 80, 14, 12)
        yield _text("small", x + 20, 91, name)
        x += 50 + 6.2 * len(name)
    titles = ("hops", "packets", "proxies", "all")
    for column, title in zip(_COLUMNS, titles, strict=True):
        yield _text("column", column, 91, title)
    yield _text("column", _COLUMNS[1], 70, "behind the balancer")
    yield _text("column", _COLUMNS[-1], 70, "per CPU-second, x two tiers")


def _load(result: Result, load: Load, top: float) -> Iterator[str]:
    yield f'  <path class="rule" d="M24 {top - 6}H{_WIDTH - 24}"/>'
    yield _text("head", 24, top + 16, load.title)
    hops = {path.way: path.hops for path in result.paths}
    cells = [(way, result.cell(way, load)) for way in WAYS]
    scale = _ROOM / max(_longest(cell) for _, cell in cells)
    for number, (way, cell) in enumerate(cells):
        y = top + _HEAD + number * _ROW
        yield _text("name", _LEFT - 12, y + 12.5, way.title)
        yield from _bar(cell, y, scale)
        figures = (
            f"{hops[way.name]:.1f}",
            f"{cell.packets:.1f}",
            _times(way, cell.against_two_tiers),
            _times(way, cell.whole_against_two_tiers),
        )
        for column, figure in zip(_COLUMNS, figures, strict=True):
            kind = "figure direct" if way == DIRECT else "figure"
            yield _text(kind, column, y + 12.5, figure)


def _bar(cell: Cell, y: float, scale: float) -> Iterator[str]:
    x = float(_LEFT)
    for kind, time_us in _parts(cell.cost):
        if time_us * scale >= 1:  # a proxy that only waits is not drawn
            yield _rect(kind, x, y, time_us * scale, _BAR)
            x += time_us * scale
    least, most = _span(cell)
    left, right = _LEFT + least * scale, _LEFT + most * scale
    middle = y + _BAR / 2
    cap = f"M{left:.1f} {middle - 4:g}v8M{right:.1f} {middle - 4:g}v8"
    yield f'  <path class="span" d="M{left:.1f} {middle:g}H{right:.1f}{cap}"/>'
    yield _text("value", max(x, right) + 8, y + 12.5, f"{_whole_us(cell):,.0f}")


def _parts(cost: Cost) -> tuple[tuple[str, float], ...]:
    return (
        ("balancer", cost.balancer_us),
        ("edge", cost.edge_us),
        ("ends", cost.client_us + cost.pods_us + cost.kernel_us),
    )


def _whole_us(cell: Cell) -> float:
    return sum(time_us for _, time_us in _parts(cell.cost))


def _span(cell: Cell) -> tuple[float, float]:
    """Return the processor time of a request in the best round and in the worst."""
    return 1e6 / cell.per_whole_s.most, 1e6 / cell.per_whole_s.least


def _longest(cell: Cell) -> float:
    return max(_whole_us(cell), _span(cell)[1])


def _times(way: Way, ratio: Spread | None) -> str:
    if way == TWO_TIERS:
        return "1"
    return f"{ratio.median:.2f}" if ratio is not None and way != NONE else ""


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'  <text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    size = f'width="{width:.1f}" height="{height:g}"'
    return f'  <rect class="{kind}" x="{x:.1f}" y="{y:g}" {size}/>'
