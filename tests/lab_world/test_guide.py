"""The guide's page on the lab says what there is."""

import re
import shlex

import pytest
import typer.main
from typer.core import TyperGroup

from onehop.cli.lab_app import lab
from onehop.lab.world.fault import TROUBLES
from tests.docs.pages import ROOT, in_backticks, table_rows

_PAGE = ROOT / "docs" / "guide" / "lab.md"
_LINE = re.compile(r"onehop lab (?P<arguments>[a-z][^`\n]*)")


def _group() -> TyperGroup:
    group = typer.main.get_command(lab)
    assert isinstance(group, TyperGroup)
    return group


def _printed() -> frozenset[str]:
    return frozenset(match["arguments"].strip() for match in _LINE.finditer(_PAGE.read_text()))


@pytest.mark.parametrize("arguments", sorted(_printed()))
def test_a_printed_command_of_the_lab_is_understood(arguments: str) -> None:
    """The command is there, and takes these arguments and flags."""
    name, *rest = shlex.split(arguments)
    command = _group().commands[name]

    if rest or name in {"up", "down", "status", "faults"}:
        command.make_context(name, rest)


def test_every_command_of_the_lab_is_in_the_guide() -> None:
    """Each with an example."""
    assert {arguments.split()[0] for arguments in _printed()} == set(_group().commands)


def test_every_fault_is_in_the_guide() -> None:
    """By its name, in the order in which `onehop lab faults` prints them."""
    rows = table_rows(_PAGE, "Break and mend")

    assert [in_backticks(row[0])[0] for row in rows] == [trouble.what for trouble in TROUBLES]
