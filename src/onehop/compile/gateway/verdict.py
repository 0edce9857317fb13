"""What shall be said in the status of Gateways and routes.

Conditions and reasons are those of `apis/v1/gateway_types.go` and `shared_types.go`. `Programmed`
waits for the data plane, and so is left to whoever writes; see `cluster.gateway_verdict`.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from onehop.cluster.gateway import GatewayAddress
from onehop.cluster.gateway_verdict import (
    GatewayVerdict,
    ListenerVerdict,
    ParentsVerdict,
    ParentVerdict,
    Saying,
    Truth,
)
from onehop.compile.allocation import Placement
from onehop.compile.backend import options_of
from onehop.compile.certificate import CHECKED
from onehop.compile.gateway.attachment import ATTACHED_REFS, ATTACHMENTS, Attachment, Attachments
from onehop.compile.gateway.contention import kept, losses
from onehop.compile.gateway.gateway import (
    GATEWAY_INTENT_REFS,
    GATEWAY_INTENTS,
    GatewayIntent,
    told_of_several,
)
from onehop.compile.gateway.identity import FIELD, unresolved
from onehop.compile.gateway.kinds import STATUS_REFS, AnyRoute, route_of
from onehop.compile.gateway.listener import ListenerIntent, Listening
from onehop.compile.gateway.listenerset import LISTENER_SETS_OF
from onehop.compile.gateway.overlap import told_of_overlap
from onehop.compile.gateway.placement import GATEWAY_PLACEMENTS, listener_id
from onehop.compile.gateway.route import ROUTE_RULES, Rules
from onehop.compile.gateway.servername import certificate_for, demand_for
from onehop.compile.gateway.stream import has_any, is_stream
from onehop.compile.naming import form_of
from onehop.compile.pending import ordered as told_of_order
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.certificate import CertificateDemand
from onehop.model.ident import ListenerId, ObjectRef
from onehop.model.problem import Problem, Reason, quoted

_Taken: TypeAlias = tuple[Listening, ...]


def _accepted(reader: Reader, ref: ObjectRef) -> Cell[_Taken]:
    """Return the listeners that a route counts for in `attachedRoutes`.

    "The AttachedRoutes number represents the number of Routes with the Accepted condition set to
    true that have been attached to this Listener" (ListenerStatus.AttachedRoutes). It comes out as
    before whatever becomes of the route's rules, so counting costs an edit nothing.
    """
    attachments, rules = reader.need(ATTACHMENTS, ref), reader.need(ROUTE_RULES, ref)
    if rules.fault is not None or _has_lost(reader, attachments):
        return Cell(None)
    taken = {(each.owner, name) for each in attachments.parents for name in each.listeners}
    taken -= losses(reader, ref).keys()
    return Cell(tuple(sorted(taken)) or None)


def _gateway(reader: Reader, ref: ObjectRef) -> Cell[GatewayVerdict]:
    intent = reader.need(GATEWAY_INTENTS, ref)
    placement = reader.need(GATEWAY_PLACEMENTS, ref)
    identity = tuple(_identity(reader, intent))
    verdict = GatewayVerdict(
        ref=ref,
        sayings=(_gateway_accepted(intent), *_insecure(intent), *identity),
        addresses=tuple(GatewayAddress(value=address) for address in placement.addresses),
        listeners=tuple(
            listener_verdict(reader, intent, listener, placement)
            for listener in intent.listeners_of(ref)
        ),
        attached_listener_sets=_attached_sets(reader, intent),
        obstacle=gateway_obstacle(intent, placement),
    )
    return Cell(verdict, tuple(_untold(ref, identity)))


def _identity(reader: Reader, intent: GatewayIntent) -> Iterator[Saying]:
    """Say whether endpoints can be shown what they shall be; nothing, if they shall not.

    "The `ResolvedRefs` condition on the Gateway MUST be set to False with the Reason
    `InvalidClientCertificateRef` and the Message of the Condition MUST indicate why the reference
    is invalid" (GatewayBackendTLS.ClientCertificateRef).
    """
    identity = intent.identity
    if identity is None:
        return
    if identity.secret is None:
        yield from filter(None, (identity.fault,))
        return
    checked = reader.get(CHECKED, identity.secret)
    if checked is not None and checked.is_good:
        yield Saying("ResolvedRefs", Truth.TRUE, "ResolvedRefs")
    elif checked is not None and checked.certificate is not None:
        message = checked.fault.message if checked.fault is not None else ""
        yield Saying("ResolvedRefs", Truth.FALSE, "InvalidClientCertificateRef", message)
    else:
        fault = checked.fault if checked is not None else None
        what = fault.message if fault is not None else f"{identity.secret} is not read"
        yield unresolved("InvalidClientCertificateRef", what)


def _attached_sets(reader: Reader, intent: GatewayIntent) -> int | None:
    """Return how many ListenerSets are attached and accepted (GatewayStatus.AttachedListenerSets).

    Where none names the Gateway nothing is said: releases before 1.5 do not keep the field, and
    would have it written over and over.
    """
    if not reader.count(LISTENER_SETS_OF, intent.ref):
        return None
    sets = (listeners for owner, listeners in intent.by_owner.items() if owner != intent.ref)
    is_accepted = intent.refusal is None
    return sum(is_accepted and any(each.is_valid for each in own) for own in sets)


def _untold(ref: ObjectRef, sayings: Iterable[Saying]) -> Iterator[Problem]:
    for saying in sayings:
        if saying.status is Truth.FALSE:
            is_denied = saying.reason == "RefNotPermitted"
            yield Problem(
                subject=ref,
                field=FIELD,
                reason=Reason.REF_NOT_PERMITTED if is_denied else Reason.CERTIFICATE_INVALID,
                message=saying.message,
            )


def _gateway_accepted(intent: GatewayIntent) -> Saying:
    """Say whether a Gateway is accepted.

    "ListenersNotValid: ... This can be the reason when Accepted is True or False, depending on
    whether the listener being invalid causes the entire Gateway to not be accepted."
    """
    if intent.refusal is not None:
        return intent.refusal
    own = intent.listeners_of(intent.ref)
    bad = sorted(quoted(each.name) for each in own if not each.is_accepted)
    if bad:
        message = f"these listeners are not served, see their conditions: {', '.join(bad)}"
        return Saying("Accepted", Truth.TRUE, "ListenersNotValid", message)
    return Saying("Accepted", Truth.TRUE, "Accepted")


def _insecure(intent: GatewayIntent) -> Iterator[Saying]:
    """Say that clients are let in whatever certificate they show.

    With `AllowInsecureFallback` "the `InsecureFrontendValidationMode` condition MUST be set to
    `True` with Reason `ConfigurationChanged` on gateway" (GEP-91).
    """
    ports = sorted({each.port for each in intent.listeners if _lets_all_in(each)})
    if ports:
        listed = ", ".join(map(str, ports))
        message = f"clients of port {listed} are let in whatever certificate they show, or none"
        yield Saying("InsecureFrontendValidationMode", Truth.TRUE, "ConfigurationChanged", message)


def _lets_all_in(listener: ListenerIntent) -> bool:
    return listener.clients is not None and not listener.clients.is_required


def gateway_obstacle(intent: GatewayIntent, placement: Placement) -> Saying | None:
    """Say why a Gateway cannot be programmed whatever the data plane says, or nothing."""
    if intent.refusal is not None:
        return Saying("Programmed", Truth.FALSE, "Invalid", intent.refusal.message)
    if intent.asks_for_several:
        return Saying("Programmed", Truth.FALSE, "AddressNotUsable", told_of_several(intent))
    lacking = [address for address in intent.requested if address not in placement.addresses]
    if lacking:
        message = f"{', '.join(lacking)} is in no address pool, or belongs to somebody else"
        return Saying("Programmed", Truth.FALSE, "AddressNotUsable", message)
    if not placement.addresses:
        message = "no address is free in the pools that onehop.yaml names"
        return Saying("Programmed", Truth.FALSE, "AddressNotAssigned", message)
    return None


def listener_verdict(
    reader: Reader, gateway: GatewayIntent, listener: ListenerIntent, placement: Placement
) -> ListenerVerdict:
    """Return what is said of a listener of a Gateway, its own or one of a ListenerSet."""
    accepted, conflicted, refs = listener.sayings
    if listener.ends_tls and refs.status is Truth.TRUE:
        refs = _certificates(reader, listener) or refs
    overlap = (told_of_overlap(listener.port),) if listener.id in gateway.overlapping else ()
    obstacle: Saying | None = None
    cannot_show = listener.ends_tls and certificate_for(reader, listener) is None
    is_ordered = cannot_show and _ordered(reader, listener) is not None
    if not listener.is_accepted or gateway.refusal is not None:
        said = accepted if gateway.refusal is None else gateway.refusal
        obstacle = Saying("Programmed", Truth.FALSE, _why_not(listener), said.message)
    elif cannot_show:
        reason = "Pending" if is_ordered else "Invalid"
        obstacle = Saying("Programmed", Truth.FALSE, reason, refs.message)
    elif not placement.addresses:
        obstacle = Saying("Programmed", Truth.FALSE, "Pending", "the Gateway has no address")
    return ListenerVerdict(
        name=listener.name,
        sayings=(accepted, conflicted, refs, *overlap),
        supported_kinds=listener.kinds,
        attached_routes=reader.count(_ROUTES_COUNTED, listener.id),
        needs=() if obstacle else tuple(_needs(gateway, listener, placement)),
        obstacle=obstacle,
    )


def _why_not(listener: ListenerIntent) -> str:
    """Return the reason of `Programmed` of a listener that is not accepted.

    Entries of ListenerSets repeat the conflict that they have lost (conformance tests
    ListenerSetHostnameConflict and ListenerSetProtocolConflict, v1.6).
    """
    _, conflicted, _ = listener.sayings
    has_lost = conflicted.status is Truth.TRUE and listener.owner.kind == "ListenerSet"
    return conflicted.reason if has_lost else "Invalid"


def _needs(
    gateway: GatewayIntent, listener: ListenerIntent, placement: Placement
) -> Iterator[ListenerId]:
    """Yield what must be served of a listener; nothing, if it is for streams and nobody's yet."""
    served = {each.id for each in placement.listeners}
    for address in placement.addresses:
        name = listener_id(gateway.ref, listener, address)
        if name in served:
            yield name


def _certificates(reader: Reader, listener: ListenerIntent) -> Saying | None:
    """Say what is wrong with the Secrets of a listener, or nothing.

    One that is being ordered is a reference to nothing all the same, until it is there:
    "InvalidCertificateRef: ... at least one TLS CertificateRef that is invalid or does not exist".
    """
    ordered = _ordered(reader, listener)
    for secret in listener.certificates:
        checked = reader.get(CHECKED, secret)
        if checked is None or not checked.is_good:
            fault = checked.fault if checked else None
            message = fault.message if fault else f"{secret} is not read"
            if ordered is not None and ordered.secret == secret:
                message = told_of_order(form_of(listener.owner), listener.hostname, ordered)
            return Saying("ResolvedRefs", Truth.FALSE, "InvalidCertificateRef", message)
    return None


def _ordered(reader: Reader, listener: ListenerIntent) -> CertificateDemand | None:
    """Return the order for a Secret of a listener that is not there yet, or None."""
    for secret in listener.certificates:
        checked = reader.get(CHECKED, secret)
        if checked is not None and checked.is_missing:
            demand = demand_for(reader, listener, secret)
            if demand is not None:
                return demand
    return None


def _route(reader: Reader, ref: ObjectRef) -> Cell[ParentsVerdict]:
    """Say what becomes of a route at each of its parents of ours.

    What we once said of parents that are ours no longer is taken away: "implementations MUST clean
    up ... entries" (RouteStatus.Parents).
    """
    controller = options_of(reader).gateway_controller
    attachments = reader.get(ATTACHMENTS, ref)
    if attachments is None:
        route = route_of(reader, ref)
        stale = route is not None and _has_entry(route, controller)
        return Cell(ParentsVerdict(ref=ref, controller=controller) if stale else None)
    rules = reader.need(ROUTE_RULES, ref)
    refusal = rules.fault
    if refusal is None and _has_lost(reader, attachments):
        message = "an older route has every listener that this one is attached to"
        refusal = Saying("Accepted", Truth.FALSE, "Conflicted", message)
    parents = tuple(
        ParentVerdict(
            parent=each.parent,
            sayings=tuple(_parent(each, rules, refusal or _outdone(reader, ref, each))),
        )
        for each in attachments.parents
    )
    return Cell(ParentsVerdict(ref=ref, controller=controller, parents=parents))


def _has_lost(reader: Reader, attachments: Attachments) -> bool:
    """Tell whether a route for whole listeners has none, for others were there before."""
    if not is_stream(attachments.ref) or not any(each.listeners for each in attachments.parents):
        return False
    return not has_any(reader, attachments)


def _outdone(reader: Reader, ref: ObjectRef, attachment: Attachment) -> Saying | None:
    """Say that routes of another kind have all that this one wants at a parent, or nothing.

    "The rejected Route MUST raise an 'Accepted' condition with a status of 'False' in the
    corresponding RouteParentStatus" (GRPCRouteSpec.Hostnames).
    """
    if not attachment.places or any(kept(reader, ref, attachment.places)):
        return None
    winner = losses(reader, ref)[attachment.places[0].listener]
    message = f"the older {winner} has a hostname of it, and is of another kind"
    return Saying("Accepted", Truth.FALSE, "Conflicted", message)


def _parent(attachment: Attachment, rules: Rules, refusal: Saying | None) -> Iterator[Saying]:
    is_taken = attachment.accepted.status is Truth.TRUE
    yield refusal if is_taken and refusal is not None else attachment.accepted
    yield from rules.sayings


def _has_entry(route: AnyRoute, controller: str) -> bool:
    return any(parent.controller_name == controller for parent in route.status.parents)


ACCEPTED_ROUTES: Final = Derived[ObjectRef, _Taken]("accepted-routes", _accepted, (ATTACHED_REFS,))
_ROUTES_COUNTED: Final = Index[ObjectRef, _Taken, Listening](
    ACCEPTED_ROUTES, "listener", lambda _, listeners: listeners
)
GATEWAY_VERDICTS: Final = Derived[ObjectRef, GatewayVerdict](
    "gateway-verdicts", _gateway, (GATEWAY_INTENT_REFS,)
)
ROUTE_VERDICTS: Final = Derived[ObjectRef, ParentsVerdict](
    "route-verdicts", _route, (ATTACHED_REFS, *STATUS_REFS)
)
