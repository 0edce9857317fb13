"""`onehop status` and `onehop confirm`: asking the onehop that runs on this host."""

import asyncio
import sys
from typing import Final

import aiohttp
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onehop.base.errors import TransientError
from onehop.cli.cert_text import summary_text
from onehop.control.certificates.report import CertificateSummary
from onehop.control.config import Config
from onehop.control.configfile import control_socket
from onehop.control.overview import NetworkSnapshot, Snapshot, Switched

_TIMEOUT_S: Final = 5.0
_SWITCH_TIMEOUT_S: Final = 180.0


class _Confirmed(msgspec.Struct):
    confirmed: int


async def status(config: Config, *, as_json: bool) -> bool:
    """Print the state; return whether it is ready.

    Raises:
        TransientError: no onehop answers on this host.
    """
    body = await ask(config, "GET", "/status")
    snapshot = msgspec.json.decode(body, type=Snapshot)
    if as_json:
        sys.stdout.write(body.decode() + "\n")
    else:
        _print(snapshot)
    return snapshot.is_ready


async def drain(config: Config, *, undo: bool) -> bool:
    """Have the VIPs withdrawn, or announced again.

    Raises:
        TransientError: no onehop answers on this host.
    """
    timeout_s = config.bgp.drain_s + _TIMEOUT_S
    path = f"/drain?undo={'true' if undo else 'false'}"
    await ask(config, "POST", path, timeout_s=timeout_s)
    sys.stdout.write("announcing again\n" if undo else "drained: no VIP is announced any more\n")
    return True


async def switch(config: Config, *, force: bool) -> bool:
    """Have the data plane changed; return whether the one that is wanted serves.

    Raises:
        TransientError: no onehop answers on this host.
    """
    path = f"/switch?force={'true' if force else 'false'}"
    body = await ask(config, "POST", path, timeout_s=_SWITCH_TIMEOUT_S)
    outcome = msgspec.json.decode(body, type=Switched)
    sys.stdout.write(f"{outcome.said}\n")
    if outcome.restart:
        sys.stdout.write(f"waits for a restart: {', '.join(outcome.restart)}\n")
    return outcome.is_done


async def confirm(config: Config) -> bool:
    """Let withheld removals go.

    Raises:
        TransientError: no onehop answers on this host.
    """
    body = await ask(config, "POST", "/confirm")
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
        "endpoints": _counts(snapshot.network.endpoints),
        **_certificate_facts(snapshot.certificates),
        **_network_facts(snapshot.network),
        snapshot.driver: _told(snapshot.data_plane),
        **{f"{name} (beside)": _told(said) for name, said in snapshot.beside.items()},
        **({"switch": snapshot.switch} if snapshot.switch else {}),
    }
    for key, value in facts.items():
        table.add_row(f"[bold]{key}[/bold]", value)
    console.print(table)
    if snapshot.network.sessions:
        console.print(_sessions(snapshot.network))
    if snapshot.withheld:
        console.print(
            f"[yellow]kept back[/yellow] removals beyond the deletion budget:"
            f" {_counts(snapshot.withheld)}; if they are meant: onehop confirm"
        )
    for problem in snapshot.problems:
        console.print(f"{problem.severity}: {problem}", soft_wrap=True, markup=False)


def _told(said: dict[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in said.items())


def _certificate_facts(summary: CertificateSummary) -> dict[str, str]:
    if summary == CertificateSummary():
        return {}
    return {"certificates": summary_text(summary)}


def _network_facts(network: NetworkSnapshot) -> dict[str, str]:
    facts: dict[str, str] = {}
    if network.bird:
        up = sum(session.is_up for session in network.sessions)
        facts["bgp"] = f"BIRD {network.bird}, {up} of {len(network.sessions)} sessions established"
        facts["routes"] = ", ".join(f"{n} {kind}" for kind, n in network.findings.items()) or "good"
        facts["announced"] = ", ".join(network.announced) or "nothing"
    if network.is_draining:
        facts["draining"] = "yes; `onehop drain --undo` ends it"
    return facts


def _sessions(network: NetworkSnapshot) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("neighbor", "role", "address", "AS", "state", "learnt", "refused", "told"):
        table.add_column(title, no_wrap=True)
    for each in network.sessions:
        colour = "green" if each.is_up else "yellow"
        counts = (str(count) for count in (each.learnt, each.refused, each.told))
        state = f"[{colour}]{each.state}[/{colour}]"
        facts = (escape(each.name), each.role, each.address, str(each.asn), state)
        table.add_row(*facts, *counts)
    return table


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {table}" for table, count in sorted(counts.items())) or "nothing"


async def ask(config: Config, method: str, path: str, *, timeout_s: float = _TIMEOUT_S) -> bytes:
    """Return what the onehop that runs here answers on its control socket.

    Raises:
        TransientError: none does.
    """
    socket = control_socket(config)
    connector = aiohttp.UnixConnector(path=str(socket))
    try:
        async with (
            asyncio.timeout(timeout_s),
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"http://onehop{path}") as response,
        ):
            response.raise_for_status()
            return await response.read()
    except (aiohttp.ClientError, TimeoutError) as err:
        raise TransientError(
            f"no onehop answers at {socket}; is it running, and as this user? ({err})"
        ) from err
