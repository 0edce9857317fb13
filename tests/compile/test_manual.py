"""The manual says what the parser does."""

from pathlib import Path

from onehop.compile.manual import annotations_manual
from onehop.compile.vocabulary import ANNOTATIONS
from tests.golden import check_golden

MANUAL = Path(__file__).parents[2] / "docs" / "annotations.md"


def test_the_manual_of_annotations_is_current() -> None:
    """`docs/annotations.md` is what the table of annotations makes of itself."""
    check_golden(MANUAL, annotations_manual())


def test_nothing_in_the_table_breaks_the_manuals_layout() -> None:
    """A pipe or a newline would end a cell of Markdown early."""
    for name, known in ANNOTATIONS.items():
        for text in (name, known.example, known.means):
            assert "|" not in text
            assert "\n" not in text
