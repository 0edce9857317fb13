"""What the tests of the Envoy driver share: addresses, backends, clients, certificates, rows."""

import asyncio
import contextlib
import datetime as dt
import hashlib
import os
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from onehop.acme.solver.solver import alpn_answer
from onehop.driver import Driver, Receipt
from onehop.driver.envoy import EnvoyDriver, EnvoyOptions
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, SecretText, ServerName, challenge_certificate
from onehop.model.endpoint import Endpoint, PoolEndpoints, Readiness, each_once
from onehop.model.ident import (
    CertificateId,
    HostId,
    ListenerId,
    ObjectRef,
    PoolId,
    RouterId,
)
from onehop.model.listener import ForwardHttp, Handler, Listener, Transport
from onehop.model.model import Model, Row, change_between, model_of
from onehop.model.pool import Pool
from onehop.model.route import Action, Forward, PathKind, PathMatch, PoolShare, Route, VirtualHost
from onehop.plan import make_plan
from tests.ports import free_ports

SERVICE = ObjectRef("Service", "shop", "web")
HTTP = RouterId("shared-http")
HTTPS = RouterId("shared-https")

PATIENCE_S = 30.0
"""How long is waited for what happens at once, on a machine that has time for it."""

# A loopback address of this process alone: its ports cannot be taken by another test run.
_pid = os.getpid()
ADDRESS = IpAddr(f"127.{1 + (_pid >> 16) % 250}.{(_pid >> 8) & 255}.{1 + (_pid & 255) % 254}")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that nobody has, on the address that nobody else uses."""
    return next(free_ports(ADDRESS, kind))


async def until(holds: Callable[[], Awaitable[bool]], timeout_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds, asking again and again."""
    async with asyncio.timeout(timeout_s):
        while not await holds():  # noqa: ASYNC110  the condition lies in another process
            await asyncio.sleep(0.01)


# Rows


def pool(name: str = "web", **fields: Any) -> Pool:
    return Pool(id=PoolId(f"shop/{name}:80"), service=SERVICE, port=80, **fields)


def endpoint(port: int, **fields: Any) -> Endpoint:
    return Endpoint(address=ADDRESS, port=port, **fields)


def draining(port: int) -> Endpoint:
    return endpoint(port, readiness=Readiness.DRAINING)


def members(of: Pool, *endpoints: Endpoint) -> PoolEndpoints:
    return PoolEndpoints(of.id, each_once(endpoints))


def listener(port: int, handler: Handler | None = None, **fields: Any) -> Listener:
    fields.setdefault("id", ListenerId(f"listener-{port}"))
    return Listener(
        owner=None,
        address=ADDRESS,
        port=port,
        handler=handler or ForwardHttp(router=HTTP),
        **fields,
    )


def udp_listener(port: int, handler: Handler, **fields: Any) -> Listener:
    return listener(port, handler, transport=Transport.UDP, **fields)


def prefix(path: str) -> PathMatch:
    return PathMatch(PathKind.PREFIX, path)


def exact(path: str) -> PathMatch:
    return PathMatch(PathKind.EXACT, path)


def route(action: Action, match: PathMatch | None = None, **fields: Any) -> Route:
    match = match or prefix("/")
    return Route(
        id=f"Ingress/shop/web {match.kind} {match.value}",
        owner=None,
        match=match,
        action=action,
        **fields,
    )


def forward(*pools: Pool, **fields: Any) -> Forward:
    return Forward(pools=tuple(PoolShare(each.id) for each in pools), **fields)


def host(name: str, *routes: Route, router: RouterId = HTTP) -> VirtualHost:
    return VirtualHost(id=HostId(f"{router}/{name}"), router=router, hostname=name, routes=routes)


class Identity(NamedTuple):
    """A certificate for our side, and what a client needs to trust it."""

    certificate: Certificate
    chain_pem: str


def identity(name: str, *hostnames: str) -> Identity:
    """Make a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in hostnames]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain = built.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    certificate = Certificate(
        id=CertificateId(f"shop/{name}"),
        chain_pem=chain,
        key_pem=SecretText(private),
        fingerprint=built.fingerprint(hashes.SHA256()).hex(),
        not_after=int(built.not_valid_after_utc.timestamp()),
    )
    return Identity(certificate, chain)


def server_name(hostname: str, of: Identity, router: RouterId = HTTPS) -> ServerName:
    return ServerName(router=router, hostname=hostname, certificate=of.certificate.id)


def challenge(hostname: str) -> Certificate:
    """Return what a CA shall be shown: with a critical extension that nobody else knows."""
    answer = alpn_answer(hostname, "token.thumbprint", now=time.time())
    return Certificate(
        id=challenge_certificate(hostname),
        chain_pem=answer.chain_pem,
        key_pem=answer.key_pem,
        fingerprint=hashlib.sha256(answer.chain_pem.encode()).hexdigest(),
        not_after=0,
    )


# The driver


class World(NamedTuple):
    """A driver that runs, and the way to bring it to a model."""

    driver: EnvoyDriver

    async def serve(self, *rows: Row) -> Receipt:
        """Make the rows all that is served; none of them is refused."""
        receipt = await self.offer(*rows)
        assert receipt.refused == ()
        return receipt

    async def offer(self, *rows: Row) -> Receipt:
        """Make the rows all that is wanted."""
        return await bring_to(self.driver, model_of(rows))


async def bring_to(driver: Driver, want: Model) -> Receipt:
    return await driver.apply(make_plan(change_between(await driver.read_back(), want)))


@asynccontextmanager
async def envoy(**options: Any) -> AsyncGenerator[World]:
    """Run an Envoy with one worker, in a directory whose path is short enough for a socket."""
    options.setdefault("concurrency", 1)
    options.setdefault("drain_grace_s", 1.0)
    options.setdefault("stop_grace_s", 0.0)
    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:
        driver = EnvoyDriver(EnvoyOptions(state_dir=Path(folder) / "envoy", **options))
        async with driver.running():
            yield World(driver)


# Backends


class Backend(NamedTuple):
    """An HTTP/1.1 server that answers with its name, and tells what it was asked."""

    name: str
    port: int
    requests: list[str]
    """Head of each request, as it arrived."""
    bodies: list[bytes]
    clients: list[Any]
    """Who made each connection, as its socket says."""

    @property
    def endpoint(self) -> Endpoint:
        return endpoint(self.port)


@asynccontextmanager
async def backend(
    name: str, *, status: int = 200, delay_s: float = 0.0, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Backend]:
    """Serve HTTP/1.1 with keep-alive until the context is left."""
    requests: list[str] = []
    bodies: list[bytes] = []
    clients: list[Any] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.append(writer.get_extra_info("peername"))
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                requests.append(head)
                bodies.append(await _read_body(reader, head))
                await asyncio.sleep(delay_s)
                text = f"HTTP/1.1 {status} X\r\ncontent-length: {len(name)}\r\n\r\n{name}"
                writer.write(text.encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with tcp_server(answer, tls=tls) as port:
        yield Backend(name, port, requests, bodies, clients)


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def tcp_server(
    answer: Answer,
    *,
    tls: ssl.SSLContext | None = None,
    address: str = ADDRESS,
    port: int = 0,
    bound: socket.socket | None = None,
) -> AsyncGenerator[int]:
    """Serve connections until the context is left, and yield the port; none is left open then.

    A socket that is `bound` already takes the place of an address and a port.
    """
    made: dict[asyncio.Future[None], asyncio.StreamWriter] = {}

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = asyncio.ensure_future(answer(reader, writer))
        made[answered] = writer
        answered.add_done_callback(lambda _: writer.close())

    there: dict[str, Any] = {"sock": bound} if bound else {"host": address, "port": port}
    server = await asyncio.start_server(accept, ssl=tls, **there)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for answered in made:
            answered.cancel()
        await asyncio.wait(made) if made else None
        for writer in made.values():
            writer.transport.abort()  # TLS would wait for the other side to close it as well
        await asyncio.sleep(0)  # the loop closes what is aborted


async def _read_body(reader: asyncio.StreamReader, head: str) -> bytes:
    headers = headers_of(head)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while (size := int(await reader.readline(), 16)) > 0:
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    return body


# Clients


class Reply(NamedTuple):
    """An HTTP/1.1 response."""

    status: int
    headers: dict[str, str]
    body: str


def headers_of(head: str) -> dict[str, str]:
    """Return the headers of a request's or response's head, names in lower case."""
    lines = (line.partition(":") for line in head.split("\r\n")[1:] if line)
    return {name.lower(): value.strip() for name, _, value in lines}


class Client:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(
        self,
        name: str,
        path: str = "/",
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> Reply:
        """Send one request, and return its response."""
        lines = [f"{method} {path} HTTP/1.1", f"host: {name}"]
        lines += [f"{key}: {value}" for key, value in (headers or {}).items()]
        if body:
            lines.append(f"content-length: {len(body)}")
        self.writer.write("\r\n".join((*lines, "", "")).encode() + body)
        return await self.reply()

    async def reply(self) -> Reply:
        """Read one response."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            answer = await _read_body(self.reader, head)
        return Reply(int(head.split(" ", 2)[1]), headers_of(head), answer.decode())


@asynccontextmanager
async def connected(
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    sni: str | None = None,
    source: str | None = None,
    preface: bytes = b"",
) -> AsyncGenerator[Client]:
    """Open a connection, over TLS if there is a context for it."""
    local = (source, 0) if source else None
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(
            ADDRESS, port, ssl=tls, server_hostname=sni if tls else None, local_addr=local
        )
    try:
        writer.write(preface)
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):  # with TLS, the other side has a moment to close it, too
            async with asyncio.timeout(1.0):
                await writer.wait_closed()
        writer.transport.abort()


async def get(port: int, name: str, path: str = "/", **headers: str) -> Reply:
    """Ask once, on a connection of its own."""
    async with connected(port) as client:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return await client.ask(name, path, headers=named)


def trusting(*chains_pem: str, alpn: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
    """Return a client context that trusts these certificates alone."""
    context = ssl.create_default_context(cadata="\n".join(chains_pem))
    context.set_alpn_protocols(list(alpn))
    return context
