"""Who claims a host, and who asks for its TLS: the beginning of its story."""

from collections.abc import Iterator

import msgspec

from onehop.cluster import Ingress
from onehop.compile.backend import options_of
from onehop.compile.compiler import Compiler
from onehop.compile.gateway.hostname import names_over
from onehop.compile.gateway.place import router_of
from onehop.compile.hostowner import CLAIMANTS_OF_HOST
from onehop.compile.ingress import (
    ANY_HOST,
    CLAIMS_BY_HOST,
    DEFAULT_CLAIMS,
    INGRESS_INTENTS,
    IngressIntent,
    TlsClaim,
)
from onehop.compile.inputs import ONLY
from onehop.compile.naming import NAMINGS_BY_HOST, Naming, entry_of, served_listeners
from onehop.compile.router import TLS_ROUTER
from onehop.compile.sheet import Reader
from onehop.control.certificates.report import Step
from onehop.control.certificates.shown import tls_names
from onehop.control.explain.matching import names_for
from onehop.control.explain.target import near
from onehop.model.ident import ObjectRef, RouterId


class Claimed(msgspec.Struct, frozen=True):
    """Who has a host, the oldest first, and by which name: its own, a wildcard, or `*`."""

    by: str
    owners: tuple[ObjectRef, ...]


class TlsClaimed(msgspec.Struct, frozen=True):
    """Whose certificate a host shall show, and who would have it otherwise; the oldest first.

    Attributes:
        router: on whose connections it is shown: the shared VIP's, or those of a Gateway's port.
    """

    by: str
    owner: ObjectRef
    claim: TlsClaim
    router: RouterId
    losers: tuple[tuple[ObjectRef, TlsClaim], ...] = ()


def claimed(reader: Reader, host: str) -> Claimed | None:
    """Return who takes requests for a host, or None if nobody does."""
    for name in names_for(host):
        owners = _aged(reader.unordered(CLAIMS_BY_HOST, name))
        if name == ANY_HOST and not owners:
            owners = _aged(reader.unordered(DEFAULT_CLAIMS, ONLY))
        if owners:
            return Claimed(name, tuple(intent.ref for intent in owners))
        listening = _listening(reader, name) if name != ANY_HOST else ()
        if listening:
            return Claimed(name, listening)
    return None


def _listening(reader: Reader, name: str) -> tuple[ObjectRef, ...]:
    """Return the Gateways and ListenerSets with a listener of this name, the oldest first."""
    found = sorted(reader.unordered(CLAIMANTS_OF_HOST, name), key=lambda each: each.age_key)
    return tuple(each.ref for each in found if each.ref.kind != "Ingress")


def tls_claimed(reader: Reader, host: str) -> TlsClaimed | None:
    """Return who decides what certificate the host shows, or None if no object does.

    What clients see that ask for a name nobody has is the operator's to say, if he does.
    """
    of_ingresses = frozenset(tls_names(host))
    for name in names_over(host):
        if name == ANY_HOST and options_of(reader).default_certificate is not None:
            return None
        namings = sorted(reader.unordered(NAMINGS_BY_HOST, name), key=lambda each: each.age_key)
        found = [each for each in namings if each.gateway is not None or name in of_ingresses]
        if found:
            first, *others = found
            claim = _claim(first, name)
            rivals = ((each.ref, _claim(each, name)) for each in others if _are_rivals(each, first))
            losers = tuple((ref, lost) for ref, lost in rivals if lost.secret != claim.secret)
            return TlsClaimed(name, first.ref, claim, _router(reader, first, claim), losers)
    return None


def _claim(naming: Naming, name: str) -> TlsClaim:
    return next(claim for claim in naming.claims if claim.hostname == name)


def _are_rivals(one: Naming, other: Naming) -> bool:
    """Tell whether two objects claim names on one address: Gateways tell their own ones apart."""
    return one.gateway is None and other.gateway is None


def _router(reader: Reader, naming: Naming, claim: TlsClaim) -> RouterId:
    if naming.gateway is None:
        return TLS_ROUTER
    listeners = served_listeners(reader, naming.ref)
    port = next(each.port for each in listeners if entry_of(each.name) == claim.field)
    return router_of(naming.gateway, port)


def tell_claims(compiler: Compiler, host: str) -> Iterator[Step]:
    """Yield who has the host, or who may have been meant to."""
    reader = compiler.reader()
    found = claimed(reader, host)
    foreign = tuple(_of_other_classes(compiler, host))
    if found is None and tls_claimed(reader, host) is not None:
        yield Step(topic="claims", says="no rule has it: HTTPS requests for it get 404")
    elif found is None and not foreign:
        yield _nobody(compiler, host)
    if found is not None:
        yield Step(topic="claims", says=_claim_text(found, host), is_good=True)
        yield from _namespaces(reader, host)
    for ref, name in foreign:
        yield Step(
            topic="claims",
            says=f"{ref} names it, but is of the class {name or '(none)'}, which is not ours",
            is_good=None if found else False,
            advice="" if found else f"give {ref} an ingressClassName of ours",
        )


def tell_tls(compiler: Compiler, host: str) -> Iterator[Step]:
    """Yield who asks for TLS, and who asks in vain."""
    reader = compiler.reader()
    found = tls_claimed(reader, host)
    if found is None:
        yield _without_tls(reader, host)
        return
    by = "" if found.by == host else f", for {_name_text(found.by)}"
    yield Step(
        topic="tls",
        says=f"{found.claim.field} of {found.owner} names {found.claim.secret}{by}",
        is_good=True,
    )
    for ref, claim in found.losers:
        yield Step(
            topic="tls",
            says=f"{claim.field} of {ref} names {claim.secret}, which is not shown: {found.owner}"
            " is older",
        )


def _aged(intents: tuple[IngressIntent, ...]) -> list[IngressIntent]:
    return sorted(intents, key=lambda intent: intent.age_key)


def _claim_text(found: Claimed, host: str) -> str:
    first, *others = found.owners
    if found.by == host:
        text = f"{first} has it"
    else:
        text = f"no rule names it; {first} has it with {_name_text(found.by)}"
    also = "so has" if len(others) == 1 else "so have"
    return text + (f", and {also} {', '.join(map(str, others))}" if others else "")


def _name_text(name: str) -> str:
    return "all hosts that nobody names" if name == ANY_HOST else name


def _namespaces(reader: Reader, host: str) -> Iterator[Step]:
    """Yield to whom a host belongs that several namespaces claim, in rules or for TLS."""
    claims = sorted(reader.unordered(CLAIMANTS_OF_HOST, host), key=lambda each: each.age_key)
    spaces = tuple(dict.fromkeys(each.ref.namespace for each in claims))
    if len(spaces) > 1 and host != ANY_HOST:
        yield Step(
            topic="claims",
            says=f"the namespaces {' and '.join(spaces)} claim it: it belongs to {spaces[0]}, for"
            f" {claims[0].ref} is the oldest",
            advice="let one namespace have the host",
        )


def _nobody(compiler: Compiler, host: str) -> Step:
    reader = compiler.reader()
    intents = (reader.get(INGRESS_INTENTS, ref) for ref in compiler.refs("Ingress"))
    known = {claim.hostname for intent in intents if intent for claim in intent.claims}
    alike = near(host, known - {ANY_HOST})
    return Step(
        topic="claims",
        says="no Ingress of ours has it",
        is_good=False,
        advice=f"did you mean {' or '.join(alike)}?" if alike else "create an Ingress with it",
    )


def _of_other_classes(compiler: Compiler, host: str) -> Iterator[tuple[ObjectRef, str | None]]:
    reader = compiler.reader()
    for ref in compiler.refs("Ingress"):
        ingress = compiler.object(ref)
        if isinstance(ingress, Ingress) and reader.get(INGRESS_INTENTS, ref) is None:
            named = {rule.host for rule in ingress.spec.rules or ()}
            named |= {name for entry in ingress.spec.tls or () for name in entry.hosts or ()}
            if host in named:
                yield ref, ingress.spec.ingress_class_name


def _without_tls(reader: Reader, host: str) -> Step:
    found, default = claimed(reader, host), options_of(reader).default_certificate
    if default is not None and host == ANY_HOST:
        return Step(
            topic="tls", says=f"tls.defaultCertificate of onehop.yaml is {default}", is_good=True
        )
    advice = ""
    if found is not None and found.by == host:
        advice = _how_to_end(host, found.owners[0])
    elif found is not None:
        advice = f"name {host} in spec.tls of an Ingress, with a secretName"
    fallback = f"; clients see {default}, the operator's default" if default is not None else ""
    return Step(topic="tls", says=f"no spec.tls names it{fallback}", is_good=False, advice=advice)


def _how_to_end(host: str, owner: ObjectRef) -> str:
    if owner.kind == "Ingress":
        return f"add {host} to spec.tls of {owner}, with a secretName"
    return f"give {owner} a listener for {host} with protocol HTTPS and tls.certificateRefs"
