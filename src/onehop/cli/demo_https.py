"""The demo's second half: the sample Ingress asks for HTTPS, and gets it from a CA of its own."""

import asyncio
import ssl
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import yaml
from rich import box
from rich.console import Console
from rich.table import Column, Table

from onehop.base.errors import TransientError
from onehop.lab.pod import Answer

SECRET: Final = "shop-tls"  # noqa: S105  its name
_ISSUED_TIMEOUT_S: Final = 30.0
_LOOK_S: Final = 0.01
_REQUESTS: Final = (("shop.example.com", "/"), ("api.example.com", "/"))


class Door(msgspec.Struct, frozen=True):
    """Where HTTPS is served.

    Attributes:
        trust: of a client that believes the demo's CA and nobody else.
    """

    address: str
    port: int
    trust: ssl.SSLContext


def ask_for_https(manifest: Path) -> None:
    """Add to the Ingress of a manifest what a user would: `spec.tls` and the annotation.

    Written beside the folder and moved into it, so that nobody reads half of it.
    """
    documents: list[Any] = list(yaml.safe_load_all(manifest.read_text(encoding="utf-8")))
    for document in documents:
        if document["kind"] == "Ingress":
            hosts = [rule["host"] for rule in document["spec"]["rules"]]
            document["metadata"]["annotations"]["onehop.dev/acme"] = "true"
            document["spec"]["tls"] = [{"hosts": hosts, "secretName": SECRET}]
    changed = manifest.parent.parent / f"{manifest.name}.new"
    changed.write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")
    changed.replace(manifest)


async def wait_for_https(door: Door) -> float:
    """Return how many seconds it took until all hosts are served with certificates to trust.

    Raises:
        TransientError: that takes too long.
    """
    begun = time.monotonic()
    fault: OSError | None = None
    try:
        async with asyncio.timeout(_ISSUED_TIMEOUT_S):
            for host, _ in _REQUESTS:
                fault = await _fault_of(door, host)
                while fault is not None:
                    await asyncio.sleep(_LOOK_S)
                    fault = await _fault_of(door, host)
    except TimeoutError as err:
        raise TransientError(
            f"no HTTPS within {_ISSUED_TIMEOUT_S:.0f} s of the Ingress that asked for it: {fault}"
        ) from err
    return time.monotonic() - begun


async def show_https(console: Console, door: Door, took_s: float) -> None:
    """Print sample requests with the certificates that they met."""
    columns = (Column("request", overflow="fold"), "answer", "Pod", "certificate by")
    table = Table(*columns, box=box.SIMPLE_HEAD)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        for host, path in _REQUESTS:
            async with session.get(
                f"https://{door.address}:{door.port}{path}",
                headers={"Host": host},
                ssl=door.trust,
                server_hostname=host,
            ) as response:
                response.raise_for_status()
                answer = msgspec.json.decode(await response.read(), type=Answer)
            said = f"{response.status}, {answer.app} saw {answer.path}"
            table.add_row(f"GET https://{host}{path}", said, answer.pod, await _signer(door, host))
    console.print(
        "Then the Ingress asked for HTTPS, by spec.tls and `onehop.dev/acme`. onehop ordered a"
        f"\ncertificate from a test CA inside the demo; HTTPS was there {took_s:.2f} s later:"
    )
    console.print(table)


async def _fault_of(door: Door, host: str) -> OSError | None:
    """Return what keeps a client from HTTPS, if anything does."""
    try:
        await _signer(door, host)
    except OSError as err:
        return err
    return None


async def _signer(door: Door, host: str) -> str:
    """Return who has signed the certificate that a host shows."""
    _, writer = await asyncio.open_connection(
        door.address, door.port, ssl=door.trust, server_hostname=host
    )
    try:
        shown = writer.get_extra_info("peercert")
    finally:
        writer.close()
    names = [str(value) for part in shown["issuer"] for name, value in part if name == "commonName"]
    return ", ".join(names)
