"""Backends of routes: the pools that they mean, and what is wrong with those that mean none."""

from typing import Final

import msgspec

from onehop.cluster.gateway_ref import BackendObjectRef
from onehop.cluster.ingress import ServiceBackend, ServiceBackendPort
from onehop.compile.backend import CA_KEY, Found, ca_pem_of, ca_ref, find_backend, options_of
from onehop.compile.gateway.attachment import ATTACHMENTS
from onehop.compile.gateway.backendtls import VERIFICATIONS, Verification, policies_for
from onehop.compile.gateway.grant import is_granted
from onehop.compile.gateway.kinds import STREAMS
from onehop.compile.inputs import SECRETS
from onehop.compile.policy import Policy
from onehop.compile.sheet import Reader
from onehop.compile.value import is_object_name
from onehop.compile.wish import Wish, http_wish, rung_problems, stream_wish
from onehop.model.ident import ObjectRef
from onehop.model.pool import BackendTls
from onehop.model.problem import Problem, Reason, quoted

NO_SHARE: Final = "its share of requests gets 500"
NO_CALLS: Final = "its share of calls fails with UNAVAILABLE"
NO_CONNECTIONS: Final = "connections are refused"
NO_COPIES: Final = "no copies are made"


class Unresolved(msgspec.Struct, frozen=True):
    """A reference that leads nowhere.

    Attributes:
        reason: of the condition `ResolvedRefs` (`apis/v1/shared_types.go`, RouteConditionReason).
        cas: the Secrets and ConfigMaps that would help, if that is what is missing.
        policies: BackendTLSPolicies that have a say in it.
    """

    reason: str
    problem: Problem
    cas: tuple[ObjectRef, ...] = ()
    policies: tuple[ObjectRef, ...] = ()


class Backend(msgspec.Struct, frozen=True):
    """A reference that leads to a Service's port.

    Attributes:
        told: what the chosen rung of the ladder cannot hold.
        cas: what the CA of its endpoints is read from.
        policies: BackendTLSPolicies that have a say in it.
    """

    wish: Wish
    told: tuple[Problem, ...]
    cas: tuple[ObjectRef, ...] = ()
    policies: tuple[ObjectRef, ...] = ()


def resolve(  # noqa: PLR0913  what is meant, and what is said if it is not there
    reader: Reader,
    route: ObjectRef,
    ref: BackendObjectRef,
    policy: Policy,
    field: str,
    *,
    until: str,
) -> Backend | Unresolved:
    """Find the pool that a backendRef means, or say why there is none.

    Args:
        reader: of the route's cell.
        route: who refers.
        ref: to a Service, or to what is not served.
        policy: the route's own, over what the Service's annotations say.
        field: where the reference stands.
        until: what happens as long as it leads nowhere.
    """

    def refuse(reason: str, said: Reason, message: str) -> Unresolved:
        problem = Problem(subject=route, field=field, reason=said, message=message)
        return Unresolved(reason, problem)

    if ref.group != "" or ref.kind != "Service":
        what = f"{quoted(ref.kind)} {quoted(ref.name)} is no Service; {until}"
        return refuse("InvalidKind", Reason.UNSUPPORTED, what)
    namespace = ref.namespace or route.namespace
    if not (is_object_name(ref.name) and is_object_name(namespace)):
        what = f"{quoted(ref.name)} cannot be the name of a Service; {until}"
        return refuse("BackendNotFound", Reason.BACKEND_NOT_FOUND, what)
    target = ObjectRef("Service", namespace, ref.name)
    if not is_granted(reader, route, target):
        what = f"no ReferenceGrant in {namespace} lets {route} refer to {target}; {until}"
        return refuse("RefNotPermitted", Reason.REF_NOT_PERMITTED, what)
    wanted = ServiceBackend(ref.name, ServiceBackendPort(number=ref.port or 0))
    protocol = "UDP" if route.kind == "UDPRoute" else "TCP"
    found = find_backend(
        reader, wanted, route, field, until, namespace=namespace, protocol=protocol
    )
    if isinstance(found, Problem):
        is_missing = found.reason is Reason.BACKEND_NOT_FOUND
        return Unresolved("BackendNotFound" if is_missing else "InvalidKind", found)
    policies = policies_for(reader, target, found.port)
    demanded = reader.need(VERIFICATIONS, policies[0]) if policies else None
    if demanded is None:
        return _found(reader, route, found, policy, field, until=until)
    if demanded.tls is None or _is_passed_on(reader, route):
        refused = refuse(*_unverified(route, policies[0], demanded, until))
        return msgspec.structs.replace(refused, cas=demanded.cas, policies=policies)
    backend = _found(reader, route, found, policy, field, until=until, demanded=demanded.tls)
    return msgspec.structs.replace(backend, cas=demanded.cas, policies=policies)


def _is_passed_on(reader: Reader, route: ObjectRef) -> bool:
    """Tell whether backends get what clients send: datagrams, or a TLS of the clients' own.

    A TLSRoute has one pool for all of its hosts, so one listener that passes TLS on decides.
    """
    if route.kind != "TLSRoute":
        return route.kind == "UDPRoute"
    parents = reader.need(ATTACHMENTS, route).parents
    return any(not place.ends_tls for each in parents for place in each.places)


def _unverified(
    route: ObjectRef, policy: ObjectRef, demanded: Verification, until: str
) -> tuple[str, Reason, str]:
    """Return why endpoints are not verified as demanded, for the condition and in words."""
    if demanded.tls is not None:
        passed = "datagrams" if route.kind == "UDPRoute" else "clients' own TLS (mode Passthrough)"
        what = f"{policy} asks for TLS, but this {route.kind} passes on {passed}; {until}"
        return "UnsupportedProtocol", Reason.UNSUPPORTED, what
    what = f"{policy} cannot be obeyed: {demanded.accepted.message}; {until}"
    return "InvalidBackendTLS", Reason.CERTIFICATE_INVALID, what


def _found(  # noqa: PLR0913  what is meant, and what is said of it
    reader: Reader,
    route: ObjectRef,
    found: Found,
    policy: Policy,
    field: str,
    *,
    until: str,
    demanded: BackendTls | None = None,
) -> Backend | Unresolved:
    """Return the pool of a Service's port, spoken to as a BackendTLSPolicy may demand."""
    merged = found.policy(policy)
    options = options_of(reader)
    if route.kind in STREAMS:
        # `client-address` is about the listeners of the Service's own ports.
        plain = msgspec.structs.replace(merged, client_address=None)
        stream = stream_wish(found.service, found.port, plain, options=options, demanded=demanded)
        return Backend(stream, rung_problems(stream, found.port, route))
    is_said = merged.backend_protocol or found.port.app_protocol
    if route.kind == "GRPCRoute" and not is_said:  # "infer the protocol from the Route type"
        merged = msgspec.structs.replace(merged, backend_protocol="grpc")
    ca = ca_ref(merged, found.service.metadata.namespace) if demanded is None else None
    ca_pem = ca_pem_of(reader.get(SECRETS, ca)) if ca is not None else None
    if ca is not None and ca_pem is None:
        what = f"{ca} with CA certificates (PEM) under {CA_KEY!r} is not there; {until}"
        reason = Reason.CERTIFICATE_INVALID
        problem = Problem(subject=route, field=field, reason=reason, message=what)
        return Unresolved("BackendNotFound", problem, (ca,))
    wish = http_wish(
        found.service, found.port, merged, ca_pem=ca_pem, options=options, demanded=demanded
    )
    return Backend(wish, rung_problems(wish, found.port, route), (ca,) if ca is not None else ())
