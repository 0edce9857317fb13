"""What reports are made of, gathered at one moment from those who know."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from onehop.acme.state import State
from onehop.cluster import Kind
from onehop.compile.backend import options_of
from onehop.compile.compiler import Compiler
from onehop.compile.naming import NAMINGS
from onehop.control.certificates.chain import Chain, ChainReader
from onehop.control.certificates.report import Leader
from onehop.control.served import Served
from onehop.model.certificate import CertificateDemand, ServerName
from onehop.model.ident import CertificateId, ObjectRef
from onehop.model.problem import Problem

_NAMERS: Final = (Kind.INGRESS, Kind.GATEWAY, Kind.LISTENER_SET)


class TlsNaming(msgspec.Struct, frozen=True, kw_only=True):
    """A place where an object names a Secret for hosts.

    Attributes:
        field: `spec.tls[0]`, or `spec.listeners[name='https']`.
    """

    owner: ObjectRef
    age_key: tuple[str, str, str]
    field: str
    hosts: tuple[str, ...]


class CertificateFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of certificates at one moment.

    Attributes:
        states: by the engine of this host; empty where another one leads.
        chains: the certificates that the data plane has.
        shown_for: by certificate, the names that clients ask for and are shown it.
        named: by Secret, where objects name it, the oldest first.
        default: the operator's own, for names that nobody has.
        problems: by the object that they are about.
    """

    now: float
    leader: Leader = Leader()
    demands: Mapping[ObjectRef, CertificateDemand] = {}
    states: Mapping[ObjectRef, State] = {}
    chains: Mapping[CertificateId, Chain] = {}
    shown_for: Mapping[CertificateId, tuple[str, ...]] = {}
    named: Mapping[ObjectRef, tuple[TlsNaming, ...]] = {}
    default: ObjectRef | None = None
    problems: Mapping[ObjectRef, tuple[Problem, ...]] = {}

    @property
    def needs_leader(self) -> bool:
        """Whether only another host knows how some are doing."""
        return bool(self.demands) and not self.leader.is_here


def gather_facts(  # noqa: PLR0913  who knows something, by name
    *,
    compiler: Compiler,
    served: Served,
    leader: Leader,
    states: Mapping[ObjectRef, State],
    demands: Iterable[CertificateDemand],
    problems: Iterable[Problem],
    chains: ChainReader,
    now: float,
) -> CertificateFacts:
    """Return what is known now; its cost grows with the number of owners and certificates."""
    return CertificateFacts(
        now=now,
        leader=leader,
        demands={demand.secret: demand for demand in demands},
        states=states,
        chains=chains.read(served.certificates()),
        shown_for=_shown_for(served),
        named=_named(compiler),
        default=options_of(compiler.reader()).default_certificate,
        problems=_by_subject(problems),
    )


def certificate_id(secret: ObjectRef) -> CertificateId:
    """Return the id of the certificate that a Secret gives."""
    return CertificateId(f"{secret.namespace}/{secret.name}")


def _by_subject(problems: Iterable[Problem]) -> Mapping[ObjectRef, tuple[Problem, ...]]:
    found: dict[ObjectRef, list[Problem]] = {}
    for problem in problems:
        found.setdefault(problem.subject, []).append(problem)
    return {subject: tuple(sorted(about)) for subject, about in found.items()}


def _shown_for(served: Served) -> Mapping[CertificateId, tuple[str, ...]]:
    found: dict[CertificateId, list[str]] = {}
    for row in served.rows():
        if isinstance(row, ServerName):
            found.setdefault(row.certificate, []).append(row.hostname)
    return {name: tuple(sorted(hosts)) for name, hosts in found.items()}


def _named(compiler: Compiler) -> Mapping[ObjectRef, tuple[TlsNaming, ...]]:
    reader = compiler.reader()
    hosts: dict[tuple[ObjectRef, ObjectRef, str], list[str]] = {}
    ages: dict[ObjectRef, tuple[str, str, str]] = {}
    for ref in (ref for kind in _NAMERS for ref in compiler.refs(kind)):
        naming = reader.get(NAMINGS, ref)
        for claim in naming.claims if naming is not None else ():
            hosts.setdefault((claim.secret, ref, claim.field), []).append(claim.hostname)
        if naming is not None:
            ages[ref] = naming.age_key
    named: dict[ObjectRef, list[TlsNaming]] = {}
    for (secret, ref, field), names in hosts.items():
        found = TlsNaming(owner=ref, age_key=ages[ref], field=field, hosts=tuple(sorted(names)))
        named.setdefault(secret, []).append(found)
    return {
        secret: tuple(sorted(namings, key=lambda naming: (naming.age_key, naming.field)))
        for secret, namings in named.items()
    }
