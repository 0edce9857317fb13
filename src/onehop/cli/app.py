"""The commands, their flags, and what their ends mean.

Each command imports what it needs by itself: `onehop version` shall not wait for an Envoy's
protobufs and a Kubernetes client.
"""

import gc
import sys
from functools import partial
from typing import Annotated, Literal

import typer

import onehop
from onehop.base.errors import ConfigError
from onehop.cli.cert_app import cert
from onehop.cli.lab_app import lab
from onehop.cli.outcome import WRONG_USE
from onehop.cli.outcome import end as _end
from onehop.cli.outcome import say as _say
from onehop.cli.settings import (
    ConfigOption,
    KubeconfigOption,
    ManifestsOption,
    OutputOption,
    StateOption,
    read_config,
)

app = typer.Typer(
    name="onehop",
    help="An external load balancer for Kubernetes that goes straight to the Pods.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cert, name="cert")
app.add_typer(lab, name="lab")
bgp = typer.Typer(help="The sessions between this host and the cluster.", no_args_is_help=True)
app.add_typer(bgp, name="bgp")


@app.command()
def run(
    config: ConfigOption = None,
    manifests: ManifestsOption = None,
    kubeconfig: KubeconfigOption = None,
    state: StateOption = None,
) -> None:
    """Serve, until SIGTERM or Ctrl-C."""
    from onehop.cli import run as run_command

    reread = partial(read_config, config, manifests=manifests, kubeconfig=kubeconfig, state=state)
    _end(run_command.serve(reread(), reread))


@app.command()
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="end after the sample requests")] = False,
) -> None:
    """Serve a sample shop on loopback, with sample requests, until Ctrl-C."""
    from onehop.cli import demo as demo_command

    _end(demo_command.demo(once=once))


@app.command()
def render(
    config: ConfigOption = None,
    manifests: ManifestsOption = None,
    kubeconfig: KubeconfigOption = None,
    what: Annotated[
        Literal["data-plane", "model", "problems"], typer.Argument(help="which stage to print")
    ] = "data-plane",
    driver: Annotated[
        Literal["envoy", "haproxy", "vtm"] | None,
        typer.Option(help="which data plane, in place of dataPlane.driver"),
    ] = None,
) -> None:
    """Print what the data plane would get, as YAML; private keys are left out."""
    from onehop.cli import render as render_command

    settings = read_config(config, manifests=manifests, kubeconfig=kubeconfig, driver=driver)
    _end(render_command.render(settings, what))


@app.command()
def plan(  # noqa: PLR0913  its flags
    config: ConfigOption = None,
    manifests: ManifestsOption = None,
    kubeconfig: KubeconfigOption = None,
    state: StateOption = None,
    *,
    driver: Annotated[
        Literal["envoy", "haproxy", "vtm"] | None,
        typer.Option(help="what would be different if this data plane served"),
    ] = None,
    output: OutputOption = "text",
) -> None:
    """Print what would change, against what is served now (the last known good).

    With --driver, or if the file names another data plane than the one that runs: what a switch to
    it would mean; exits 1 if something would be lost.
    """
    from onehop.cli import plan as plan_command

    settings = read_config(config, manifests=manifests, kubeconfig=kubeconfig, state=state)
    _end(plan_command.plan(settings, driver, as_json=output == "json"))


@app.command()
def status(
    config: ConfigOption = None, state: StateOption = None, output: OutputOption = "text"
) -> None:
    """Print the state of the onehop that runs here; exits 1 if it is not ready."""
    from onehop.cli import status as status_command

    _end(status_command.status(read_config(config, state=state), as_json=output == "json"))


@app.command()
def explain(  # noqa: PLR0913  its flags
    target: Annotated[
        str,
        typer.Argument(help="a URL, or KIND/NS/NAME of a Service, Ingress, route"),
    ],
    config: ConfigOption = None,
    manifests: ManifestsOption = None,
    state: StateOption = None,
    output: Annotated[
        Literal["text", "json", "svg"],
        typer.Option("--output", "-o", help="a tree, data for programs, or a drawing"),
    ] = "text",
    *,
    show_all: Annotated[bool, typer.Option("--all", help="leave nothing out of the tree")] = False,
) -> None:
    """Show the way from a client to each Pod, and why it is that one; exits 1 if there is none.

    With --manifests nobody is asked: it shows what would be, by this host's routes.
    """
    settings = read_config(config, manifests=manifests, state=state)
    if manifests is None:
        from onehop.cli.explain.command import explain as ask_and_show

        _end(ask_and_show(settings, target, output, show_all=show_all))
    else:
        from onehop.cli.explain.offline import explain_offline

        _end(explain_offline(settings, target, output, show_all=show_all))


@app.command()
def confirm(config: ConfigOption = None, state: StateOption = None) -> None:
    """Let go what the deletion budget keeps back (see `onehop status`)."""
    from onehop.cli import status as status_command

    _end(status_command.confirm(read_config(config, state=state)))


@app.command()
def switch(
    config: ConfigOption = None,
    state: StateOption = None,
    *,
    force: Annotated[
        bool,
        typer.Option("--force", help="lose what the new one refuses; leave a vTM that is gone"),
    ] = False,
) -> None:
    """Have the data plane that the configuration names now take over; no connection is lost.

    See first what would be different: onehop plan --driver NAME.
    """
    from onehop.cli import status as status_command

    _end(status_command.switch(read_config(config, state=state), force=force))


@app.command()
def drain(
    config: ConfigOption = None,
    state: StateOption = None,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="announce the VIPs again")] = False,
) -> None:
    """Withdraw this host's VIPs from routers upstream; what is connected is served on."""
    from onehop.cli import status as status_command

    _end(status_command.drain(read_config(config, state=state), undo=undo))


@bgp.command()
def peers(
    config: ConfigOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = "text",
    *,
    apply: Annotated[bool, typer.Option("--apply", help="create or update them")] = False,
) -> None:
    """Print the objects that make Calico or Cilium accept this host as a BGP neighbour."""
    from onehop.cli import bgp as bgp_command

    settings = read_config(config, kubeconfig=kubeconfig)
    _end(bgp_command.peers(settings, apply=apply, output=output))


@app.command()
def check(
    config: ConfigOption = None,
    manifests: ManifestsOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = "text",
) -> None:
    """Look for what would keep onehop from working here: rights, ports, addresses, objects."""
    from onehop.cli import check as check_command

    settings = read_config(config, manifests=manifests, kubeconfig=kubeconfig)
    _end(check_command.check(settings, as_json=output == "json"))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"onehop {onehop.__version__}")


def main() -> None:
    """Run the command line."""
    # Imports leave no cycles behind; a program that lives on turns it on again (control.garbage).
    gc.disable()
    try:
        app()
    except ConfigError as err:
        _say(err)
        sys.exit(WRONG_USE)
