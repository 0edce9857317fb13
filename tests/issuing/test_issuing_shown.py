"""A challenge in a handshake counts as answered once it was seen there."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from onehop.acme.port import AlpnAnswer
from onehop.acme.solver.solver import alpn_answer
from onehop.base.latest import Latest
from onehop.control.issuing.shown import Shown
from onehop.control.served import Served
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, challenge_certificate
from onehop.model.ident import ListenerId, RouterId
from onehop.model.listener import ForwardHttp, Listener, TlsChallenge
from onehop.model.model import Change
from tests.acme.pebble import free_ports
from tests.acme.responder import LiveResponder, serving

HOST = "one.example.com"
LISTENER = ListenerId("https@127.0.0.1")
TIMEOUT_S = 10.0


def challenged(answer: AlpnAnswer, port: int) -> Served:
    """Return what a data plane serves that has acknowledged an answer."""
    name = challenge_certificate(answer.host)
    leaf = x509.load_pem_x509_certificate(answer.chain_pem.encode())
    served = Served()
    certificate = Certificate(
        id=name,
        chain_pem=answer.chain_pem,
        key_pem=answer.key_pem,
        fingerprint=leaf.fingerprint(SHA256()).hex(),
        not_after=int(leaf.not_valid_after_utc.timestamp()),
    )
    challenge = TlsChallenge(hostname=answer.host, certificate=name)
    handler = ForwardHttp(router=RouterId("r"), tls=True, challenges=(challenge,))
    listener = Listener(
        id=LISTENER, owner=None, address=IpAddr("127.0.0.1"), port=port, handler=handler
    )
    served.take(Change((certificate, listener)))
    return served


@contextlib.asynccontextmanager
async def looking(
    served: Served, acknowledged: Latest[frozenset[str]], patience_s: float = TIMEOUT_S
) -> AsyncGenerator[Shown]:
    shown = Shown(served, acknowledged, patience_s=patience_s)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(shown.run())
        try:
            yield shown
        finally:
            running.cancel()


async def entries_of(shown: Shown) -> frozenset[str]:
    async with asyncio.timeout(TIMEOUT_S):
        return (await shown.entries.newer(0))[1]


async def test_an_acknowledgement_is_not_enough() -> None:
    """The CA is told to look only when the certificate is really shown."""
    http_port, tls_port = free_ports(2)
    answer, responder = alpn_answer(HOST, "token.thumbprint", now=time.time()), LiveResponder()
    acknowledged = Latest[frozenset[str]]()
    async with (
        serving(responder, http_port=http_port, tls_port=tls_port),
        looking(challenged(answer, tls_port), acknowledged) as shown,
    ):
        await responder.publish(alpn_answer(HOST, "older.thumbprint", now=time.time()))
        acknowledged.put(frozenset({"entry"}))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await shown.entries.newer(0)
        too_early = shown.entries.peek()
        await responder.publish(answer)

        assert await entries_of(shown) == {"entry"}
        assert too_early is None


async def test_a_listener_out_of_reach_holds_up_nothing_for_ever() -> None:
    """Perhaps the address is another machine's: the CA may still find it."""
    (port,) = free_ports(1)
    answer = alpn_answer(HOST, "token.thumbprint", now=time.time())
    acknowledged = Latest[frozenset[str]]()
    async with looking(challenged(answer, port), acknowledged, patience_s=0.2) as shown:
        acknowledged.put(frozenset({"entry"}))

        assert await entries_of(shown) == {"entry"}


async def test_without_handshakes_there_is_nothing_to_look_at() -> None:
    """Answers by HTTP are there with the acknowledgement."""
    acknowledged = Latest[frozenset[str]]()
    async with looking(Served(), acknowledged) as shown:
        acknowledged.put(frozenset({"one", "two"}))

        assert await entries_of(shown) == {"one", "two"}
