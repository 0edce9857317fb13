"""`onehop check`: the preflight, as a list or as JSON."""

import sys

import msgspec
from rich.console import Console

from onehop.control.config import Config
from onehop.control.preflight import preflight


async def check(config: Config, *, as_json: bool) -> bool:
    """Print the findings; return whether all are good."""
    findings = [finding async for finding in preflight(config)]
    if as_json:
        sys.stdout.write(msgspec.json.encode(findings).decode() + "\n")
    else:
        console = Console(highlight=False)
        for finding in findings:
            sign = "[green]ok  [/green]" if finding.is_good else "[red]FAIL[/red]"
            console.print(f"{sign} [bold]{finding.check}[/bold]: {finding.said}", soft_wrap=True)
            if finding.advice:
                console.print(f"     -> {finding.advice}", soft_wrap=True)
    return all(finding.is_good for finding in findings)
