"""What the guide shows is what is printed."""

from typing import Final

import msgspec

from onehop.cli.explain.drawing import draw
from onehop.control.explain.explanation import Explanation
from onehop.control.explain.journey import explain
from tests.docs.pages import ROOT, blocks, in_backticks, table_rows
from tests.explain.known import as_tree, facts_of_story
from tests.explain.structs import STRUCTS
from tests.golden import check_golden

PAGE: Final = ROOT / "docs" / "guide" / "explain.md"
PICTURE: Final = ROOT / "docs" / "explain.svg"


def _shown() -> Explanation:
    answer = explain(facts_of_story("ladder-direct-where-proven"), "shop/web")
    assert isinstance(answer, Explanation)
    return answer


def test_the_tree_in_the_guide_is_the_one_that_is_printed() -> None:
    """Of the story of Pods that go direct where that is proven."""
    (block,) = [block for block in blocks("text") if block.page == PAGE]

    assert block.text == as_tree(_shown(), width=150)


def test_the_drawing_in_the_guide_is_the_one_that_is_drawn() -> None:
    """Of the same story."""
    check_golden(PICTURE, draw(_shown()))


def test_the_guide_names_every_field_of_the_json() -> None:
    """What programs may rely on is written down."""
    rows = {
        in_backticks(row[0])[0]: in_backticks(row[1]) for row in table_rows(PAGE, "For programs")
    }

    assert rows == {
        kind.__name__: tuple(field.encode_name for field in msgspec.structs.fields(kind))
        for kind in STRUCTS
    }
