"""The guide says of every data plane what its driver declares."""

from typing import Final

from tests.docs.matrix import with_matrix
from tests.docs.pages import ROOT
from tests.golden import check_golden

PAGE: Final = ROOT / "docs" / "guide" / "data-planes.md"


def test_the_table_of_data_planes_is_what_their_drivers_declare() -> None:
    """`tests/contract` holds the drivers to it, so the table is proven as well."""
    check_golden(PAGE, with_matrix(PAGE.read_text(encoding="utf-8")))
