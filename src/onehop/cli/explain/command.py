"""Asking for an explanation, and showing it."""

import sys
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import msgspec
from rich.console import Console

from onehop.base.errors import ConfigError
from onehop.cli.explain.drawing import draw
from onehop.cli.explain.tree import print_explanation, print_refusal
from onehop.cli.status import ask
from onehop.control.config import Config
from onehop.control.explain.explanation import Answer, Refusal

Form: TypeAlias = Literal["text", "json", "svg"]


async def explain(config: Config, target: str, form: Form, *, show_all: bool) -> bool:
    """Print the way to a target, by the program that runs; return whether something serves it.

    Args:
        config: says where the running program answers.
        target: see `control.explain.target`.
        form: a tree, a drawing, or data.
        show_all: nodes, Pods and rules, however many.

    Raises:
        ConfigError: no target is written like that.
        TransientError: no onehop answers on this host.
    """
    body = await ask(config, "GET", f"/explain?target={quote(target, safe='')}")
    # Any: a union is no type to a type checker, though msgspec decodes it.
    kinds: Any = Answer
    return show(msgspec.json.decode(body, type=kinds), form, show_all=show_all)


def show(answer: Answer, form: Form, *, show_all: bool) -> bool:
    """Print an answer; return whether something serves the target.

    Raises:
        ConfigError: no target is written like that.
    """
    if form == "json":
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    if isinstance(answer, Refusal):
        if answer.is_wrong_use:
            raise ConfigError(answer.message)
        if form != "json":
            print_refusal(Console(stderr=True, highlight=False), answer)
        return False
    if form == "svg":
        sys.stdout.write(draw(answer))
    elif form == "text":
        print_explanation(Console(highlight=False), answer, show_all=show_all)
    return answer.unserved is None
