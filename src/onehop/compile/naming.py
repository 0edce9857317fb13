"""What objects name Secrets for: hosts, and where their certificates shall be.

An entry of an Ingress's `spec.tls` and a listener of a Gateway or a ListenerSet say the same in
other words. They come to one form here, so that who may have which certificate, and who is told
what, is decided once.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from onehop.cluster import Gateway, Ingress, ListenerSet
from onehop.compile.gateway.gateway import GATEWAY_INTENTS
from onehop.compile.gateway.listener import ListenerIntent
from onehop.compile.gateway.parent import PARENTS, Parent
from onehop.compile.ingress import INGRESS_INTENTS, IngressIntent, TlsClaim
from onehop.compile.inputs import GATEWAYS, INGRESSES, LISTENER_SETS
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import quoted

Namer: TypeAlias = Ingress | Gateway | ListenerSet


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """In which fields a kind names Secrets.

    Attributes:
        entries: where all of it stands.
        hosts, secret: below one of the entries.
        advice: what its owner can do who has named no host.
        gains: what a host has once there is a certificate.
    """

    entries: str
    hosts: str
    secret: str
    advice: str
    gains: str


class Naming(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What an object of ours names Secrets for.

    Attributes:
        gateway: on whose addresses the hosts are; None for the shared VIP.
        elsewhere: those of the claims whose Secret is not the object's own to have filled: the
            operator's default, or one of another namespace.
    """

    ref: ObjectRef
    age_key: tuple[str, str, str]
    gateway: ObjectRef | None = None
    claims: tuple[TlsClaim, ...]
    elsewhere: tuple[TlsClaim, ...] = ()


def form_of(ref: ObjectRef) -> Form:
    """Return in which fields an object names Secrets."""
    return _INGRESS if ref.kind == "Ingress" else _LISTENERS


def namer(reader: Reader, ref: ObjectRef) -> Namer:
    """Return an object that names Secrets."""
    if ref.kind == "Gateway":
        return reader.need(GATEWAYS, ref)
    if ref.kind == "ListenerSet":
        return reader.need(LISTENER_SETS, ref)
    return reader.need(INGRESSES, ref)


def entry_of(listener: str) -> str:
    """Return the field of a listener, by its name."""
    return f"{_LISTENERS.entries}[name={quoted(listener)}]"


def served_listeners(reader: Reader, ref: ObjectRef) -> tuple[ListenerIntent, ...]:
    """Return the listeners of a Gateway or a ListenerSet that carry traffic."""
    parent = reader.need(PARENTS, ref)
    if reader.need(GATEWAY_INTENTS, parent.gateway).refusal is not None:
        return ()
    return tuple(each for each in parent.listeners if each.is_accepted)


def _compute(reader: Reader, ref: ObjectRef) -> Cell[Naming]:
    if ref.kind == "Ingress":
        return Cell(_of_ingress(reader.need(INGRESS_INTENTS, ref), reader.need(INGRESSES, ref)))
    claims = tuple(_claims(served_listeners(reader, ref)))
    naming = Naming(
        ref=ref,
        age_key=namer(reader, ref).metadata.age_key,
        gateway=reader.need(PARENTS, ref).gateway,
        claims=claims,
        elsewhere=tuple(each for each in claims if each.secret.namespace != ref.namespace),
    )
    return Cell(naming)


def _of_ingress(intent: IngressIntent, ingress: Ingress) -> Naming:
    entries = enumerate(ingress.spec.tls or ())
    unnamed = {f"spec.tls[{number}]" for number, entry in entries if not entry.secret_name}
    return Naming(
        ref=intent.ref,
        age_key=intent.age_key,
        claims=intent.tls,
        elsewhere=tuple(claim for claim in intent.tls if claim.field in unnamed),
    )


def _claims(listeners: tuple[ListenerIntent, ...]) -> Iterator[TlsClaim]:
    for listener in listeners:
        for secret in listener.certificates if listener.ends_tls else ():
            yield TlsClaim(listener.hostname, secret, entry_of(listener.name))


_INGRESS: Final = Form(
    entries="spec.tls",
    hosts="hosts",
    secret="secretName",  # noqa: S106  a field
    advice="name them here or in the rules",
    gains="HTTPS",
)
_LISTENERS: Final = Form(
    entries="spec.listeners",
    hosts="hostname",
    secret="tls.certificateRefs",  # noqa: S106  a field
    advice="give the listener a hostname",
    gains="TLS",
)
TLS_INTENTS: Final = Index[ObjectRef, IngressIntent, ObjectRef](
    INGRESS_INTENTS, "tls", lambda ref, intent: (ref,) if intent.tls else ()
)
TLS_PARENTS: Final = Index[ObjectRef, Parent, ObjectRef](
    PARENTS,
    "tls",
    lambda ref, parent: (ref,) if any(each.ends_tls for each in parent.listeners) else (),
)
NAMINGS: Final = Derived[ObjectRef, Naming]("namings", _compute, (TLS_INTENTS, TLS_PARENTS))
NAMING_REFS: Final = Index[ObjectRef, Naming, ObjectRef](NAMINGS, "ref", lambda ref, _: (ref,))
NAMINGS_BY_HOST: Final = Index[ObjectRef, Naming, str](
    NAMINGS, "host", lambda _, naming: {claim.hostname for claim in naming.claims}
)
