"""A certificate by the bare protocol: one request after another, in one process, with no product.

No Kubernetes, nothing on disk, no limits, no second try: a key, six kinds of requests (RFC 8555,
section 7.1), an answer in a dictionary for the CA to find, and a TLS server that shows what came
back. It speaks through the product's own protocol client, so that what is compared is what lies
around the protocol, and not two ways to sign a request. The account is there beforehand.
"""

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final, TypeVar

from bench.child import ChildFailed
from onehop.acme.clock import SystemClock
from onehop.acme.issuer import Issuer, KeyType
from onehop.acme.key import new_key, signing_request
from onehop.acme.protocol.client import AcmeClient, read_directory
from onehop.acme.protocol.jws import new_account_key
from onehop.acme.protocol.transport import Transport
from onehop.acme.protocol.wire import AuthorizationStatus, OrderStatus
from onehop.acme.refusal import Refusal
from onehop.acme.saved import Account

T = TypeVar("T")

_EVERY_S: Final = 0.005
_PATIENCE_S: Final = 30.0
_WELL_KNOWN: Final = "/.well-known/acme-challenge/"


class BareAcme:
    """An account, and where its proofs and certificates are shown.

    Attributes:
        answers: to challenges, by token.
    """

    def __init__(self, client: AcmeClient) -> None:
        self._client = client
        self.answers: dict[str, str] = {}
        self._shown: dict[str, ssl.SSLContext] = {}

    async def issue(self, host: str) -> None:
        """Get a certificate for a host, and show it."""
        client, key = self._client, new_key(KeyType.ECDSA_P256)
        order = _done(await client.new_order((host,), profile=None, replaces=None))
        url = order.authorizations[0]
        challenge = next(
            one
            for one in _done(await client.authorization(url)).challenges
            if one.type == "http-01"
        )
        self.answers[challenge.token] = client.key.authorization(challenge.token)
        refusal = await client.ready(url, challenge)
        if refusal is not None:
            raise ChildFailed(str(refusal))
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                await asyncio.sleep(_EVERY_S)
                authorization = _done(await client.authorization(url))
                if authorization.status is AuthorizationStatus.VALID:
                    break
            order = _done(await client.finalize(order, signing_request((host,), key)))
            while order.status is not OrderStatus.VALID or order.certificate is None:
                await asyncio.sleep(_EVERY_S)
                order = _done(await client.order(order.url))
        chain, _ = _done(await client.chain(order.certificate))
        self.show(host, chain, key.reveal)

    def show(self, host: str, chain_pem: str, key_pem: str) -> None:
        """Show a certificate from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(key_pem + chain_pem)
            file.flush()
            context.load_cert_chain(Path(file.name))
        self._shown[host] = context

    def choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        """Show the certificate of a host (SNI)."""
        context = self._shown.get(name or "")
        if context is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = context
        return None

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request: with a key authorization where one is asked for, else with ok."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
            body = self.answers.get(path.removeprefix(_WELL_KNOWN), "ok")
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            writer.write((head + body).encode())
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def bare_acme(issuer: Issuer, address: str) -> AsyncGenerator[BareAcme]:
    """Open an account, and listen on ports 80 and 443 of an address."""
    trust = ssl.create_default_context(cadata=issuer.ca_pem)
    transport = Transport(SystemClock(), trust, patience_s=_PATIENCE_S)
    try:
        directory = await read_directory(transport, issuer.directory)
        account = Account(directory=issuer.directory, key_pem=new_account_key())
        client = AcmeClient(transport, directory, account.key_pem)
        _done(await client.open_account(issuer, account))
        bare = BareAcme(client)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = bare.choose
        plain = await asyncio.start_server(bare.answer, address, 80)
        tls = await asyncio.start_server(bare.answer, address, 443, ssl=context)
        async with plain, tls:
            yield bare
    finally:
        await transport.close()


def _done(answer: T | Refusal) -> T:
    if isinstance(answer, Refusal):
        raise ChildFailed(str(answer))
    return answer
