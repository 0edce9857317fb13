"""Whether the issuers of the configuration answer from here."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from typing import Final

from onehop.acme.clock import SystemClock
from onehop.acme.issuer import Issuer
from onehop.acme.protocol.client import read_directory
from onehop.acme.protocol.transport import Transport
from onehop.base.errors import OnehopError
from onehop.base.trust import trusting
from onehop.control.finding import Finding

_TIMEOUT_S: Final = 10.0


async def issuer_findings(issuers: tuple[Issuer, ...]) -> AsyncGenerator[Finding]:
    """Yield a finding for each issuer; no account is made, and nothing is ordered."""
    for issuer in issuers:
        yield await _issuer(issuer)


async def _issuer(issuer: Issuer) -> Finding:
    check = f"issuer {issuer.name}"
    advice = "check acme.issuers, the way to the CA (DNS, firewall, proxy) and its caFile"
    try:
        trust = await asyncio.to_thread(trusting, ca_pem=issuer.ca_pem)
    except ssl.SSLError as err:
        return Finding(check=check, is_good=False, said=f"caFile: {err.reason}", advice=advice)
    transport = Transport(SystemClock(), trust, patience_s=_TIMEOUT_S)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            directory = await read_directory(transport, issuer.directory)
    except TimeoutError:
        said = f"no answer from {issuer.directory} within {_TIMEOUT_S:.0f} s"
        return Finding(check=check, is_good=False, said=said, advice=advice)
    except OnehopError as err:
        return Finding(check=check, is_good=False, said=str(err), advice=advice)
    finally:
        await transport.close()
    needs_account = directory.meta.external_account_required
    if needs_account and issuer.external_account is None:
        return Finding(
            check=check,
            is_good=False,
            said="it wants to know whose customer asks (EAB)",
            advice="set externalAccount of this issuer to what the CA gave you",
        )
    return Finding(check=check, is_good=True, said=f"{issuer.directory} answers")
