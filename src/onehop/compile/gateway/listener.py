"""Listeners of Gateways: which can be served, and what each lets in.

A listener is judged beside all others of its Gateway ("Distinct Listeners", GatewaySpec.Listeners
in `apis/v1/gateway_types.go`); routes and certificates have no say in it here.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from onehop.cluster.gateway_listener import GatewayListener
from onehop.cluster.gateway_ref import GROUP, SecretRef
from onehop.cluster.gateway_selector import LabelSelector
from onehop.cluster.gateway_status import RouteKind
from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.compile.gateway.grant import is_granted
from onehop.compile.gateway.hostname import ANY
from onehop.compile.ingress import is_hostname
from onehop.compile.sheet import Reader
from onehop.compile.value import is_object_name, is_port
from onehop.model.ident import ObjectRef
from onehop.model.problem import quoted

_HTTP_KINDS: Final = (RouteKind("HTTPRoute"), RouteKind("GRPCRoute"))
_CORE_PROTOCOLS: Final = ("HTTP", "HTTPS")


class From(StrEnum):
    """From which namespaces routes may come."""

    ALL = "All"
    SAME = "Same"
    SELECTOR = "Selector"
    NONE = "None"


class ListenerIntent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a listener of a Gateway of ours asks for.

    Attributes:
        hostname: `*` for all.
        kinds: of routes that it lets in and that we serve.
        origin, selector: which namespaces they may come from.
        certificates: Secrets that its Gateway may show, in the order in which they are named.
        sayings: `Accepted`, `Conflicted` and `ResolvedRefs`, but for what Secrets hold.
        is_accepted: whether anything is served by it.
    """

    name: str
    port: int
    is_tls: bool
    hostname: str = ANY
    kinds: tuple[RouteKind, ...]
    origin: From
    selector: LabelSelector | None
    certificates: tuple[ObjectRef, ...] = ()
    sayings: tuple[Saying, ...]
    is_accepted: bool


def read_listeners(
    reader: Reader, gateway: ObjectRef, listeners: Sequence[GatewayListener]
) -> tuple[ListenerIntent, ...]:
    """Return what the listeners of a Gateway ask for, in their order."""
    readable = [each for each in listeners if _fault(each) is None]
    return tuple(_read(reader, gateway, each, readable) for each in listeners)


def _read(
    reader: Reader, gateway: ObjectRef, listener: GatewayListener, others: Iterable[GatewayListener]
) -> ListenerIntent:
    fault = _fault(listener)
    conflict = _conflict(listener, others) if fault is None else None
    kinds, are_kinds_good = _kinds(listener)
    certificates, refused = _certificates(reader, gateway, listener)
    namespaces = listener.allowed_routes.namespaces
    if fault is None and conflict is None:
        accepted = Saying("Accepted", Truth.TRUE, "Accepted")
        conflicted = Saying("Conflicted", Truth.FALSE, "NoConflicts")
    else:
        accepted = fault or Saying("Accepted", Truth.FALSE, *_said(conflict))
        conflicted = conflict or Saying("Conflicted", Truth.FALSE, "NoConflicts")
    refs = refused or Saying("ResolvedRefs", Truth.TRUE, "ResolvedRefs")
    if not are_kinds_good:
        message = "allowedRoutes.kinds names kinds that this listener does not take"
        refs = Saying("ResolvedRefs", Truth.FALSE, "InvalidRouteKinds", message)
    return ListenerIntent(
        name=listener.name,
        port=listener.port,
        is_tls=listener.protocol.upper() == "HTTPS",
        hostname=listener.hostname or ANY,
        kinds=kinds,
        origin=From(namespaces.origin) if namespaces.origin in set(From) else From.NONE,
        selector=namespaces.selector,
        certificates=certificates,
        sayings=(accepted, conflicted, refs),
        is_accepted=fault is None and conflict is None,
    )


def _said(conflict: Saying | None) -> tuple[str, str]:
    return (conflict.reason, conflict.message) if conflict else ("Invalid", "")


def _fault(listener: GatewayListener) -> Saying | None:
    """Return why a listener by itself is not served, or None.

    "If an implementation does not support a specified protocol, it MUST set the Accepted condition
    to False for the affected Listener with a reason of UnsupportedProtocol"; the core protocols are
    compared case-insensitively (ProtocolType).
    """

    def refuse(reason: str, message: str) -> Saying:
        return Saying("Accepted", Truth.FALSE, reason, message)

    if listener.protocol.upper() not in _CORE_PROTOCOLS:
        served = " and ".join(_CORE_PROTOCOLS)
        what = f"{quoted(listener.protocol)} is not served here; {served} are"
        return refuse("UnsupportedProtocol", what)
    if not is_port(listener.port):
        return refuse("PortUnavailable", f"{listener.port} is not a port from 1 to 65535")
    if listener.hostname and not is_hostname(listener.hostname):
        what = f"{quoted(listener.hostname)} is no DNS name in lower case, nor one behind *."
        return refuse("UnsupportedValue", what)
    is_https = listener.protocol.upper() == "HTTPS"
    if is_https and listener.tls is not None and listener.tls.mode != "Terminate":
        return refuse("UnsupportedValue", "the tls.mode of HTTPS is Terminate")
    return None


def _conflict(listener: GatewayListener, others: Iterable[GatewayListener]) -> Saying | None:
    """Return why a listener cannot be told from another, or None.

    "ALL indistinct Listeners must not be accepted for processing": there is no winner. A port
    speaks one protocol; listeners of one port differ by hostname.
    """
    for other in others:
        if other is listener or other.port != listener.port:
            continue
        if other.protocol.upper() != listener.protocol.upper():
            what = f"port {listener.port} speaks {quoted(other.protocol)} for {quoted(other.name)}"
            return Saying("Conflicted", Truth.TRUE, "ProtocolConflict", what)
        if (other.hostname or ANY) == (listener.hostname or ANY):
            what = f"{quoted(other.name)} has the same port and hostname; neither is served"
            return Saying("Conflicted", Truth.TRUE, "HostnameConflict", what)
    return None


def _kinds(listener: GatewayListener) -> tuple[tuple[RouteKind, ...], bool]:
    """Return the kinds that are let in, and whether all that are named can be.

    `apis/v1/gateway_types.go`, ListenerStatus.SupportedKinds: "If both valid and invalid Route
    kinds are specified, the implementation MUST reference the valid Route kinds that have been
    specified."
    """
    fitting = _HTTP_KINDS if listener.protocol.upper() in _CORE_PROTOCOLS else ()
    named = listener.allowed_routes.kinds
    if not named:
        return fitting, True
    wanted = [msgspec.structs.replace(kind, group=kind.group or GROUP) for kind in named]
    good = tuple(dict.fromkeys(kind for kind in wanted if kind in fitting))
    return good, all(kind in fitting for kind in wanted)


def _certificates(
    reader: Reader, gateway: ObjectRef, listener: GatewayListener
) -> tuple[tuple[ObjectRef, ...], Saying | None]:
    """Return the Secrets that may be shown, and what is wrong with the references.

    "References to a resource in different namespace are invalid UNLESS there is a ReferenceGrant in
    the target namespace" (ListenerTLSConfig.CertificateRefs).
    """
    if listener.protocol.upper() != "HTTPS":
        return (), None
    refs = listener.tls.certificate_refs if listener.tls is not None else ()
    found: list[ObjectRef] = []
    refused = None if refs else _bad("InvalidCertificateRef", "HTTPS needs tls.certificateRefs")
    for ref in refs:
        secret = _secret(gateway, ref)
        if secret is None:
            what = f"{quoted(ref.kind)} {quoted(ref.name)} is no Secret"
            refused = refused or _bad("InvalidCertificateRef", what)
        elif not is_granted(reader, gateway, secret):
            what = f"no ReferenceGrant in {secret.namespace} lets this Gateway refer to {secret}"
            refused = refused or _bad("RefNotPermitted", what)
        else:
            found.append(secret)
    return tuple(found), refused


def _secret(gateway: ObjectRef, ref: SecretRef) -> ObjectRef | None:
    namespace = ref.namespace or gateway.namespace
    is_secret = ref.group == "" and ref.kind == "Secret"
    if not (is_secret and is_object_name(ref.name) and is_object_name(namespace)):
        return None
    return ObjectRef("Secret", namespace, ref.name)


def _bad(reason: str, message: str) -> Saying:
    return Saying("ResolvedRefs", Truth.FALSE, reason, message)
