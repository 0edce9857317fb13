"""Which CAs a domain lets issue for it: CAA records (RFC 8659, with RFC 8657's parameters)."""

import asyncio
from collections.abc import Sequence
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver
import msgspec

from onehop.acme.refusal import printable
from onehop.base.errors import SolverUnavailable

_CRITICAL: Final = 128
_KNOWN: Final = frozenset(("issue", "issuewild", "iodef", "contactemail", "contactphone"))
_LOOKUP_S: Final = 10.0


class CaaRecord(msgspec.Struct, frozen=True):
    """One property."""

    flags: int
    tag: str
    value: str


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to issue, and how.

    Attributes:
        identities: names that the CA goes by in CAA records; empty if it tells none.
        method: `http-01`, say.
    """

    identities: tuple[str, ...]
    method: str
    account: str | None = None


def forbidden_by(records: Sequence[CaaRecord], asker: Asker, *, is_wildcard: bool) -> str:
    """Return why the records of a domain forbid issuing, or nothing if they do not.

    RFC 8659, sections 4.1 to 4.3. Where the CA tells no identities, only what forbids every CA
    is found.
    """
    for record in records:
        if record.flags & _CRITICAL and record.tag.lower() not in _KNOWN:
            return f"its CAA record {printable(record.tag)!r} is critical, and not known"
    tag = "issue"
    if is_wildcard and any(record.tag.lower() == "issuewild" for record in records):
        tag = "issuewild"
    properties = [record.value for record in records if record.tag.lower() == tag]
    if not properties or any(_admits(value, asker) for value in properties):
        return ""
    said = ", ".join(printable(value) or ";" for value in properties)
    wanted = " or ".join(asker.identities) or "any CA"
    return f"its CAA records ({tag} {said}) do not admit {wanted} by {asker.method}"


def _admits(value: str, asker: Asker) -> bool:
    domain, *rest = (part.strip() for part in value.split(";"))
    if not domain or (asker.identities and domain.lower() not in asker.identities):
        return False
    pairs = (part.partition("=") for part in rest)
    parameters = {name.strip(): argument.strip() for name, _, argument in pairs}
    methods = parameters.get("validationmethods")
    if methods is not None and asker.method not in methods.split(","):
        return False
    account = parameters.get("accounturi")
    return account is None or asker.account is None or account == asker.account


async def find_caa(
    resolver: dns.asyncresolver.Resolver, host: str
) -> tuple[str, tuple[CaaRecord, ...]]:
    """Return the records that count for a host, and the domain that has them (section 3).

    The first domain with any, upwards from the host; ("", ()) if there is none.

    Raises:
        SolverUnavailable: a name server does not answer, or fails; then CAs refuse, too.
    """
    name = dns.name.from_text(host.removeprefix("*."))
    while name != dns.name.root:
        records = await _look_up(resolver, name)
        if records:
            return name.to_text(omit_final_dot=True), records
        name = name.parent()
    return "", ()


async def _look_up(
    resolver: dns.asyncresolver.Resolver, name: dns.name.Name
) -> tuple[CaaRecord, ...]:
    try:
        async with asyncio.timeout(_LOOKUP_S):
            answer = await resolver.resolve(name, "CAA", raise_on_no_answer=False, search=False)
    except dns.resolver.NXDOMAIN:
        return ()
    except (dns.exception.DNSException, OSError, TimeoutError) as err:
        raise SolverUnavailable(
            f"the CAA records of {name} cannot be read: {printable(str(err) or 'no answer')}"
        ) from err
    if answer.rrset is None:
        return ()
    return tuple(
        CaaRecord(record.flags, record.tag.decode("ascii"), record.value.decode(errors="replace"))
        for record in answer.rrset
    )
