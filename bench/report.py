"""The table at the end."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Column, Table

from bench.row import Result


def print_table(results: Sequence[Result]) -> None:
    """Print one line for each figure: the product's, the floor's, their ratio."""
    table = Table(
        "row", "figure", Column("product", justify="right"), Column("floor", justify="right"),
        Column("ratio", justify="right"), "target", box=box.SIMPLE_HEAD,
    )  # fmt: skip
    for result in results:
        for figure, value in result.product.items():
            floor = result.floor.get(figure)
            ratio = result.ratio.get(figure)
            missed = next((text for text in result.missed if text.startswith(figure)), "")
            table.add_row(
                result.row,
                figure,
                f"{value:g}",
                "" if floor is None else f"{floor:g}",
                "" if ratio is None else f"{ratio:g}",
                f"[red]missed: {missed}[/red]" if missed else "",
            )
    Console(width=130).print(table)
