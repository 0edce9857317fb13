"""Every command that a reader may type exists, with those arguments and flags."""

import importlib.util
import re
import shlex
from typing import Final

import pytest
import typer.main
from typer._click import Command
from typer.core import TyperGroup

from onehop.cli.app import app
from tests.docs.pages import ROOT, blocks, pages, prose, spans

_ONEHOP: Final = re.compile(r"^(?:\$ )?(?:sudo )?(?:[\w./-]+/)?onehop (?P<arguments>[a-z].*)$")
_MAKE: Final = re.compile(r"\bmake (?P<target>[a-z]+)\b")
_MODULE: Final = re.compile(r"\bpython3? -m (?P<module>onehop[\w.]*)")


_SHELL: Final = (">", "|", "&&", ";")


def _group() -> TyperGroup:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def _command(words: list[str]) -> tuple[Command, list[str]]:
    """Return the command that words begin with, below its groups, and its arguments."""
    command: Command = _group()
    while isinstance(command, TyperGroup) and words:
        command, words = command.commands[words[0]], words[1:]
    end = next((place for place, word in enumerate(words) if word.startswith(_SHELL)), len(words))
    return command, words[:end]


def _printed() -> frozenset[str]:
    """Return what follows `onehop` wherever a document, a unit or an example prints a command."""
    lines = [
        line for block in blocks("console", "bash", "text") for line in block.text.splitlines()
    ]
    lines += [span for page in pages() for span in spans(page)]
    unit = (ROOT / "deploy" / "onehop.service").read_text(encoding="utf-8")
    lines += [line.removeprefix("ExecStart=") for line in unit.splitlines()]
    shop = (ROOT / "examples" / "shop.onehop.yaml").read_text(encoding="utf-8")
    lines += [line.partition("root: ")[2] for line in shop.splitlines()]
    found = (_ONEHOP.match(line.strip()) for line in lines)
    return frozenset(match["arguments"].partition(" #")[0].strip() for match in found if match)


@pytest.mark.parametrize("arguments", sorted(_printed()))
def test_a_printed_command_line_is_understood(arguments: str) -> None:
    """The command is there, and takes these flags; a name alone speaks of the command."""
    command, rest = _command(shlex.split(arguments))

    if rest:
        command.make_context(command.name, rest)


def test_every_command_is_in_the_documents() -> None:
    """Nothing that onehop can do is left for readers to find out."""
    assert {arguments.split()[0] for arguments in _printed()} == set(_group().commands)


def test_every_make_target_in_the_documents_exists() -> None:
    """And there are some."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    text = "\n".join(
        [*(span for page in pages() for span in spans(page))]
        + [block.text for block in blocks("console", "bash")]
    )
    printed = {match["target"] for match in _MAKE.finditer(text)}

    assert {"demo", "test"} <= printed <= targets


def test_every_module_in_the_documents_can_be_run() -> None:
    """`python -m` finds a `__main__`."""
    text = "\n".join([prose(page) for page in pages()] + [b.text for b in blocks("bash")])
    modules = {match["module"] for match in _MODULE.finditer(text)}

    assert modules
    for module in modules:
        assert importlib.util.find_spec(f"{module}.__main__") is not None
