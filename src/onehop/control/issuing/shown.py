"""What CAs are really shown by this host, in a handshake of our own.

A data plane acknowledges a listener before the last of its workers has it: a CA that looks in those
milliseconds counts a failure against the host. Answers by HTTP are there with the acknowledgement.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from hashlib import sha256
from typing import Final, TypeAlias

import structlog

from onehop.base.latest import Latest
from onehop.control.served import Served
from onehop.model.certificate import Certificate
from onehop.model.ident import ListenerId
from onehop.model.listener import Listener, TlsChallenge
from onehop.model.model import RowKey, Table

ALPN: Final = "acme-tls/1"
"""RFC 8737, section 6.2."""

_LOOK_S: Final = 0.005
_AT_ONCE: Final = 8

_Key: TypeAlias = tuple[ListenerId, str, str]
"""A listener, a host, and the fingerprint of what is shown for it."""

log = structlog.get_logger(__name__)


class Shown:
    """Passes on which challenges are answered, once those in handshakes are seen to be.

    Args:
        served: what the data plane has acknowledged.
        acknowledged: entries of the answers that the data plane says it has.
        patience_s: how long we look; perhaps nobody can reach the listener from here.

    Attributes:
        entries: those that a CA will find.
    """

    def __init__(
        self,
        served: Served,
        acknowledged: Latest[frozenset[str]],
        *,
        patience_s: float = 5.0,
    ) -> None:
        self.entries = Latest[frozenset[str]]()
        self._served = served
        self._acknowledged = acknowledged
        self._patience_s = patience_s
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._seen: frozenset[_Key] = frozenset()

    async def run(self) -> None:
        """Look until cancelled."""
        revision = 0
        while True:
            revision, entries = await self._acknowledged.newer(revision)
            await self._look()
            self.entries.put(entries)

    async def _look(self) -> None:
        """Return when every challenge is shown; not for ever, for we may not reach the listener."""
        wanted = {(at.id, host, shown): at for at, host, shown in self._wanted()}
        new = [key for key in wanted if key not in self._seen]
        self._seen = frozenset(wanted)
        try:
            async with asyncio.timeout(self._patience_s), asyncio.TaskGroup() as tasks:
                for key in new:
                    _, host, fingerprint = key
                    tasks.create_task(self._until_shown(wanted[key], host, fingerprint))
        except TimeoutError:
            hosts = sorted({host for _, host, _ in new})
            log.warning("challenges_not_seen", hosts=hosts, waited_s=self._patience_s)

    def _wanted(self) -> Iterator[tuple[Listener, str, str]]:
        for listener, handler in self._served.challenged():
            for challenge in handler.challenges:
                certificate = self._certificate(challenge)
                if certificate is not None:
                    yield listener, challenge.hostname, certificate.fingerprint

    def _certificate(self, challenge: TlsChallenge) -> Certificate | None:
        row = self._served.row(RowKey(Table.CERTIFICATE, challenge.certificate))
        return row if isinstance(row, Certificate) else None

    async def _until_shown(self, listener: Listener, host: str, fingerprint: str) -> None:
        async with self._turn:
            while True:
                if await _shown_by(listener, host) == fingerprint:
                    return
                await asyncio.sleep(_LOOK_S)


async def _shown_by(listener: Listener, host: str) -> str:
    """Return the fingerprint of what a CA would be shown, or nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is compared, not trusted
    context.set_alpn_protocols([ALPN])
    try:
        _, writer = await asyncio.open_connection(listener.address, listener.port)
    except OSError:
        return ""
    try:
        if listener.accepts_proxy_protocol:
            writer.write(b"PROXY UNKNOWN\r\n")
        await writer.start_tls(context, server_hostname=host)
        shown = writer.get_extra_info("ssl_object")
        der = shown.getpeercert(binary_form=True)
        return sha256(der).hexdigest() if der and shown.selected_alpn_protocol() == ALPN else ""
    except (OSError, ssl.SSLError):
        return ""
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
