"""`onehop demo`: the sample shop, served on loopback, with requests that show what happens."""

import asyncio
import contextlib
import shutil
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncGenerator
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from rich import box
from rich.console import Console
from rich.table import Column, Table

from onehop.base.errors import TransientError
from onehop.cli.demo_https import Door, ask_for_https, show_https, wait_for_https
from onehop.control.acmeconfig import AcmeConfig, IssuerConfig
from onehop.control.config import (
    AddressesConfig,
    BindConfig,
    ClusterConfig,
    Config,
    PoolConfig,
    PortsConfig,
)
from onehop.control.program import Program, open_program
from onehop.lab.ca import Ca, CaOptions, running_ca
from onehop.lab.pod import Answer, serve_http, serve_tcp, serve_udp
from onehop.telemetry.log import configure_logging

HTTP_PORT: Final = 18080
HTTPS_PORT: Final = 18443
VIP: Final = "127.0.0.1"
TCP_VIP: Final = ("127.0.20.2", 15672)
UDP_VIP: Final = ("127.0.20.1", 15353)
CERTIFICATE_S: Final = 600.0
"""How long certificates of the demo live: renewals come while one is still looking."""

# name -> pod addresses, as in examples/shop
_HTTP_PODS: Final = {"web": ("127.0.11.1", "127.0.11.2"), "api": ("127.0.12.1", "127.0.12.2")}
_TCP_PODS: Final = ("127.0.13.1", "127.0.13.2")
_UDP_PODS: Final = ("127.0.14.1", "127.0.14.2")

_CA: Final = CaOptions(
    target=VIP, http_port=HTTP_PORT, tls_port=HTTPS_PORT, lifetime_s=CERTIFICATE_S
)
"""It looks at the demo's address, as Let's Encrypt looks at yours."""

_READY_TIMEOUT_S: Final = 30.0
_REQUESTS: Final = (
    ("shop.example.com", "/"),
    ("shop.example.com", "/"),
    ("shop.example.com", "/api/orders"),
    ("api.example.com", "/v1/items?size=3"),
    ("nobody.example.com", "/"),
)


async def demo(*, once: bool) -> bool:
    """Serve the sample shop, show requests, then stay up until Ctrl-C unless `once`.

    Raises:
        ConfigError: a port or address of the demo is taken.
        TransientError: the data plane does not come up, or a sample request fails.
    """
    configure_logging(level="error")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with _sample_pods(), _sample_program() as (program, folder, tasks):
        running = tasks.create_task(program.run())
        async with asyncio.timeout(_READY_TIMEOUT_S):
            await program.wait_ready()
        await _show(console)
        await _show_https(console, folder)
        if not once:
            _say_what_to_try(console, folder)
            await ended.wait()
        running.cancel()
    return True


async def _show_https(console: Console, folder: Path) -> None:
    trust = ssl.create_default_context(cafile=_root(folder))
    door = Door(VIP, HTTPS_PORT, trust)
    ask_for_https(folder / "shop.yaml")
    await show_https(console, door, await wait_for_https(door))


def _say_what_to_try(console: Console, folder: Path) -> None:
    """Print commands in lines that can be copied, however narrow the terminal is."""
    place = f"shop.example.com:{HTTPS_PORT}"
    console.print(
        f"\nServing until Ctrl-C. Edit the YAML files in [bold]{folder}[/bold] and see:\n"
        f"  curl -H 'Host: shop.example.com' http://{VIP}:{HTTP_PORT}/\n"
        f"  curl --cacert {_root(folder)} --resolve {place}:{VIP} https://{place}/\n"
        f"\nCertificates live for {CERTIFICATE_S / 60:.0f} minutes here, and are renewed by"
        " themselves before that.\n",
        soft_wrap=True,
    )


@contextlib.asynccontextmanager
async def _sample_pods() -> AsyncGenerator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for app, addresses in _HTTP_PODS.items():
            for number, address in enumerate(addresses, 1):
                await stack.enter_async_context(serve_http(app, f"{app}-{number}", address, 8080))
        for number, address in enumerate(_TCP_PODS, 1):
            await stack.enter_async_context(serve_tcp(f"queue-{number}", address, 5672))
        for number, address in enumerate(_UDP_PODS, 1):
            await stack.enter_async_context(serve_udp(f"dns-{number}", address, 5353))
        yield


@contextlib.asynccontextmanager
async def _sample_program() -> AsyncGenerator[tuple[Program, Path, asyncio.TaskGroup]]:
    with tempfile.TemporaryDirectory(prefix="onehop-demo-") as name:
        folder = Path(name) / "shop"
        with resources.as_file(resources.files("onehop.lab") / "shop") as examples:
            shutil.copytree(examples, folder)
        async with running_ca(_CA) as ca:
            _root(folder).write_text(ca.root_pem)
            async with (
                open_program(_config(folder, Path(name) / "state", ca)) as program,
                asyncio.TaskGroup() as tasks,
            ):
                yield program, folder, tasks


def _root(manifests: Path) -> Path:
    """Return where the root of the demo's CA is, beside the manifests."""
    return manifests.parent / "test-ca.pem"


def _config(manifests: Path, state: Path, ca: Ca) -> Config:
    """Return the configuration of the demo: loopback addresses and high ports, no root."""
    issuer = IssuerConfig(name="test-ca", directory=ca.directory, ca_file=str(_root(manifests)))
    return Config(
        cluster=ClusterConfig(manifests=str(manifests), allow_loopback=True),
        addresses=AddressesConfig(
            shared=VIP,
            pools=(PoolConfig(name="local", cidrs=("127.0.20.1-127.0.20.99",)),),
            bind=BindConfig(none=True),
        ),
        ports=PortsConfig(http=HTTP_PORT, https=HTTPS_PORT),
        # No resolver knows the hosts of the demo, so there is nothing to look at beforehand.
        acme=AcmeConfig(issuers=(issuer,), preflight=False),
        state=str(state),
    )


async def _show(console: Console) -> None:
    table = Table(Column("request", overflow="fold"), "answer", "Pod", box=box.SIMPLE_HEAD)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        for host, path in _REQUESTS:
            url = f"http://{VIP}:{HTTP_PORT}{path}"
            async with session.get(url, headers={"Host": host}) as response:
                body = await response.read()
            request = f"GET http://{host}{path}"
            if response.status == HTTPStatus.OK:
                answer = msgspec.json.decode(body, type=Answer)
                table.add_row(request, f"200, {answer.app} saw {answer.path}", answer.pod)
            else:
                table.add_row(request, f"{response.status}, no rule takes it", "-")
    for name, (address, port), said in (
        ("TCP", TCP_VIP, await _ask_tcp()),
        ("UDP", UDP_VIP, await _ask_udp()),
    ):
        table.add_row(f"{name} {address}:{port}", said, said.partition(" ")[0])
    console.print("\nEvery request takes one hop: client -> onehop (Envoy) -> Pod")
    console.print(table)


async def _ask_tcp() -> str:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(*TCP_VIP)
        line = await reader.readline()
        writer.close()
    if not line:
        raise TransientError(f"no answer from the TCP Service at {TCP_VIP}")
    return line.decode().strip()


async def _ask_udp() -> str:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(UDP_VIP)
        async with asyncio.timeout(5):
            await loop.sock_sendall(client, b"ping")
            return (await loop.sock_recv(client, 2048)).decode()
