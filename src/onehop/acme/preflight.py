"""What would make an order fail, found out before it costs a rate limit.

A CA looks from outside; we look from where we are. So a check here says no only where the CA must,
too: the host has no address, or leads elsewhere, a name server fails, CAA forbids, or the load
balancer itself does not answer for the host.
"""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import aiohttp
import dns.asyncresolver
import msgspec

from onehop.acme.caa import Asker, find_caa, forbidden_by
from onehop.acme.finding import Finding
from onehop.acme.issuer import CertificateWish, Issuer
from onehop.acme.order import challenge_type, may_prove
from onehop.acme.port import HttpAnswer, Responder
from onehop.acme.together import together
from onehop.base.errors import SolverUnavailable, TransientError
from onehop.model.address import IpAddr

Resolve = Callable[[str], Awaitable[tuple[IpAddr, ...]]]

_TIMEOUT_S: Final = 10.0
_OK: Final = 200
_AT_ONCE: Final = 8


async def system_resolve(host: str) -> tuple[IpAddr, ...]:
    """Return the addresses of a host by the system's resolver, none if it has none."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, None, type=socket.SOCK_STREAM
            )
    except TimeoutError as err:
        raise SolverUnavailable(f"no answer within {_TIMEOUT_S:.0f} s") from err
    except socket.gaierror as err:
        if err.errno == socket.EAI_AGAIN:
            raise SolverUnavailable(str(err.strerror)) from err
        return ()
    return tuple(dict.fromkeys(IpAddr(str(address[0])) for *_, address in found))


class Doors(msgspec.Struct, frozen=True):
    """The addresses by which a host leads to this load balancer.

    Attributes:
        ports: all where it is answered for, public ones of a NAT before us included; each with the
            port on which a CA comes for http-01.
        meant: those of them that its DNS records should say.
    """

    ports: Mapping[IpAddr, int]
    meant: tuple[IpAddr, ...]


class Preflight:
    """Checks hosts before their first order.

    Args:
        doors_for: returns the addresses that are right for a host.
        resolver: asks for CAA records; None for what resolv.conf says.
    """

    def __init__(
        self,
        doors_for: Callable[[str], Doors],
        responder: Responder,
        *,
        resolve: Resolve = system_resolve,
        resolver: dns.asyncresolver.Resolver | None = None,
    ) -> None:
        self._doors_for = doors_for
        self._responder = responder
        self._resolve = resolve
        self._resolver = resolver or dns.asyncresolver.Resolver()
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def check(
        self,
        wish: CertificateWish,
        issuer: Issuer,
        *,
        identities: tuple[str, ...],
        account: str | None,
    ) -> tuple[Finding, ...]:
        """Return what was found of all hosts of a wish, in order.

        Args:
            wish: whose hosts are checked.
            issuer: whose solvers say what is needed.
            identities: by which CAA records name the CA.
            account: our account's URL there.
        """
        found = await together(
            self._check_host(host, issuer, identities, account) for host in wish.hosts
        )
        return tuple(finding for findings in found for finding in findings)

    async def _check_host(
        self, host: str, issuer: Issuer, identities: tuple[str, ...], account: str | None
    ) -> list[Finding]:
        solver = next((choice for choice in issuer.solvers if may_prove(choice, host)), None)
        if solver is None:
            return [
                Finding(
                    host=host,
                    check="solver",
                    is_good=False,
                    said=f"issuer {issuer.name} has no solver for it",
                    advice="give the issuer a solver for this host; wildcards need dns-01",
                )
            ]
        method = challenge_type(solver)
        async with self._turn:
            asker = Asker(identities=identities, method=method, account=account)
            findings = [await self._check_caa(host, asker)]
            if method == "dns-01":
                return findings
            doors = self._doors_for(host)
            address, leads_here = await self._check_address(host, doors)
            findings.append(address)
            if method == "http-01":
                findings += [
                    await self._check_http(host, vip, doors.ports[vip]) for vip in leads_here
                ]
            return findings

    async def _check_caa(self, host: str, asker: Asker) -> Finding:
        try:
            domain, records = await find_caa(self._resolver, host)
        except SolverUnavailable as err:
            advice = "mend the domain's name servers: CAs refuse what they cannot look up"
            return Finding(host=host, check="CAA", is_good=False, said=str(err), advice=advice)
        why = forbidden_by(records, asker, is_wildcard=host.startswith("*."))
        if not why:
            where = f"the CAA records of {domain} admit the CA" if domain else "no CAA records"
            return Finding(host=host, check="CAA", is_good=True, said=where)
        advice = f"add a CAA record for {' or '.join(asker.identities) or 'the CA'}, or remove them"
        return Finding(
            host=host, check="CAA", is_good=False, said=f"at {domain}: {why}", advice=advice
        )

    async def _check_address(self, host: str, doors: Doors) -> tuple[Finding, list[IpAddr]]:
        """Return how the host resolves, and to which of our addresses."""
        ours = ", ".join(doors.meant)
        try:
            addresses = await self._resolve(host)
        except SolverUnavailable as err:
            said, advice = f"cannot be resolved: {err}", "mend the domain's name servers"
            finding = Finding(host=host, check="address", is_good=False, said=said, advice=advice)
            return finding, []
        leads_here = [address for address in addresses if address in doors.ports]
        elsewhere = [address for address in addresses if address not in doors.ports]
        advice = f"let its A and AAAA records say {ours}, and nothing else"
        if not addresses:
            said = "has no address"
        elif elsewhere:
            said = f"leads to {', '.join(elsewhere)}, which is not this load balancer"
        else:
            said, advice = f"leads to {', '.join(leads_here)}", ""
        finding = Finding(
            host=host,
            check="address",
            is_good=bool(leads_here) and not elsewhere,
            said=said,
            advice=advice,
            # With one address of ours among several, a CA may find us, or may not.
            is_certain=not leads_here,
        )
        return finding, leads_here

    async def _check_http(self, host: str, vip: IpAddr, port: int) -> Finding:
        """Ask the load balancer for a token of our own, by the way that the CA will take."""
        token = secrets.token_urlsafe(16)
        answer = HttpAnswer(host=host, token=token, body=f"{token}.onehop-preflight")
        try:
            await self._responder.publish(answer)
            await self._responder.ready(answer)
            fault = await self._fetch(vip, port, answer)
        except TransientError as err:
            fault = f"the load balancer does not take a token: {err}"
        finally:
            await self._responder.withdraw(answer)
        where = f"port {port} of {vip}"
        if not fault:
            return Finding(host=host, check="http", is_good=True, said=f"{where} answers")
        return Finding(
            host=host,
            check="http",
            is_good=False,
            said=f"{where} does not answer as http-01 needs it: {fault}",
            advice=f"let requests to {where} reach the load balancer",
        )

    async def _fetch(self, vip: IpAddr, port: int, answer: HttpAnswer) -> str:
        """Return what is wrong with the answer, or nothing."""
        address = f"[{vip}]" if ":" in vip else vip
        url = f"http://{address}:{port}/.well-known/acme-challenge/{answer.token}"
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                aiohttp.ClientSession(headers={"Host": answer.host}) as http,
                http.get(url, allow_redirects=False) as response,
            ):
                body = await response.content.read(len(answer.body) + 1)
                status = response.status
        except TimeoutError:
            return f"no answer within {_TIMEOUT_S:.0f} s"
        except (aiohttp.ClientError, ValueError) as err:
            return str(err) or type(err).__name__
        if status != _OK:
            return f"it answers {status}"
        return "" if body == answer.body.encode("ascii") else "somebody else answers"
