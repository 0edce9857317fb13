"""Real servers on loopback: Let's Encrypt's Pebble, and the DNS it asks."""

import contextlib
import itertools
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from onehop.base.child import bound_to_parent
from tests import ports
from tests.acme.minica import MiniCa, make_ca


class Pebble(NamedTuple):
    """A running CA.

    Attributes:
        http_port: where it looks for http-01, on the address that its DNS gives.
        tls_port: where it looks for tls-alpn-01.
        dns: the management interface of pebble-challtestsrv, or empty if other DNS was given.
        dns_port: where it answers queries, on loopback.
    """

    directory: str
    management: str
    http_port: int
    tls_port: int
    dns: str
    dns_port: int
    ca: MiniCa

    async def manage(self, path: str) -> Any:
        """Ask what Pebble tells its testers."""
        trust = ssl.create_default_context(cadata=self.ca.ca_pem)
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self.management}/{path}", ssl=trust) as response,
        ):
            return await response.text()

    async def set_dns(self, path: str, **body: Any) -> None:
        """Tell pebble-challtestsrv what to answer."""
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.dns}/{path}", json=body) as response,
        ):
            assert response.status == 200


@contextlib.contextmanager
def running_pebble(  # noqa: PLR0913  its knobs, by name
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    dns_server: str | None = None,
    dns_port: int | None = None,
    is_strict: bool = True,
    log: Path | None = None,
) -> Generator[Pebble]:
    """Start Pebble, with pebble-challtestsrv beside it unless another DNS server is given.

    Args:
        folder: for its files.
        env: over the quick and kind one of most tests.
        config: over what pebble.json says by default.
        dns_server: `address:port` that says where hosts lead, in place of pebble-challtestsrv.
        dns_port: of pebble-challtestsrv; any free one by default.
        is_strict: whether Pebble insists on what old clients forget.
        log: where Pebble writes what it is asked and does; None throws that away.
    """
    ca = make_ca(folder)
    acme, manage, http, tls, any_dns, dns_manage = free_ports(6)
    dns = dns_port or any_dns
    settings = {
        "listenAddress": f"127.0.0.1:{acme}",
        "managementListenAddress": f"127.0.0.1:{manage}",
        "certificate": str(ca.certificate),
        "privateKey": str(ca.key),
        "httpPort": http,
        "tlsPort": tls,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    } | dict(config or {})
    file = folder / "pebble.json"
    file.write_text(json.dumps({"pebble": settings}))
    strict = ("-strict",) if is_strict else ()
    command = ("pebble", "-config", str(file), *strict)
    command = (*command, "-dnsserver", dns_server or f"127.0.0.1:{dns}")
    challtestsrv = (
        "pebble-challtestsrv",
        *("-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01", f"127.0.0.1:{dns}"),
        *("-management", f"127.0.0.1:{dns_manage}", "-defaultIPv6", ""),
    )
    base_env = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
    with contextlib.ExitStack() as stack:
        if dns_server is None:
            stack.enter_context(running(challtestsrv, {}, dns_manage))
        stack.enter_context(running(command, base_env | dict(env or {}), acme, log=log))
        wait_for(manage)
        yield Pebble(
            directory=f"https://127.0.0.1:{acme}/dir",
            management=f"https://127.0.0.1:{manage}",
            http_port=http,
            tls_port=tls,
            dns="" if dns_server else f"http://127.0.0.1:{dns_manage}",
            dns_port=dns,
            ca=ca,
        )


@contextlib.contextmanager
def running(
    command: Sequence[str], env: Mapping[str, str], port: int, *, log: Path | None = None
) -> Generator[None]:
    """Have a program listening on a port of loopback, and gone afterwards."""
    with (
        (log or Path(os.devnull)).open("ab") as output,
        subprocess.Popen(
            bound_to_parent(command),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **env},
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            wait_for(port)
            yield
        finally:
            process.kill()


def wait_for(port: int) -> None:
    """Return when somebody accepts connections on the port."""
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on {port}"
            time.sleep(0.01)
        else:
            return


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, for TCP and UDP."""
    both = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    return list(itertools.islice(ports.free_ports("127.0.0.1", *both), count))
