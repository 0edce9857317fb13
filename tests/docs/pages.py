"""What the documents are made of: pages, links, headings, blocks of code."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

ROOT: Final = Path(__file__).resolve().parents[2]

_FENCE: Final = re.compile(
    r"^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL
)
_LINK: Final = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_SPAN: Final = re.compile(r"`([^`\n]+)`")
_HEADING: Final = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)


class Block(msgspec.Struct, frozen=True):
    """A fenced block of code and the page it stands on."""

    page: Path
    language: str
    text: str

    def __str__(self) -> str:
        first = self.text.strip().partition("\n")[0]
        return f"{self.page.relative_to(ROOT)}: {first[:60]}"


def pages() -> tuple[Path, ...]:
    """Return every Markdown page a reader may come to, sorted."""
    found = [*ROOT.glob("*.md")]
    for folder in ("docs", "examples", "changes", "deploy"):
        found += (ROOT / folder).rglob("*.md")
    return tuple(sorted(found))


def blocks(*languages: str) -> tuple[Block, ...]:
    """Return the blocks of these languages on all pages; indentation of lists is taken off."""
    return tuple(
        block for page in pages() for block in _blocks(page) if block.language in languages
    )


def _blocks(page: Path) -> Iterator[Block]:
    for match in _FENCE.finditer(page.read_text(encoding="utf-8")):
        lines = match["text"].splitlines()
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        yield Block(page, match["language"], "\n".join(line[indent:] for line in lines) + "\n")


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> tuple[str, ...]:
    """Return the targets of a page's links and pictures."""
    return tuple(match["target"] for match in _LINK.finditer(prose(page)))


def spans(page: Path) -> tuple[str, ...]:
    """Return what stands in backticks in a page's text."""
    return tuple(match[1] for match in _SPAN.finditer(prose(page)))


def anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as GitHub and GitLab make them."""
    titles = (match["title"].replace("`", "") for match in _HEADING.finditer(prose(page)))
    kept = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return frozenset(title.replace(" ", "-") for title in kept)


def table_rows(page: Path, heading: str) -> tuple[tuple[str, ...], ...]:
    """Return the cells of the rows of the tables below a heading, titles left out."""
    _, found, rest = page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert found, f"{page.name} has no heading {heading!r}"
    section = rest.partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return tuple(tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in rows)


def in_backticks(cell: str) -> tuple[str, ...]:
    """Return what stands in backticks in a cell."""
    return tuple(_SPAN.findall(cell))
