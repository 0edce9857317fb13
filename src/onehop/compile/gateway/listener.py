"""Listeners of Gateways: which can be served, and what each lets in.

A listener is judged by itself here, and beside all others of its Gateway in `merge`; routes and
certificates have no say in it.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from onehop.cluster.gateway import GatewayTls
from onehop.cluster.gateway_listener import GatewayListener
from onehop.cluster.gateway_ref import GROUP
from onehop.cluster.gateway_selector import LabelSelector
from onehop.cluster.gateway_status import RouteKind
from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.compile.gateway.feature import why_not
from onehop.compile.gateway.frontend import UNASKED, Frontend, read_frontend
from onehop.compile.gateway.grant import is_granted, secret_of
from onehop.compile.gateway.hostname import ANY
from onehop.compile.gateway.origin import From
from onehop.compile.ingress import is_hostname
from onehop.compile.policy import Policy
from onehop.compile.sheet import Reader
from onehop.compile.value import is_port
from onehop.model.capability import Capability
from onehop.model.ident import ObjectRef
from onehop.model.listener import PortCheck, Transport
from onehop.model.problem import Problem, Reason, Severity, quoted


class Protocol(StrEnum):
    """What a listener speaks, of what we serve."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    TLS = "TLS"
    """By name, passed through or ended; see `passed`."""
    TCP = "TCP"
    UDP = "UDP"

    @property
    def transport(self) -> Transport:
        """The layer 4 protocol below it."""
        return Transport.UDP if self is Protocol.UDP else Transport.TCP

    @property
    def is_named(self) -> bool:
        """Whether what arrives says for which host it is."""
        return self.is_http or self is Protocol.TLS

    @property
    def family(self) -> "Protocol":
        """Return the protocol that stands for all that can share a port: TLS is TLS."""
        return Protocol.HTTPS if self is Protocol.TLS else self

    @property
    def is_http(self) -> bool:
        """Whether requests are told apart by host."""
        return self in {Protocol.HTTP, Protocol.HTTPS}


_HTTP_KINDS: Final = (RouteKind("HTTPRoute"), RouteKind("GRPCRoute"))
_KINDS: Final = {
    Protocol.HTTP: _HTTP_KINDS,
    Protocol.HTTPS: _HTTP_KINDS,
    Protocol.TLS: (RouteKind("TLSRoute"),),
    Protocol.TCP: (RouteKind("TCPRoute"),),
    Protocol.UDP: (RouteKind("UDPRoute"),),
}


_MODES: Final = ("Terminate", "Passthrough")
Listening: TypeAlias = tuple[ObjectRef, str]
"""A Gateway or a ListenerSet, and the name of one of its listeners."""


class ListenerIntent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a listener of a Gateway of ours asks for.

    Attributes:
        owner: the Gateway, or the ListenerSet that it stands in.
        protocol: None for one that is not served.
        hostname: `*` for all.
        kinds: of routes that it lets in and that we serve.
        origin, selector: which namespaces they may come from.
        certificates: Secrets that its Gateway may show, in the order in which they are named.
        clients, cas: what clients have to show, and what that is read from.
        sayings: `Accepted`, `Conflicted` and `ResolvedRefs`, but for what Secrets hold.
        ends_tls: whether TLS ends here, whatever is in it.
        has_place: whether it stands for its port and hostname, served or not.
        is_accepted: whether anything is served by it.
    """

    owner: ObjectRef
    name: str
    port: int
    protocol: Protocol | None
    hostname: str = ANY
    kinds: tuple[RouteKind, ...]
    origin: From
    selector: LabelSelector | None
    certificates: tuple[ObjectRef, ...] = ()
    clients: PortCheck | None = None
    cas: tuple[ObjectRef, ...] = ()
    sayings: tuple[Saying, ...]
    ends_tls: bool
    has_place: bool
    is_accepted: bool

    @property
    def id(self) -> Listening:
        """What tells it from all others: its name alone does not."""
        return self.owner, self.name

    @property
    def is_tls(self) -> bool:
        """Whether TLS ends here, and HTTP is in it."""
        return self.protocol is Protocol.HTTPS

    @property
    def is_valid(self) -> bool:
        """Whether it can be served: a ListenerSet is accepted with one listener that can.

        With TLS that ends here, one that may show nobody's certificate cannot (conformance test
        ListenerSetReferenceGrant, v1.6); one that is not there yet may come.
        """
        return self.is_accepted and (bool(self.certificates) or not self.ends_tls)


def read_listeners(
    reader: Reader,
    owner: ObjectRef,
    listeners: Sequence[GatewayListener],
    gateway: ObjectRef,
    tls: GatewayTls | None,
) -> tuple[ListenerIntent, ...]:
    """Return what the listeners of a Gateway or a ListenerSet ask for, in their order.

    Args:
        reader: of the owner's cell.
        owner: who refers to certificates, and must be granted to.
        listeners: of the owner.
        gateway: whose clients they are, and who refers to the CAs for those.
        tls: what the Gateway says for all of its listeners.
    """
    return tuple(
        _read(reader, owner, each, _frontend(reader, owner, gateway, each, tls))
        for each in listeners
    )


def _frontend(
    reader: Reader,
    owner: ObjectRef,
    gateway: ObjectRef,
    listener: GatewayListener,
    tls: GatewayTls | None,
) -> Frontend:
    """Return what is asked of clients; nothing but of those of HTTPS."""
    if _protocol(listener) is not Protocol.HTTPS:
        return UNASKED
    frontend = read_frontend(reader, gateway, listener.port, tls)
    return frontend if owner == gateway else frontend.told_to_others(listener.port)


def asked_in_vain(
    owner: ObjectRef, policy: Policy, listeners: Sequence[ListenerIntent]
) -> Iterator[Problem]:
    """Tell an owner that asks for certificates, and ends nobody's TLS."""
    if policy.acme in {None, "false"} or any(each.ends_tls for each in listeners):
        return
    yield Problem(
        subject=owner,
        field="metadata.annotations[onehop.dev/acme]",
        reason=Reason.INVALID_ANNOTATION,
        message="onehop.dev/acme: TLS ends at no listener here, so none needs a certificate; one"
        " needs protocol HTTPS, or TLS with mode Terminate, and tls.certificateRefs",
        severity=Severity.WARNING,
    )


def _read(
    reader: Reader, owner: ObjectRef, listener: GatewayListener, frontend: Frontend
) -> ListenerIntent:
    flaw = _fault(listener) or _shortcoming(reader, listener)
    fault = flaw or frontend.fault
    kinds, are_kinds_good = _kinds(listener)
    certificates, refused = _certificates(reader, owner, listener)
    namespaces = listener.allowed_routes.namespaces
    refs = refused or frontend.unresolved or Saying("ResolvedRefs", Truth.TRUE, "ResolvedRefs")
    if not are_kinds_good:
        message = "allowedRoutes.kinds names kinds that this listener does not take"
        refs = Saying("ResolvedRefs", Truth.FALSE, "InvalidRouteKinds", message)
    return ListenerIntent(
        owner=owner,
        name=listener.name,
        port=listener.port,
        protocol=_protocol(listener),
        hostname=_hostname(listener),
        kinds=kinds,
        origin=From.of(namespaces.origin),
        selector=namespaces.selector,
        certificates=certificates,
        clients=frontend.check,
        cas=frontend.cas,
        sayings=(
            fault or Saying("Accepted", Truth.TRUE, "Accepted"),
            Saying("Conflicted", Truth.FALSE, "NoConflicts"),
            refs,
        ),
        ends_tls=_ends_tls(listener),
        has_place=flaw is None,
        is_accepted=fault is None,
    )


def _protocol(listener: GatewayListener) -> Protocol | None:
    """Return what is spoken; the core protocols are compared case-insensitively (ProtocolType)."""
    text = listener.protocol.upper()
    return Protocol(text) if text in set(Protocol) else None


def _hostname(listener: GatewayListener) -> str:
    """Return the hostname; protocols without such a thing ignore it (Listener.Hostname)."""
    protocol = _protocol(listener)
    return listener.hostname or ANY if protocol is None or protocol.is_named else ANY


def _fault(listener: GatewayListener) -> Saying | None:
    """Return why a listener by itself is served by no data plane, or None.

    "If an implementation does not support a specified protocol, it MUST set the Accepted condition
    to False for the affected Listener with a reason of UnsupportedProtocol" (ProtocolType).
    """

    def refuse(reason: str, message: str) -> Saying:
        return Saying("Accepted", Truth.FALSE, reason, message)

    if _protocol(listener) is None:
        what = f"{quoted(listener.protocol)} is not served here; {', '.join(Protocol)} are"
        return refuse("UnsupportedProtocol", what)
    if not is_port(listener.port):
        return refuse("PortUnavailable", f"{listener.port} is not a port from 1 to 65535")
    if listener.hostname and not is_hostname(listener.hostname):
        what = f"{quoted(listener.hostname)} is no DNS name in lower case, nor one behind *."
        return refuse("UnsupportedValue", what)
    if (
        _protocol(listener) is Protocol.HTTPS
        and listener.tls is not None
        and listener.tls.mode != "Terminate"
    ):
        return refuse("UnsupportedValue", "the tls.mode of HTTPS is Terminate")
    mode = listener.tls.mode if listener.tls is not None else "Terminate"
    if _protocol(listener) is Protocol.TLS and mode not in _MODES:
        return refuse("UnsupportedValue", f"tls.mode {quoted(mode)}: it is {' or '.join(_MODES)}")
    return None


def _shortcoming(reader: Reader, listener: GatewayListener) -> Saying | None:
    """Return why the data plane in use cannot serve a listener that others can, or None."""
    match _protocol(listener):
        case Protocol.UDP:
            why = why_not(reader, Capability.UDP)
            reason, what = "UnsupportedProtocol", "protocol UDP"
        case Protocol.TLS if _ends_tls(listener):
            why = why_not(reader, Capability.TLS_STREAMS)
            reason, what = "UnsupportedValue", "tls.mode Terminate"
        case Protocol.TLS:
            why = why_not(reader, Capability.TLS_PASSTHROUGH)
            reason, what = "UnsupportedValue", "tls.mode Passthrough"
        case _:
            return None
    return Saying("Accepted", Truth.FALSE, reason, f"{what}: {why}") if why else None


def _ends_tls(listener: GatewayListener) -> bool:
    if _protocol(listener) is Protocol.TLS:
        return listener.tls is None or listener.tls.mode == "Terminate"
    return _protocol(listener) is Protocol.HTTPS


def _kinds(listener: GatewayListener) -> tuple[tuple[RouteKind, ...], bool]:
    """Return the kinds that are let in, and whether all that are named can be.

    `apis/v1/gateway_types.go`, ListenerStatus.SupportedKinds: "If both valid and invalid Route
    kinds are specified, the implementation MUST reference the valid Route kinds that have been
    specified."
    """
    protocol = _protocol(listener)
    fitting = _KINDS[protocol] if protocol is not None else ()
    named = listener.allowed_routes.kinds
    if not named:
        return fitting, True
    wanted = [msgspec.structs.replace(kind, group=kind.group or GROUP) for kind in named]
    good = tuple(dict.fromkeys(kind for kind in wanted if kind in fitting))
    return good, all(kind in fitting for kind in wanted)


def _certificates(
    reader: Reader, owner: ObjectRef, listener: GatewayListener
) -> tuple[tuple[ObjectRef, ...], Saying | None]:
    """Return the Secrets that may be shown, and what is wrong with the references.

    "References to a resource in different namespace are invalid UNLESS there is a ReferenceGrant in
    the target namespace" (ListenerTLSConfig.CertificateRefs).
    """
    if not _ends_tls(listener):
        return (), None
    refs = listener.tls.certificate_refs if listener.tls is not None else ()
    found: list[ObjectRef] = []
    refused = (
        None
        if refs
        else _bad("InvalidCertificateRef", f"{_protocol(listener)} needs tls.certificateRefs")
    )
    for ref in refs:
        secret = secret_of(owner, ref)
        if secret is None:
            what = f"{quoted(ref.kind)} {quoted(ref.name)} is no Secret"
            refused = refused or _bad("InvalidCertificateRef", what)
        elif not is_granted(reader, owner, secret):
            what = (
                f"no ReferenceGrant in {secret.namespace} lets this {owner.kind} refer to {secret}"
            )
            refused = refused or _bad("RefNotPermitted", what)
        else:
            found.append(secret)
    return tuple(found), refused


def _bad(reason: str, message: str) -> Saying:
    return Saying("ResolvedRefs", Truth.FALSE, reason, message)
