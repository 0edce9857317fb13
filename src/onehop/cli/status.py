"""`onehop status` and `onehop confirm`: asking the onehop that runs on this host."""

import sys

import aiohttp
import msgspec
from rich.console import Console
from rich.table import Table

from onehop.base.errors import TransientError
from onehop.control.config import Config
from onehop.control.configfile import control_socket
from onehop.control.overview import Snapshot

_TIMEOUT = aiohttp.ClientTimeout(total=5)


class _Confirmed(msgspec.Struct):
    confirmed: int


async def status(config: Config, *, as_json: bool) -> bool:
    """Print the state; return whether it is ready.

    Raises:
        TransientError: no onehop answers on this host.
    """
    body = await _ask(config, "GET", "/status")
    snapshot = msgspec.json.decode(body, type=Snapshot)
    if as_json:
        sys.stdout.write(body.decode() + "\n")
    else:
        _print(snapshot)
    return snapshot.is_ready


async def confirm(config: Config) -> bool:
    """Let withheld removals go.

    Raises:
        TransientError: no onehop answers on this host.
    """
    body = await _ask(config, "POST", "/confirm")
    count = msgspec.json.decode(body, type=_Confirmed).confirmed
    sys.stdout.write(f"{count} removals confirmed\n" if count else "nothing was kept back\n")
    return True


def _print(snapshot: Snapshot) -> None:
    console = Console(highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    facts = {
        "version": snapshot.version,
        "source": snapshot.source + ("" if snapshot.is_synced else " (not read completely yet)"),
        "ready": "yes" if snapshot.is_ready else "no",
        "leader": "yes" if snapshot.is_leader else "no",
        "served": _counts(snapshot.served),
        snapshot.driver: ", ".join(f"{key} {value}" for key, value in snapshot.data_plane.items()),
    }
    for key, value in facts.items():
        table.add_row(f"[bold]{key}[/bold]", value)
    console.print(table)
    if snapshot.withheld:
        console.print(
            f"[yellow]kept back[/yellow] removals beyond the deletion budget:"
            f" {_counts(snapshot.withheld)}; if they are meant: onehop confirm"
        )
    for problem in snapshot.problems:
        console.print(f"{problem.severity}: {problem}", soft_wrap=True, markup=False)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {table}" for table, count in sorted(counts.items())) or "nothing"


async def _ask(config: Config, method: str, path: str) -> bytes:
    socket = control_socket(config)
    connector = aiohttp.UnixConnector(path=str(socket))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session,
            session.request(method, f"http://onehop{path}") as response,
        ):
            response.raise_for_status()
            return await response.read()
    except (aiohttp.ClientError, TimeoutError) as err:
        raise TransientError(
            f"no onehop answers at {socket}; is it running, and as this user? ({err})"
        ) from err
