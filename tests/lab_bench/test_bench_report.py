"""What a person reads and sees of a comparison."""

from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec

from onehop.lab.bench.plane import KERNEL, PLANES
from onehop.lab.bench.plot import svg
from onehop.lab.bench.report import markdown
from onehop.lab.bench.result import Result
from onehop.lab.bench.way import LOADS, WAYS
from tests.golden import check_golden
from tests.lab_bench.known import result

_GOLDEN = Path(__file__).parent / "golden"


def test_the_tables_are_as_expected() -> None:
    """How packets went, then a table for each load."""
    check_golden(_GOLDEN / "ways.md", markdown([result()]))


def test_data_planes_are_put_side_by_side() -> None:
    """Each has its tables; then those behind the first one are held against it."""
    check_golden(_GOLDEN / "planes.md", markdown([result(plane) for plane in PLANES]))


def test_the_drawing_is_as_expected() -> None:
    """Open the file in a browser to review it."""
    check_golden(_GOLDEN / "ways.svg", svg(result()))


def test_the_drawing_of_the_kernel_has_no_proxy_of_ours() -> None:
    """Nor the loads that are none of layer 4."""
    drawing = svg(result(KERNEL))

    assert "onehop's" not in drawing
    assert f">{LOADS[0].title}<" not in drawing
    assert drawing.count('class="balancer"') == 0


def test_every_table_has_as_many_columns_in_every_row() -> None:
    """Or it would not be a table."""
    for table in markdown([result(plane) for plane in PLANES]).split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_the_drawing_has_a_bar_for_each_load_on_each_way() -> None:
    """And nothing outside of its paper."""
    root = ET.fromstring(svg(result()))  # noqa: S314  our own
    width = float(root.attrib["width"])
    bars = list(root.iter("{http://www.w3.org/2000/svg}rect"))
    ends = [bar for bar in bars if bar.attrib["class"] == "ends"]

    assert len(ends) == len(LOADS) * len(WAYS) + 1  # and one in the legend
    for bar in bars:
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= width


def test_a_comparison_is_data() -> None:
    """What `--json` writes can be read again."""
    written = msgspec.json.encode(result())

    assert msgspec.json.decode(written, type=Result) == result()
