"""To which namespace a host belongs, for what is power over it: a certificate with its key.

A host belongs to the namespace of the oldest object that claims it: an Ingress in a rule or in
spec.tls, a Gateway or a ListenerSet by the hostname of a listener. Routes have no say: a listener
lets them in. A wildcard also has power over the hosts that it covers: an older claim on one of them
by another namespace is respected (docs/adr/0019-hosts-belong-to-namespaces.md).
"""

from typing import Final

import msgspec

from onehop.compile.ask import ASKED_HOSTS
from onehop.compile.gateway.hostname import ANY
from onehop.compile.gateway.parent import PARENTS, Parent
from onehop.compile.ingress import INGRESS_INTENTS, IngressIntent
from onehop.compile.naming import namer, served_listeners
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.certificate import wildcard_over
from onehop.model.ident import ObjectRef


class Claimant(msgspec.Struct, frozen=True, gc=False):
    """Which hosts an object claims, and since when: all that matters here, and seldom changes."""

    ref: ObjectRef
    age_key: tuple[str, str, str]
    hosts: frozenset[str]


class HostOwner(msgspec.Struct, frozen=True, gc=False):
    """To whom a host belongs.

    Attributes:
        ref: the oldest object that claims exactly this host.
        covered: for a wildcard, the oldest object of another namespace that claims a host below it
            and is older than `ref`; or None.
    """

    ref: ObjectRef
    covered: ObjectRef | None = None

    def bars(self, namespace: str) -> ObjectRef | None:
        """Return the object that keeps a namespace from power over the host, if any."""
        return self.ref if self.ref.namespace != namespace else self.covered


def _claimant(reader: Reader, ref: ObjectRef) -> Cell[Claimant]:
    if ref.kind != "Ingress":
        hosts = {each.hostname for each in served_listeners(reader, ref)}
        return Cell(Claimant(ref, namer(reader, ref).metadata.age_key, frozenset(hosts)))
    intent = reader.need(INGRESS_INTENTS, ref)
    hosts = {claim.hostname for claim in intent.claims} | {claim.hostname for claim in intent.tls}
    return Cell(Claimant(ref, intent.age_key, frozenset(hosts)))


def _owner(reader: Reader, hostname: str) -> Cell[HostOwner]:
    oldest = min(reader.unordered(CLAIMANTS_OF_HOST, hostname), key=_age)  # who asks claims it
    if not hostname.startswith("*."):
        return Cell(HostOwner(oldest.ref))
    older = (
        claimant
        for claimant in reader.unordered(CLAIMANTS_BELOW, hostname)
        if claimant.ref.namespace != oldest.ref.namespace and claimant.age_key < oldest.age_key
    )
    covered = min(older, key=_age, default=None)
    return Cell(HostOwner(oldest.ref, covered.ref if covered else None))


def _age(claimant: Claimant) -> tuple[str, str, str]:
    return claimant.age_key


def _wildcards_over(_ref: ObjectRef, claimant: Claimant) -> set[str]:
    return {wildcard_over(host) for host in claimant.hosts if not host.startswith("*")}


CLAIMING: Final = Index[ObjectRef, IngressIntent, ObjectRef](
    INGRESS_INTENTS,
    "claiming",
    lambda ref, intent: (ref,) if intent.claims or intent.tls else (),
)
CLAIMING_PARENTS: Final = Index[ObjectRef, Parent, ObjectRef](
    PARENTS,
    "claiming",
    lambda ref, parent: (
        (ref,) if any(each.hostname != ANY or each.ends_tls for each in parent.listeners) else ()
    ),
)
CLAIMANTS: Final = Derived[ObjectRef, Claimant](
    "claimants", _claimant, (CLAIMING, CLAIMING_PARENTS)
)
CLAIMANTS_OF_HOST: Final = Index[ObjectRef, Claimant, str](
    CLAIMANTS, "host", lambda _, claimant: claimant.hosts
)
CLAIMANTS_BELOW: Final = Index[ObjectRef, Claimant, str](CLAIMANTS, "below", _wildcards_over)
HOST_OWNERS: Final = Derived[str, HostOwner]("host-owners", _owner, (ASKED_HOSTS,))
