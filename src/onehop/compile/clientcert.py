"""Which hosts ask clients for certificates, and whom such a certificate must come from.

The demand is made in the handshake, before a path is known: it is one for a host, and belongs to
the Ingress whose TLS the host has had longest. Whoever asks for it and does not get it is not
served: a path that was meant for a few must not be open to all.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.compile.backend import CA_KEY, ca_pem_of
from onehop.compile.ingress import ANY_HOST, CLAIMS_BY_HOST, INGRESS_INTENTS, IngressIntent
from onehop.compile.inputs import ONLY, SECRETS
from onehop.compile.router import TLS_ROUTER
from onehop.compile.rule import Claim, ClientDemand
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.compile.tlsowner import PASSTHROUGHS
from onehop.model.ident import ObjectRef, RouterId
from onehop.model.listener import ClientCheck
from onehop.model.problem import Problem, Reason, Severity
from onehop.model.route import Respond

ANNOTATION: Final = "metadata.annotations[onehop.dev/client-ca]"
REFUSED: Final = Respond(status=403, body="client certificates cannot be verified here\n")
MISDIRECTED: Final = Respond(
    status=421, body="this connection was not made for this host\n"
)  # RFC 9110, section 15.5.20: browsers ask again on a new connection


class HostCheck(msgspec.Struct, frozen=True):
    """What comes of the demands on one host.

    Attributes:
        demand: the one that counts, or None if its owner makes none.
        check: how it is carried out; None if it cannot be.
    """

    demand: ClientDemand | None
    check: ClientCheck | None

    def serves(self, claim: Claim) -> bool:
        """Tell whether a claim gets what it asks for, or asks for nothing."""
        if claim.client is None or not claim.client.is_required:
            return True
        return self.check is not None and claim.client == self.demand


UNCHECKED: Final = HostCheck(None, None)


def _compute(reader: Reader, hostname: str) -> Cell[HostCheck]:
    rivals = sorted(
        (
            intent
            for intent in reader.unordered(CLAIMS_BY_HOST, hostname)
            if not intent.passthroughs
            and any(claim.secure for claim in intent.claims if claim.hostname == hostname)
        ),
        key=lambda intent: intent.age_key,
    )
    demanding = [intent for intent in rivals if intent.client is not None]
    if not demanding:
        return Cell(None)  # hosts without TLS are told by `tls_problems`
    if hostname.startswith("*"):
        return Cell(UNCHECKED, tuple(_wildcards(demanding, hostname)))
    if reader.get(PASSTHROUGHS, hostname) is not None:
        return Cell(UNCHECKED)  # told by `tlsowner`
    owner = rivals[0]
    problems = tuple(_losers(owner, demanding, hostname))
    demand = owner.client
    if demand is None:
        return Cell(UNCHECKED, problems)
    ca_pem = ca_pem_of(reader.get(SECRETS, demand.secret))
    if not demand.secret.name:
        return Cell(HostCheck(demand, None), problems)  # told by `parse_policy`
    if ca_pem is None:
        missing = Problem(
            subject=owner.ref,
            field=ANNOTATION,
            reason=Reason.CERTIFICATE_INVALID,
            message=f"{demand.secret} with CA certificates (PEM) under {CA_KEY!r} is needed to"
            f" verify clients and is not there; {_instead(demand, hostname)}",
        )
        return Cell(HostCheck(demand, None), (*problems, missing))
    check = ClientCheck(
        hostname=hostname,
        router=RouterId(f"{TLS_ROUTER}:{hostname}"),
        ca_pem=ca_pem,
        is_required=demand.is_required,
        owner=owner.ref,
    )
    return Cell(HostCheck(demand, check), problems)


def _instead(demand: ClientDemand, hostname: str) -> str:
    if demand.is_required:
        return f"requests for {hostname} get 403 rather than go unverified"
    return f"{hostname} is served as to clients without a certificate"


def _wildcards(demanding: list[IngressIntent], hostname: str) -> Iterator[Problem]:
    named = "a rule without a host" if hostname == ANY_HOST else hostname
    for intent in demanding:
        assert intent.client is not None  # noqa: S101  they demand something
        yield Problem(
            subject=intent.ref,
            field=ANNOTATION,
            reason=Reason.UNSUPPORTED,
            message="clients are verified for whole host names only, not for"
            f" {named}; {_instead(intent.client, named)}",
        )


def _losers(
    owner: IngressIntent, demanding: list[IngressIntent], hostname: str
) -> Iterator[Problem]:
    for intent in demanding:
        if intent.client is None or intent.client == owner.client:
            continue
        refused = intent.client.is_required
        yield Problem(
            subject=intent.ref,
            field=ANNOTATION,
            reason=Reason.CONFLICT,
            message=f"what clients of {hostname} have to show is up to the older {owner.ref};"
            + (
                " requests for the paths of this one get 403"
                if refused
                else " this changes nothing"
            ),
            severity=Severity.ERROR if refused else Severity.WARNING,
        )


def _demanded_hosts(_ref: ObjectRef, intent: IngressIntent) -> set[str]:
    return {claim.hostname for claim in intent.claims} if intent.client else set()


DEMANDED: Final = Index[ObjectRef, IngressIntent, str](
    INGRESS_INTENTS, "client-demand", _demanded_hosts
)
HOST_CHECKS: Final = Derived[str, HostCheck]("host-checks", _compute, (DEMANDED,))
CLIENT_CHECKS: Final = Index[str, HostCheck, tuple[()]](
    HOST_CHECKS, "check", lambda _, item: (ONLY,) if item.check else ()
)
