"""`onehop render` and `onehop plan`: what would be, without doing it."""

import sys
from typing import Any

import msgspec
import yaml
from rich.console import Console

from onehop.control.config import Config
from onehop.control.configfile import state_directory
from onehop.control.memory import Memory
from onehop.control.once import compile_once
from onehop.control.planes import render_data_plane
from onehop.control.sources import source_name
from onehop.model.certificate import REDACTED, SecretText
from onehop.model.model import change_between, key_of, model_of
from onehop.plan import make_plan


async def render(config: Config, what: str) -> bool:
    """Print one stage of the compiler's work as YAML."""
    compiled = await compile_once(config)
    match what:
        case "model":
            _print_yaml(compiled.model)
        case "problems":
            _print_yaml(compiled.problems)
        case _:
            _print_yaml(render_data_plane(compiled.model, config))
    for problem in compiled.problems:
        sys.stderr.write(f"# {problem}\n")
    return True


async def plan(config: Config) -> bool:
    """Print the way from what is served to what would be served, stage by stage."""
    compiled = await compile_once(config)
    have = model_of(Memory(state_directory(config), source_name(config)).load().rows)
    change = change_between(have, compiled.model)
    console = Console(highlight=False)
    if not change:
        console.print("nothing would change")
    known = {key_of(row) for row in have.rows()}
    for stage in make_plan(change).stages:
        console.print(f"[bold]{stage.kind}[/bold]")
        for row in stage.put:
            key = key_of(row)
            sign = "[yellow]~[/yellow]" if key in known else "[green]+[/green]"
            console.print(f"  {sign} {key.table} {key.id}", soft_wrap=True)
        for key in stage.remove:
            console.print(f"  [red]-[/red] {key.table} {key.id}", soft_wrap=True)
    for problem in compiled.problems:
        console.print(f"[red]![/red] {problem}", soft_wrap=True, markup=False)
    return True


def _print_yaml(value: Any) -> None:
    plain = msgspec.to_builtins(value, enc_hook=str)
    yaml.dump(_redacted(plain), sys.stdout, Dumper=yaml.CSafeDumper, sort_keys=False, width=100)


def _redacted(value: Any) -> Any:
    """Return the value without private keys: a `SecretText` has become `{reveal: ...}`."""
    if isinstance(value, dict):
        if set(value) == set(SecretText.__struct_fields__):
            return REDACTED
        return {key: _redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    return value
