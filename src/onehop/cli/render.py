"""`onehop render`: what would be, stage by stage of the compiler's work."""

import sys
from typing import Any

import msgspec
import yaml

from onehop.control.config import Config
from onehop.control.once import compile_once
from onehop.control.planes import render_data_plane
from onehop.model.certificate import REDACTED, SecretText


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
