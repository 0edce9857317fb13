"""Gateways: which are ours, and what they ask for."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from onehop.cluster import Gateway
from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.compile.backend import options_of
from onehop.compile.gateway.frontend import read_frontend
from onehop.compile.gateway.hostname import ANY
from onehop.compile.gateway.identity import ClientIdentity, read_identity
from onehop.compile.gateway.listener import (
    ListenerIntent,
    Listening,
    Protocol,
    asked_in_vain,
    read_listeners,
)
from onehop.compile.gateway.listenerset import DOORS, GATEWAY_REFS, LISTENER_SETS_OF
from onehop.compile.gateway.merge import Merge
from onehop.compile.gateway.overlap import overlapping
from onehop.compile.gateway.place import Place, place_of
from onehop.compile.inputs import GATEWAYS
from onehop.compile.options import Options
from onehop.compile.policy import Policy, parse_policy
from onehop.compile.router import HostKey
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.address import IpAddr, is_ipv6, parse_ip
from onehop.model.ident import ObjectRef
from onehop.model.listener import Transport
from onehop.model.problem import Problem, Reason, quoted

_ONE_FAMILY: Final = (False,)
_INFRASTRUCTURE: Final = "spec.infrastructure.annotations"


class GatewayIntent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a Gateway of ours asks for.

    Attributes:
        by_owner: its own listeners, and those of each ListenerSet that it lets in.
        overlapping: those of them whose TLS others share; see `overlap`.
        families, requested: of addresses; see `ledger.AddressWish`.
        accepts_proxy_protocol: on all ports for TCP.
        identity: what is shown to endpoints.
        refusal: why none of it is served, or None.
    """

    ref: ObjectRef
    age_key: tuple[str, str, str]
    by_owner: Mapping[ObjectRef, tuple[ListenerIntent, ...]]
    overlapping: frozenset[Listening] = frozenset()
    families: tuple[bool, ...] = _ONE_FAMILY
    requested: tuple[IpAddr, ...] = ()
    address_pool: str | None = None
    share_key: str | None = None
    accepts_proxy_protocol: bool = False
    identity: ClientIdentity | None = None
    refusal: Saying | None = None

    @property
    def listeners(self) -> Iterator[ListenerIntent]:
        """All of them, in the order in which they go before each other."""
        return (each for listeners in self.by_owner.values() for each in listeners)

    def listeners_of(self, owner: ObjectRef) -> tuple[ListenerIntent, ...]:
        """Return those of the Gateway itself, or of a ListenerSet; none, if it is not let in."""
        return self.by_owner.get(owner, ())

    def served(self) -> Iterator[ListenerIntent]:
        """Yield the listeners that carry traffic."""
        if self.refusal is None:
            yield from (listener for listener in self.listeners if listener.is_accepted)

    @property
    def asks_for_several(self) -> bool:
        """Whether more than one address of a family is asked for."""
        return len({is_ipv6(address) for address in self.requested}) < len(self.requested)

    def named(self) -> Iterator[ListenerIntent]:
        """Yield those of them to which connections or requests come by name."""
        return (each for each in self.served() if each.protocol and each.protocol.is_named)

    def sockets(self) -> dict[tuple[int, Transport], ListenerIntent]:
        """Return the ports that are open, each with one of the listeners there."""
        return {
            (listener.port, listener.protocol.transport): listener
            for listener in self.served()
            if listener.protocol is not None
        }

    def place(self, listener: ListenerIntent, hostname: str) -> Place:
        """Return a host on the port of a listener."""
        return place_of(self.ref, listener, hostname, hostname)


class _Addresses(msgspec.Struct, frozen=True):
    families: tuple[bool, ...]
    requested: tuple[IpAddr, ...] = ()
    refusal: Saying | None = None


def _compute(reader: Reader, ref: ObjectRef) -> Cell[GatewayIntent]:
    gateway = reader.need(GATEWAYS, ref)
    if reader.get(DOORS, ref) is None:
        return Cell(None)
    policy, problems = _policy(ref, gateway)
    by_owner = _merged(reader, ref, gateway)
    addresses = _addresses(gateway, options_of(reader))
    refusal = addresses.refusal or _refusal(gateway, by_owner)
    intent = GatewayIntent(
        ref=ref,
        age_key=gateway.metadata.age_key,
        by_owner=by_owner,
        overlapping=overlapping(each for own in by_owner.values() for each in own),
        families=addresses.families,
        requested=addresses.requested,
        address_pool=policy.address_pool,
        share_key=policy.share_address,
        accepts_proxy_protocol=policy.accept_proxy_protocol or False,
        identity=read_identity(reader, ref, gateway.spec.tls),
        refusal=refusal,
    )
    in_vain = asked_in_vain(ref, policy, intent.listeners_of(ref))
    untold = _untold(reader, gateway, intent)
    return Cell(intent, (*problems, *in_vain, *_problems(intent), *untold))


def _policy(ref: ObjectRef, gateway: Gateway) -> tuple[Policy, tuple[Problem, ...]]:
    """Return what the annotations of a Gateway say, and under them those of its infrastructure.

    These are for "any resources created in response to this Gateway"
    (GatewayInfrastructure.Annotations): what is made here for one are its addresses and listeners.
    """
    own, problems = parse_policy(ref, gateway.metadata.annotations)
    infrastructure = gateway.spec.infrastructure
    if infrastructure is None:
        return own, problems
    passed_on, told = parse_policy(ref, infrastructure.annotations, _INFRASTRUCTURE)
    return own.over(passed_on), (*problems, *told)


def _merged(
    reader: Reader, ref: ObjectRef, gateway: Gateway
) -> dict[ObjectRef, tuple[ListenerIntent, ...]]:
    """Return all listeners by whose they are, the ones that go first before the others."""
    merge = Merge()
    own = read_listeners(reader, ref, gateway.spec.listeners, ref, gateway.spec.tls)
    by_owner = {ref: merge.take(own)}
    named = reader.unordered(LISTENER_SETS_OF, ref)
    for each in sorted(named, key=lambda each: (each.age_key, each.ref)):
        if each.refusal is None:
            by_owner[each.ref] = merge.take(each.listeners)
    return by_owner


def _refusal(
    gateway: Gateway, by_owner: Mapping[ObjectRef, tuple[ListenerIntent, ...]]
) -> Saying | None:
    """Return why a Gateway is not accepted, or None.

    "At least one distinct Listener MUST be present, or else the Gateway effectively contains no
    Listeners, and must be rejected from processing as a whole" (GatewaySpec.Listeners).
    """
    infrastructure = gateway.spec.infrastructure
    if infrastructure is not None and infrastructure.parameters_ref is not None:
        message = "infrastructure.parametersRef is not supported; onehop.yaml has what it could say"
        return Saying("Accepted", Truth.FALSE, "InvalidParameters", message)
    if not any(each.is_accepted for listeners in by_owner.values() for each in listeners):
        message = "none of its listeners can be served; see their conditions"
        return Saying("Accepted", Truth.FALSE, "ListenersNotValid", message)
    return None


def _addresses(gateway: Gateway, options: Options) -> _Addresses:
    """Return what is asked for: certain addresses, or one of each family that the pools have.

    An entry without a value is a wish for any (feature GatewayAddressEmpty). Several of a family
    are a Gateway's to ask for, but none that is usable (conformance test GatewayStaticAddresses,
    v1.6).
    """
    pools = options.address_pools
    pooled = {is_ipv6(first) for pool in pools for first, _ in pool.ranges} or {False}
    families = tuple(sorted(pooled))
    for address in gateway.spec.addresses:
        if address.type != "IPAddress":
            return _unsupported(families, f"{quoted(address.type)}: addresses here are IPAddress")
    texts = [address.value for address in gateway.spec.addresses if address.value]
    if not texts:
        return _Addresses(families)
    parsed = [parse_ip(text) for text in texts]
    wanted = tuple(address for address in parsed if address is not None)
    asked = tuple(sorted({is_ipv6(address) for address in wanted}))
    if len(wanted) != len(texts):
        listed = ", ".join(map(quoted, texts[:4]))
        return _unsupported(families, f"{listed}: addresses here are IP addresses")
    return _Addresses(asked, wanted)


def _unsupported(families: tuple[bool, ...], message: str) -> _Addresses:
    refusal = Saying("Accepted", Truth.FALSE, "UnsupportedAddress", message)
    return _Addresses(families, refusal=refusal)


def _problems(intent: GatewayIntent) -> Iterator[Problem]:
    """Yield what its owner has to mend, in words; status says the same by conditions."""
    if intent.refusal is not None:
        yield _problem(intent.ref, "spec", intent.refusal)
    if intent.asks_for_several:
        yield Problem(
            subject=intent.ref,
            field="spec.addresses",
            reason=Reason.ADDRESS_CONFLICT,
            message=f"no address: {told_of_several(intent)}",
        )
    for listener in intent.listeners:
        for saying in listener.sayings:
            if saying.type != "Conflicted" and saying.status is Truth.FALSE:
                yield _problem(
                    listener.owner, f"spec.listeners[name={quoted(listener.name)}]", saying
                )


def told_of_several(intent: GatewayIntent) -> str:
    """Say what is wrong with asking for several addresses of a family."""
    return f"a Gateway has one of each family, and this one asks for {', '.join(intent.requested)}"


def _untold(reader: Reader, gateway: Gateway, intent: GatewayIntent) -> Iterator[Problem]:
    """Tell a Gateway why clients are turned away on ports that only ListenerSets have.

    These are not told, for they may be strangers'; see `Frontend.told_to_others`.
    """
    own = {each.port for each in intent.listeners_of(intent.ref) if each.is_tls}
    for port in sorted({each.port for each in intent.listeners if each.is_tls} - own):
        frontend = read_frontend(reader, intent.ref, port, gateway.spec.tls)
        for saying in filter(None, (frontend.fault, frontend.unresolved)):
            yield _problem(intent.ref, "spec.tls.frontend", saying)


_REASONS: Final = {
    "HostnameConflict": Reason.CONFLICT,
    "ProtocolConflict": Reason.CONFLICT,
    "RefNotPermitted": Reason.REF_NOT_PERMITTED,
    "InvalidCertificateRef": Reason.CERTIFICATE_INVALID,
    "InvalidCACertificateRef": Reason.CERTIFICATE_INVALID,
    "NoValidCACertificate": Reason.CERTIFICATE_INVALID,
    "ListenersNotValid": Reason.INVALID_OBJECT,
}


def _problem(subject: ObjectRef, field: str, saying: Saying) -> Problem:
    return Problem(
        subject=subject,
        field=field,
        reason=_REASONS.get(saying.reason, Reason.UNSUPPORTED),
        message=f"{saying.type}, {saying.reason}: {saying.message}",
    )


def _named_hosts(_ref: ObjectRef, intent: GatewayIntent) -> set[HostKey]:
    """Return the hosts that exist by the wish of listeners alone.

    A host without routes answers 404, and keeps its requests from the routes of wider listeners
    ("Listener Isolation"). On ports with TLS all listeners have theirs: each of them answers 421
    to what belongs to another one, those that pass TLS on included; see `misdirected`.
    """
    split = {each.port for each in intent.served() if each.is_tls}
    return {
        intent.place(each, each.hostname).key
        for each in intent.named()
        if each.port in split or (each.hostname != ANY and each.protocol is Protocol.HTTP)
    }


def _secrets(intent: GatewayIntent) -> set[ObjectRef]:
    """Return what holds the certificates that clients and endpoints are shown."""
    shown = {secret for each in intent.listeners for secret in each.certificates}
    own = intent.identity.secret if intent.identity is not None else None
    return shown if own is None else shown | {own}


GATEWAY_INTENTS: Final = Derived[ObjectRef, GatewayIntent](
    "gateway-intents", _compute, (GATEWAY_REFS,)
)
GATEWAY_INTENT_REFS: Final = Index[ObjectRef, GatewayIntent, ObjectRef](
    GATEWAY_INTENTS, "ref", lambda ref, _: (ref,)
)
LISTENER_HOSTS: Final = Index[ObjectRef, GatewayIntent, HostKey](
    GATEWAY_INTENTS, "listener-host", _named_hosts
)
GATEWAY_SECRETS: Final = Index[ObjectRef, GatewayIntent, ObjectRef](
    GATEWAY_INTENTS,
    "secret",
    lambda _, intent: _secrets(intent),
)
GATEWAY_CAS: Final = Index[ObjectRef, GatewayIntent, ObjectRef](
    GATEWAY_INTENTS, "ca", lambda _, intent: {ca for each in intent.listeners for ca in each.cas}
)
"""What the certificates of clients are verified by."""
