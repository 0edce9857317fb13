"""Writing SVG: boxes, lines and text, with everything from outside escaped.

Our own, for two reasons. What there is to lay out is a fixed grid (client, host, nodes, Pods), so a
graph layout (Graphviz, which is a program to install; ELK, which is Java) would decide things that
are known, and differently with each release, and golden files would follow it. And the libraries
that only write (drawsvg, svgwrite) wrap the five elements below in as many lines.

Text cannot be measured here, and the reader's fonts are not ours, so widths are estimates on the
wide side: see `fitted`.
"""

from typing import Final
from xml.sax.saxutils import escape, quoteattr

FONT: Final = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_GLYPH: Final = 0.56
"""The width of a glyph as a share of the font size, on average: of DejaVu Sans, the widest."""


class Canvas:
    """Elements in the order in which they are painted."""

    def __init__(self, *, style: str) -> None:
        self._style = style
        self._elements: list[str] = []

    def box(  # noqa: PLR0913  a rectangle
        self, kind: str, x: float, y: float, width: float, height: float, *, radius: float = 8
    ) -> None:
        """Paint a rectangle."""
        size = f'width="{_number(width)}" height="{_number(height)}" rx="{_number(radius)}"'
        self._add(f'<rect class="{kind}" x="{_number(x)}" y="{_number(y)}" {size}/>')

    def text(self, kind: str, x: float, y: float, text: str) -> None:
        """Paint a line of text; `y` is its base line."""
        self._add(f'<text class="{kind}" x="{_number(x)}" y="{_number(y)}">{escape(text)}</text>')

    def line(self, kind: str, path: str, *, width: float | None = None) -> None:
        """Paint a path, `M0 0H10` and the like."""
        stroke = f' stroke-width="{_number(width)}"' if width is not None else ""
        self._add(f'<path class="{kind}" d="{path}"{stroke}/>')

    def tip(self, kind: str, x: float, y: float, size: float) -> None:
        """Paint the head of an arrow that points right and ends at a point."""
        half = size * 0.55
        x0 = _number(x - size)
        top, bottom = _number(y - half), _number(y + half)
        self._add(f'<path class="{kind}" d="M{_number(x)} {_number(y)}L{x0} {top}V{bottom}z"/>')

    def dot(self, kind: str, x: float, y: float, text: str) -> None:
        """Paint a number in a disc."""
        self._add(f'<circle class="{kind}" cx="{_number(x)}" cy="{_number(y)}" r="9"/>')
        self.text("num", x, y + 4.2, text)

    def document(self, width: float, height: float, title: str, description: str) -> str:
        """Return the whole drawing."""
        view = f"0 0 {_number(width)} {_number(height)}"
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" width="{_number(width)}"'
            f' height="{_number(height)}" role="img" aria-labelledby="title desc"'
            f" font-family={quoteattr(FONT)}>"
        )
        lines = [
            head,
            f'  <title id="title">{escape(title)}</title>',
            f'  <desc id="desc">{escape(description)}</desc>',
            f"  <style>\n{self._style}  </style>",
            *(f"  {element}" for element in self._elements),
            "</svg>",
        ]
        return "\n".join(lines) + "\n"

    def _add(self, element: str) -> None:
        self._elements.append(element)


def width_of(text: str, size: float) -> float:
    """Return about how wide a text is."""
    return len(text) * size * _GLYPH


def fitted(text: str, width: float, size: float) -> str:
    """Return a text, or its beginning and an ellipsis, that is about this wide at most."""
    room = max(1, int(width / (size * _GLYPH)))
    return text if len(text) <= room else text[: room - 1].rstrip() + "…"


def middle_fitted(text: str, width: float, size: float) -> str:
    """Return a text that is about this wide at most, without its middle: for addresses."""
    room = max(3, int(width / (size * _GLYPH)))
    if len(text) <= room:
        return text
    tail = (room - 1) * 2 // 3
    return f"{text[: room - 1 - tail]}…{text[-tail:]}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
