"""dns-01 by DNS UPDATE (RFC 2136), signed with TSIG (RFC 8945)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update

from onehop.acme.backoff import BETWEEN_LOOKS
from onehop.acme.clock import Clock
from onehop.acme.issuer import Rfc2136
from onehop.acme.refusal import printable
from onehop.acme.solver.solver import txt_name, txt_value
from onehop.base.errors import ConfigError, SolverRefused, SolverUnavailable

_QUERY_S: Final = 5.0
_VISIBLE_S: Final = 120.0
_MIDDLE: Final = 0.5


class UpdateSolver:
    """Sets TXT records at a primary server.

    Records are added and taken away one by one: `example.com` and `*.example.com` have theirs at
    the same name at the same time.

    Raises:
        ConfigError: the TSIG secret is not base64, or the algorithm is none.
    """

    def __init__(self, choice: Rfc2136, clock: Clock) -> None:
        self._choice = choice
        self._clock = clock
        self._zones: dict[dns.name.Name, dns.name.Name] = {}
        try:
            self._keys = dns.tsigkeyring.from_text({choice.tsig_name: choice.tsig_secret.reveal})
            self._algorithm = dns.name.from_text(choice.tsig_algorithm)
        except (ValueError, dns.exception.DNSException) as err:
            raise ConfigError(f"the TSIG key {choice.tsig_name!r} is not base64") from err

    async def present(self, host: str, token: str, authorization: str) -> None:
        """Add the record, and wait until every server that we know of shows it."""
        del token  # part of the authorization
        name, value = dns.name.from_text(txt_name(host)), txt_value(authorization)
        update = await self._update(name)
        update.add(name, self._choice.ttl_s, "TXT", f'"{value}"')
        await self._send(update, name)
        for server in self._choice.visible_at or (self._choice.server,):
            await self._visible(server, name, value)

    async def clean(self, host: str, token: str, authorization: str) -> None:
        """Take the record away."""
        del token
        name, value = dns.name.from_text(txt_name(host)), txt_value(authorization)
        update = await self._update(name)
        update.delete(name, "TXT", f'"{value}"')
        await self._send(update, name)

    async def _update(self, name: dns.name.Name) -> dns.update.UpdateMessage:
        if name not in self._zones:
            self._zones[name] = await self._zone(name)
        return dns.update.UpdateMessage(
            self._zones[name], keyring=self._keys, keyalgorithm=self._algorithm
        )

    async def _zone(self, name: dns.name.Name) -> dns.name.Name:
        """Return the zone that holds a name: whose SOA the server shows for it (section 4.3)."""
        if self._choice.zone is not None:
            return dns.name.from_text(self._choice.zone)
        query = dns.message.make_query(name, dns.rdatatype.SOA)
        answer = await self._ask(query, self._choice.server)
        for found in (*answer.answer, *answer.authority):
            if found.rdtype == dns.rdatatype.SOA and name.is_subdomain(found.name):
                return found.name
        raise SolverRefused(f"{self._choice.server} has no zone that holds {name}")

    async def _send(self, update: dns.update.UpdateMessage, name: dns.name.Name) -> None:
        answer = await self._ask(update, self._choice.server)
        code = answer.rcode()
        if code == dns.rcode.SERVFAIL:
            raise SolverUnavailable(f"{self._choice.server} could not update {name}: SERVFAIL")
        if code != dns.rcode.NOERROR:
            raise SolverRefused(
                f"{self._choice.server} refused to update {name}: {dns.rcode.to_text(code)};"
                f" does its policy let the key {self._choice.tsig_name} do that?"
            )

    async def _visible(self, server: str, name: dns.name.Name, value: str) -> None:
        """Wait until a server shows the record."""
        query = dns.message.make_query(name, dns.rdatatype.TXT)
        give_up = self._clock.now() + _VISIBLE_S
        looks = 0
        while not _shows(await self._ask(query, server), value):
            if self._clock.now() > give_up:
                raise SolverUnavailable(
                    f"{server} does not show the TXT record of {name} after {_VISIBLE_S:.0f} s"
                )
            looks += 1
            await self._clock.sleep(BETWEEN_LOOKS.wait_s(looks, _MIDDLE))

    async def _ask(self, query: dns.message.Message, server: str) -> dns.message.Message:
        async with _dns_faults(server):
            # TCP: updates with a TSIG may be long, and nobody spoofs an address.
            return await dns.asyncquery.tcp(query, server, timeout=_QUERY_S, port=self._choice.port)


def _shows(answer: dns.message.Message, value: str) -> bool:
    return any(
        value.encode("ascii") == b"".join(record.strings)
        for found in answer.answer
        if found.rdtype == dns.rdatatype.TXT
        for record in found
    )


@asynccontextmanager
async def _dns_faults(server: str) -> AsyncGenerator[None]:
    """Turn what goes wrong with a server into our errors."""
    try:
        async with asyncio.timeout(2 * _QUERY_S):
            yield
    except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadKey) as err:
        raise SolverRefused(
            f"{server} does not accept our TSIG key: {printable(str(err) or type(err).__name__)}"
        ) from err
    except (dns.exception.DNSException, OSError, EOFError) as err:
        raise SolverUnavailable(
            f"{server} does not answer: {printable(str(err) or type(err).__name__)}"
        ) from err
