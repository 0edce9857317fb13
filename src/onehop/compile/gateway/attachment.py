"""Attachments: which listeners take a route in, and which hosts it gets a say in by them.

A route's attachments are a cell of their own, beside the cell of its rules: they come out as before
when its rules are edited, and so nothing that counts or lists the routes of a Gateway looks again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from onehop.cluster import TCPRoute, UDPRoute
from onehop.cluster.gateway_ref import GROUP, ParentRef
from onehop.cluster.gateway_status import RouteKind
from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.compile.gateway.hostname import ANY, intersection, names_over
from onehop.compile.gateway.kinds import ROUTE_REFS, AnyRoute, route_of
from onehop.compile.gateway.listener import ListenerIntent
from onehop.compile.gateway.origin import lets_in
from onehop.compile.gateway.parent import NAMES, PARENTS, Parent
from onehop.compile.gateway.place import Place, place_of, router_of
from onehop.compile.ingress import is_hostname
from onehop.compile.router import HostKey
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, quoted

_MOST_LISTED: Final = 4
_PARENT_KINDS: Final = frozenset(((GROUP, "Gateway"), (GROUP, "ListenerSet")))


class Attachment(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What comes of one parentRef.

    Attributes:
        parent: as the route has it.
        owner: the Gateway or ListenerSet that it means.
        gateway: itself, or the one that a ListenerSet belongs to.
        accepted: the condition, as far as that decides it.
        listeners: the names of those that take the route in.
        places: where its rules count; each once.
    """

    parent: ParentRef
    owner: ObjectRef
    gateway: ObjectRef
    accepted: Saying
    listeners: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()


class Attachments(msgspec.Struct, frozen=True, gc=False):
    """A route with parents of ours."""

    ref: ObjectRef
    age_key: tuple[str, str, str]
    parents: tuple[Attachment, ...]


def _compute(reader: Reader, ref: ObjectRef) -> Cell[Attachments]:
    route = route_of(reader, ref)
    if route is None or route.metadata.deletion_timestamp is not None:
        return Cell(None)
    parents = tuple(_parents(reader, ref, route))
    if not parents:
        return Cell(None)
    problems = tuple(
        Problem(
            subject=ref,
            field="spec.parentRefs",
            reason=Reason.NOT_ATTACHED,
            message=f"{each.accepted.reason}: {each.accepted.message}",
        )
        for each in parents
        if each.accepted.status is Truth.FALSE
    )
    return Cell(Attachments(ref, route.metadata.age_key, parents), problems)


def _parents(reader: Reader, ref: ObjectRef, route: AnyRoute) -> Iterator[Attachment]:
    names = _hostnames(route)
    for parent in route.spec.parent_refs:
        if (parent.group, parent.kind) not in _PARENT_KINDS:
            continue
        name = ObjectRef(parent.kind, parent.namespace or ref.namespace, parent.name)
        found = reader.get(PARENTS, name)
        if found is not None:
            yield _attach(reader, ref, parent, found, names)


def _hostnames(route: AnyRoute) -> tuple[str, ...]:
    """Return the hosts of a route; all, if it names none. Those that are no names match nothing."""
    named = () if isinstance(route, TCPRoute | UDPRoute) else route.spec.hostnames
    return tuple(dict.fromkeys(filter(is_hostname, named))) if named else (ANY,)


def _attach(
    reader: Reader,
    ref: ObjectRef,
    parent: ParentRef,
    found: Parent,
    hostnames: Sequence[str],
) -> Attachment:
    """Return what comes of a parentRef to a Gateway of ours, or to a ListenerSet of one.

    The reasons are those of `apis/v1/shared_types.go`, RouteConditionReason. Each narrows what the
    one before it has left, so the last one that leaves nothing says why.
    """

    def refuse(reason: str, message: str) -> Attachment:
        saying = Saying("Accepted", Truth.FALSE, reason, message)
        return Attachment(parent=parent, owner=found.ref, gateway=found.gateway, accepted=saying)

    if not found.listeners:
        return refuse("NoMatchingParent", f"{found.ref} adds no listeners, see there")
    named = [each for each in found.listeners if _is_meant(parent, each)]
    if not named:
        return refuse("NoMatchingParent", f"{found.ref} has no such listener{_sought(parent)}")
    letting = [each for each in named if _lets_in(reader, each, ref)]
    if not letting:
        return refuse("NotAllowedByListeners", _why_kept_out(found.ref, named, ref))
    hosts = {each.name: _shared_hosts(each, hostnames) for each in letting}
    taking = [each for each in letting if hosts[each.name]]
    if not taking:
        have = ", ".join(sorted({quoted(each.hostname) for each in letting})[:_MOST_LISTED])
        message = f"none of its hostnames fits the listeners of {found.ref}, which are for {have}"
        return refuse("NoMatchingListenerHostname", message)
    places = {place for each in taking for place in _places(reader, found, each, hosts[each.name])}
    return Attachment(
        parent=parent,
        owner=found.ref,
        gateway=found.gateway,
        accepted=Saying("Accepted", Truth.TRUE, "Accepted"),
        listeners=tuple(each.name for each in taking),
        places=tuple(sorted(places)),
    )


def _is_meant(parent: ParentRef, listener: ListenerIntent) -> bool:
    """Tell whether a parentRef means a listener.

    "When both Port and SectionName are specified, the name and port of the selected listener must
    match both specified values" (ParentReference.Port).
    """
    is_named = not parent.section_name or parent.section_name == listener.name
    return is_named and parent.port in (None, listener.port)


def _sought(parent: ParentRef) -> str:
    name = f" named {quoted(parent.section_name)}" if parent.section_name else ""
    return f"{name} on port {parent.port}" if parent.port is not None else name


def _why_kept_out(owner: ObjectRef, named: Sequence[ListenerIntent], ref: ObjectRef) -> str:
    """Say why none of the listeners that a route names lets it in, and what they would let in."""
    kinds = sorted({f"{kind.kind}s" for each in named for kind in each.kinds})
    if not kinds:
        return f"listeners of {owner} let in no kind of route that is served here"
    if f"{ref.kind}s" not in kinds:
        return f"listeners of {owner} let in {' and '.join(kinds)}, and no {ref.kind}s"
    return f"no listener of {owner} lets in {ref.kind}s of namespace {ref.namespace}"


def _lets_in(reader: Reader, listener: ListenerIntent, ref: ObjectRef) -> bool:
    """Tell whether a listener's allowedRoutes take a route's kind and namespace.

    "Same" is the namespace of whoever has the listener.
    """
    if RouteKind(ref.kind) not in listener.kinds:
        return False
    home = listener.owner.namespace
    return lets_in(reader, listener.origin, listener.selector, home=home, namespace=ref.namespace)


def _shared_hosts(listener: ListenerIntent, hostnames: Sequence[str]) -> Mapping[str, str]:
    """Return the hosts that a listener and a route have in common, and how the route says each.

    "If both the Listener and HTTPRoute have specified hostnames, any HTTPRoute hostnames that do
    not match the Listener hostname MUST be ignored" (HTTPRouteSpec.Hostnames). A route that names
    none has those of its listeners, and says of them what they say.
    """
    found: dict[str, str] = {}
    for hostname in hostnames:
        shared = intersection(listener.hostname, hostname)
        said = listener.hostname if hostname == ANY else hostname
        if shared is not None and len(said) > len(found.get(shared, "")):
            found[shared] = said
    return found


def _places(
    reader: Reader, parent: Parent, listener: ListenerIntent, hosts: Mapping[str, str]
) -> Iterator[Place]:
    """Yield where a route counts by one listener.

    A host that another listener of the port is closer to is that one's: "a request to
    foo.example.com SHOULD only be routed using routes attached to the foo.example.com Listener"
    (GatewaySpec.Listeners, "General Listener behavior").
    """
    if not listener.is_accepted or not (listener.protocol and listener.protocol.is_named):
        return
    closest = reader.get(NAMES, router_of(parent.gateway, listener.port)) or {}
    for host, said in hosts.items():
        owner = next((closest[name] for name in names_over(host) if name in closest), None)
        if owner == listener.id:
            yield place_of(parent.gateway, listener, host, said)


def _routed_hosts(ref: ObjectRef, attachments: Attachments) -> set[HostKey]:
    return set() if ref.kind == "TLSRoute" else _hosts(attachments)


def _passed_hosts(ref: ObjectRef, attachments: Attachments) -> set[HostKey]:
    return _hosts(attachments) if ref.kind == "TLSRoute" else set()


def _hosts(attachments: Attachments) -> set[HostKey]:
    return {place.key for each in attachments.parents for place in each.places}


ATTACHMENTS: Final = Derived[ObjectRef, Attachments]("attachments", _compute, ROUTE_REFS)
ATTACHED_REFS: Final = Index[ObjectRef, Attachments, ObjectRef](
    ATTACHMENTS, "ref", lambda ref, _: (ref,)
)
ROUTED_HOSTS: Final = Index[ObjectRef, Attachments, HostKey](ATTACHMENTS, "host", _routed_hosts)
PASSED_HOSTS: Final = Index[ObjectRef, Attachments, HostKey](
    ATTACHMENTS, "passed-host", _passed_hosts
)
"""Hosts whose TLS goes past us."""
