"""A load balancer of two sockets: one answers http-01, the other tls-alpn-01."""

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from onehop.acme.port import AlpnAnswer, HttpAnswer, ResponderAnswer


class LiveResponder:
    """Answers for what is published.

    Attributes:
        published: in order, withdrawn ones included.
        heard: told of each.
    """

    def __init__(self) -> None:
        self.http: dict[tuple[str, str], str] = {}
        self.alpn: dict[str, ssl.SSLContext] = {}
        self.published: list[ResponderAnswer] = []
        self.heard: Callable[[ResponderAnswer], None] = lambda _: None

    async def publish(self, answer: ResponderAnswer) -> None:
        self.published.append(answer)
        self.heard(answer)
        match answer:
            case HttpAnswer():
                self.http[answer.host, answer.token] = answer.body
            case AlpnAnswer():
                self.alpn[answer.host] = await asyncio.to_thread(_context, answer)

    async def ready(self, answer: ResponderAnswer) -> None:
        del answer  # there is one host, and it answers

    async def withdraw(self, answer: ResponderAnswer) -> None:
        match answer:
            case HttpAnswer():
                self.http.pop((answer.host, answer.token), None)
            case AlpnAnswer():
                self.alpn.pop(answer.host, None)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is published."""
        return not self.http and not self.alpn

    async def serve_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            host = {name.lower(): value for name, value in headers.items()}["host"]
            token = path.removeprefix("/.well-known/acme-challenge/")
            body = self.http.get((host.partition(":")[0], token))
            status = "404 Not Found" if body is None else "200 OK"
            said = (body or "no such token").encode()
            lines = f"HTTP/1.1 {status}\r\nContent-Length: {len(said)}\r\nConnection: close\r\n\r\n"
            writer.write(lines.encode() + said)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving(
    responder: LiveResponder, *, http_port: int, tls_port: int
) -> AsyncGenerator[None]:
    """Have the responder listen on loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["acme-tls/1"])

    def choose(socket: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        chosen = responder.alpn.get(name or "")
        if chosen is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        socket.context = chosen
        return None

    context.sni_callback = choose

    async def shake(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    http = await asyncio.start_server(responder.serve_http, "127.0.0.1", http_port)
    tls = await asyncio.start_server(shake, "127.0.0.1", tls_port, ssl=context)
    try:
        yield
    finally:
        for server in (http, tls):
            server.close()
            await server.wait_closed()


def _context(answer: AlpnAnswer) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["acme-tls/1"])
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(answer.key_pem.reveal + answer.chain_pem)
        file.flush()
        context.load_cert_chain(Path(file.name))
    return context
