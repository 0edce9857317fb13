"""The commands below `onehop lab`, their arguments and flags.

Each imports what it needs by itself, as those of `app` do.
"""
# ruff: noqa: PLC0415  each command pays for its own imports

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from onehop.base.errors import ConfigError
from onehop.cli.outcome import end

lab = typer.Typer(
    help="A small data centre in network namespaces, to try things in; needs root.",
    no_args_is_help=True,
)

NameOption: TypeAlias = Annotated[
    str, typer.Option("--name", help="of the lab; namespaces begin with it")
]
WhatArgument: TypeAlias = Annotated[str, typer.Argument(help="a fault; see `onehop lab faults`")]
WhereArgument: TypeAlias = Annotated[str, typer.Argument(help="node2, lb1, echo-3")]
WhoArgument: TypeAlias = Annotated[str, typer.Argument(help="node2, lb1, api, client, echo-3")]
_DEFAULT = "ohlab"


@lab.command()
def up(  # noqa: PLR0913, PLR0917  the flags of a command line
    nodes: Annotated[int, typer.Option(help="nodes of the cluster")] = 3,
    pods: Annotated[int, typer.Option(help="Pods in all")] = 6,
    lbs: Annotated[int, typer.Option(help="load balancer hosts")] = 1,
    network: Annotated[
        Literal["calico", "static", "vxlan"],
        typer.Option(help="BGP as Calico speaks it, static routes, or an overlay as flannel's"),
    ] = "calico",
    asn: Annotated[int, typer.Option(help="the load balancers' AS number")] = 64512,
    name: NameOption = _DEFAULT,
    *,
    ipv6: Annotated[bool, typer.Option("--ipv6", help="IPv6 addresses as well")] = False,
    transparent: Annotated[
        bool, typer.Option("--transparent", help="lead the Pods' answers to clients back to lb1")
    ] = False,
) -> None:
    """Bring a lab up, with a sample application, and return when it serves."""
    from onehop.cli import lab as work
    from onehop.lab.world import Spec, Underlay

    try:
        spec = Spec(
            name=name,
            nodes=nodes,
            pods=pods,
            lbs=lbs,
            ipv6=ipv6,
            network=Underlay(network),
            asn=asn,
            transparent=transparent,
        )
    except ValueError as err:
        raise ConfigError(str(err)) from err
    end(work.up(spec))


@lab.command()
def down(name: NameOption = _DEFAULT) -> None:
    """Take the lab down: processes, namespaces, links and files."""
    from onehop.cli import lab as work

    end(work.down(name))


@lab.command()
def status(
    name: NameOption = _DEFAULT,
    output: Annotated[
        Literal["text", "json"], typer.Option("--output", "-o", help="for people or for programs")
    ] = "text",
) -> None:
    """Print who there is and how they are; exits 1 if something is broken."""
    from onehop.cli import lab as work

    end(work.status(name, as_json=output == "json"))


@lab.command()
def faults() -> None:
    """Print what can be broken, and where."""
    from onehop.cli import lab as work

    end(work.faults())


@lab.command(name="break")
def break_(what: WhatArgument, where: WhereArgument = "", name: NameOption = _DEFAULT) -> None:
    """Break something."""
    from onehop.cli import lab as work

    end(work.break_(name, what, where))


@lab.command()
def mend(
    what: Annotated[str, typer.Argument(help="a fault, or `all`")],
    where: WhereArgument = "",
    name: NameOption = _DEFAULT,
) -> None:
    """Mend what was broken."""
    from onehop.cli import lab as work

    end(work.mend(name, what, where))


@lab.command()
def flap(
    what: WhatArgument,
    where: WhereArgument = "",
    times: Annotated[int, typer.Option(min=1, help="how often")] = 10,
    name: NameOption = _DEFAULT,
) -> None:
    """Break something and mend it, over and over, a second each."""
    from onehop.cli import lab as work

    end(work.flap(name, what, where, times))


@lab.command()
def kill(
    who: WhoArgument,
    part: Annotated[
        Literal["itself", "bird", "envoy"],
        typer.Option(help="the program itself, or one that it has started"),
    ] = "itself",
    name: NameOption = _DEFAULT,
) -> None:
    """Kill a program without a word (signal 9)."""
    from onehop.cli import lab as work

    end(work.kill(name, who, "" if part == "itself" else part))


@lab.command()
def start(who: WhoArgument, name: NameOption = _DEFAULT) -> None:
    """Start a program that has ended."""
    from onehop.cli import lab as work

    end(work.start(name, who))


@lab.command()
def restart(who: WhoArgument, name: NameOption = _DEFAULT) -> None:
    """End a program in good order, and start it again."""
    from onehop.cli import lab as work

    end(work.restart(name, who))


@lab.command()
def drain(who: WhoArgument, name: NameOption = _DEFAULT) -> None:
    """Empty a node of its Pods, or let a load balancer go in good order."""
    from onehop.cli import lab as work

    end(work.drain(name, who))


@lab.command()
def undrain(who: WhoArgument, name: NameOption = _DEFAULT) -> None:
    """Let a drained node or load balancer take part again."""
    from onehop.cli import lab as work

    end(work.undrain(name, who))


@lab.command()
def add(
    what: Annotated[Literal["node", "pod"], typer.Argument(help="what to add")],
    node: Annotated[str | None, typer.Option(help="where the Pod shall run")] = None,
    name: NameOption = _DEFAULT,
) -> None:
    """Add a node or a Pod."""
    from onehop.cli import lab as work

    end(work.add(name, what, node))


@lab.command()
def remove(who: WhoArgument, name: NameOption = _DEFAULT) -> None:
    """Remove a node or a Pod."""
    from onehop.cli import lab as work

    end(work.remove(name, who))


@lab.command()
def scale(
    pods: Annotated[int, typer.Argument(min=0, help="how many")], name: NameOption = _DEFAULT
) -> None:
    """Have so many Pods."""
    from onehop.cli import lab as work

    end(work.scale(name, pods))


@lab.command(name="exec", context_settings={"ignore_unknown_options": True})
def exec_(who: WhoArgument, command: list[str], name: NameOption = _DEFAULT) -> None:
    """Run a command in the network of a host or a Pod: onehop lab exec node1 ip route."""
    from onehop.cli import lab as work

    work.enter(name, who, *command)


@lab.command()
def shell(who: WhoArgument, name: NameOption = _DEFAULT) -> None:
    """Open a shell in the network of a host or a Pod; `down` ends it."""
    from onehop.cli import lab as work

    work.enter(name, who)


@lab.command(context_settings={"ignore_unknown_options": True})
def curl(arguments: list[str], name: NameOption = _DEFAULT) -> None:
    """Run curl on the client: onehop lab curl -i http://203.0.113.10/."""
    from onehop.cli import lab as work

    work.enter(name, "client", "curl", "-sS", "--max-time", "10", "-w", "\n", *arguments)


@lab.command()
def bench(  # noqa: PLR0913, PLR0917  the flags of a command line
    rounds: Annotated[int | None, typer.Option(help="of every load on every way; 5")] = None,
    seconds: Annotated[float | None, typer.Option(help="for each load on a way; 0.8")] = None,
    driver: Annotated[
        list[str] | None, typer.Option(help="envoy (usual), haproxy or kernel; may be repeated")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="a file to draw it in")] = None,
    png: Annotated[Path | None, typer.Option(help="the same as a picture")] = None,
    name: Annotated[str, typer.Option("--name", help="of the lab it runs in")] = "ohbench",
    *,
    quick: Annotated[bool, typer.Option("--quick", help="less of it, in 40 seconds")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of Markdown")] = False,
) -> None:
    """Measure the four ways to a Pod side by side, in a lab of their own; takes two minutes.

    With several data planes, each has its turn in every round, and two minutes more.
    """
    from onehop.cli import lab_bench as work
    from onehop.lab.bench.plane import ENVOY, planes_of

    planes = planes_of(tuple(driver or (ENVOY.name,)))
    effort = work.effort(rounds, seconds, quick=quick)
    end(work.bench(name, effort, planes, as_json=as_json, svg=svg, png=png))
