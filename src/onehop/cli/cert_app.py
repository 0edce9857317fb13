"""The commands below `onehop cert`, their arguments and flags.

Each imports what it needs by itself, as those of `app` do.
"""
# ruff: noqa: PLC0415  each command pays for its own imports

from typing import Annotated, TypeAlias

import typer

from onehop.cli.outcome import end
from onehop.cli.settings import ConfigOption, OutputOption, StateOption, read_config

cert = typer.Typer(
    help="Certificates: how they are, why, and new ones; asks the onehop that runs here.",
    no_args_is_help=True,
)

NameArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="SECRET|HOST", help="a Secret as namespace/name, or a host")
]
NamesArgument: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECRET|HOST]...", help="Secrets as namespace/name, or hosts"),
]


@cert.command(name="list")
def list_(
    config: ConfigOption = None, state: StateOption = None, output: OutputOption = "text"
) -> None:
    """List all certificates; exits 1 if one is failing, expired or missing."""
    from onehop.cli import cert as work

    end(work.list_all(read_config(config, state=state), as_json=output == "json"))


@cert.command()
def show(
    name: NameArgument,
    config: ConfigOption = None,
    state: StateOption = None,
    output: OutputOption = "text",
) -> None:
    """Show all there is to say of a Secret, or of those of a host."""
    from onehop.cli import cert as work

    end(work.show(read_config(config, state=state), name, as_json=output == "json"))


@cert.command()
def why(
    host: Annotated[str, typer.Argument(help="a host; '*' for names that nobody has")],
    config: ConfigOption = None,
    state: StateOption = None,
    output: OutputOption = "text",
) -> None:
    """Tell how a host comes to its certificate, or why it does not; exits 1 if it does not."""
    from onehop.cli import cert as work

    end(work.why(read_config(config, state=state), host, as_json=output == "json"))


@cert.command()
def issue(
    names: NamesArgument = None,
    config: ConfigOption = None,
    state: StateOption = None,
    output: OutputOption = "text",
) -> None:
    """Try again now what failed or waits, of these or of all; what the CA forbids still waits."""
    from onehop.cli import cert as work

    settings = read_config(config, state=state)
    end(work.issue(settings, names or [], as_json=output == "json"))


@cert.command()
def renew(
    names: NamesArgument = None,
    config: ConfigOption = None,
    state: StateOption = None,
    output: OutputOption = "text",
    *,
    renews_all: Annotated[bool, typer.Option("--all", help="all that onehop makes")] = False,
) -> None:
    """Get new certificates now, however good the old ones are."""
    from onehop.cli import cert as work

    settings = read_config(config, state=state)
    end(work.renew(settings, names or [], renews_all=renews_all, as_json=output == "json"))
