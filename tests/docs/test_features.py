"""The guide says of every feature of Gateway API which data planes have it, and why others not."""

from typing import Final

from tests.docs.features import with_table
from tests.docs.pages import ROOT
from tests.golden import check_golden

PAGE: Final = ROOT / "docs" / "guide" / "gateway-features.md"


def test_the_table_of_features_is_what_a_class_claims() -> None:
    """Both are made from the same table, and `tests/compile_gateway` holds claims to it."""
    check_golden(PAGE, with_table(PAGE.read_text(encoding="utf-8")))
