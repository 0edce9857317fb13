"""Facts of stories, and of anything."""

from io import StringIO
from pathlib import Path

import msgspec
from rich.console import Console

from onehop.cli.explain.tree import print_explanation, print_refusal
from onehop.compile.compiler import Compiler
from onehop.control.config import Config
from onehop.control.explain.explanation import Answer, Explanation
from onehop.control.explain.facts import Facts
from onehop.control.served import Served
from onehop.model.model import Change
from tests.test_scenarios import settled

SCENARIOS = Path(__file__).parents[1] / "scenarios"


def facts_of(compiler: Compiler, config: Config | None = None) -> Facts:
    """Return the facts of a program that serves all that was compiled."""
    served = Served()
    served.take(Change(tuple(compiler.model().rows())))
    return Facts(config=config or Config(), compiler=compiler, served=served, is_live=True)


def facts_of_story(name: str) -> Facts:
    """Return the facts at the end of a story of tests/scenarios."""
    return facts_of(settled(SCENARIOS / name))


def as_tree(answer: Answer, *, width: int = 200, show_all: bool = False) -> str:
    """Return what a terminal without colours shows."""
    out = StringIO()
    console = Console(file=out, width=width, highlight=False, color_system=None)
    if isinstance(answer, Explanation):
        print_explanation(console, answer, show_all=show_all)
    else:
        print_refusal(console, answer)
    return out.getvalue()


def as_json(answer: Answer) -> str:
    """Return the JSON that programs read, indented for people."""
    return msgspec.json.format(msgspec.json.encode(answer), indent=1).decode() + "\n"
