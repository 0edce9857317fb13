"""From what a route names as its backend to the pool it means."""

from collections.abc import Iterable
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from onehop.cluster import ConfigMap, Secret, Service, ref_of
from onehop.cluster.ingress import ServiceBackend
from onehop.cluster.service import ServicePort
from onehop.compile.extension import UNREADABLE
from onehop.compile.inputs import ONLY, OPTIONS, SECRETS, SERVICES
from onehop.compile.options import Options
from onehop.compile.policy import Policy, parse_policy
from onehop.compile.sheet import Reader
from onehop.compile.wish import Wish, find_port, http_wish, stream_wish
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, quoted

CA_KEY: Final = "ca.crt"
_MOST_PORTS: Final = 8


def pem_of(chain: Iterable[x509.Certificate]) -> str:
    """Return certificates as PEM and nothing else: a file may hold any text around them."""
    return "".join(item.public_bytes(Encoding.PEM).decode("ascii") for item in chain)


def ca_pem_of(holder: Secret | ConfigMap | None) -> str | None:
    """Return the CA certificates that an object holds, or None if there are none to be read."""
    pem = (holder.data or {}).get(CA_KEY) if holder is not None else None
    if pem is None:
        return None
    try:
        chain = x509.load_pem_x509_certificates(
            pem if isinstance(pem, bytes) else pem.encode("utf-8", "replace")
        )
    except UNREADABLE:
        return None
    return pem_of(chain)


def options_of(reader: Reader) -> Options:
    """Return the operator's options, or the defaults."""
    return reader.get(OPTIONS, ONLY) or Options()


def ca_ref(policy: Policy, namespace: str) -> ObjectRef | None:
    """Return the Secret that `backend-tls-ca` names, or None."""
    name = policy.backend_tls_ca
    return ObjectRef("Secret", namespace, name) if name else None


class Resolved(msgspec.Struct, frozen=True):
    """The pool that is wanted, and the Service port behind it."""

    wish: Wish
    port: ServicePort


def resolve_backend(
    reader: Reader, backend: ServiceBackend, policy: Policy, subject: ObjectRef, field: str
) -> Resolved | Problem:
    """Find the pool that an Ingress backend means, or say why there is none."""
    found = find_backend(reader, backend, subject, field, "requests get 503")
    if isinstance(found, Problem):
        return found
    merged = found.policy(policy)
    ca_pem: str | None = None
    secret = ca_ref(merged, subject.namespace)
    if secret is not None:
        ca_pem = ca_pem_of(reader.get(SECRETS, secret))
        if ca_pem is None:
            return Problem(
                subject=subject,
                field=field,
                reason=Reason.CERTIFICATE_INVALID,
                message=f"{secret} with CA certificates (PEM) under {CA_KEY!r} is needed to verify"
                " the backend and is not there; requests get 503 rather than go unverified",
            )
    wish = http_wish(found.service, found.port, merged, ca_pem=ca_pem, options=options_of(reader))
    return Resolved(wish, found.port)


def resolve_stream(
    reader: Reader, backend: ServiceBackend, policy: Policy, subject: ObjectRef, field: str
) -> Resolved | Problem:
    """Find the pool that takes the bytes of a whole connection, or say why there is none."""
    found = find_backend(reader, backend, subject, field, "connections are closed")
    if isinstance(found, Problem):
        return found
    # `client-address` is about the listeners of the Service's own ports.
    merged = msgspec.structs.replace(found.policy(policy), client_address=None)
    wish = stream_wish(found.service, found.port, merged, options=options_of(reader))
    return Resolved(wish, found.port)


class Found(msgspec.Struct, frozen=True):
    """A Service and its port."""

    service: Service
    port: ServicePort

    def policy(self, policy: Policy) -> Policy:
        """Return a policy over the Service's own, whose faults are told at the Service."""
        own, _ = parse_policy(ref_of(self.service), self.service.metadata.annotations)
        return policy.over(own)


def find_backend(  # noqa: PLR0913  what is meant, and what is said if it is not there
    reader: Reader,
    backend: ServiceBackend,
    subject: ObjectRef,
    field: str,
    until: str,
    *,
    namespace: str | None = None,
    protocol: str = "TCP",
) -> Found | Problem:
    """Find a Service and its port, or say what is missing and what happens `until` it is there.

    Without a `namespace` it is the subject's.
    """
    ref = ObjectRef("Service", subject.namespace if namespace is None else namespace, backend.name)
    service = reader.get(SERVICES, ref)

    def refuse(reason: Reason, message: str) -> Problem:
        return Problem(subject=subject, field=field, reason=reason, message=message)

    if service is None:
        return refuse(
            Reason.BACKEND_NOT_FOUND,
            f"Service {quoted(backend.name)} does not exist in {_where(namespace)}; {until}"
            " until it is created",
        )
    if service.spec.type == "ExternalName":
        return refuse(
            Reason.UNSUPPORTED,
            f"{ref} is of type ExternalName, which could name any host, the load balancer included;"
            " use a Service with EndpointSlices",
        )
    named = backend.port
    port = find_port(service, name=named.name, number=named.number, protocol=protocol)
    if port is None:
        wanted = quoted(backend.port.name) if backend.port.name else backend.port.number
        have = ", ".join(map(_shown, (service.spec.ports or ())[:_MOST_PORTS])) or "none"
        return refuse(
            Reason.BACKEND_NOT_FOUND,
            f"{ref} has no {protocol} port {wanted}; its ports are {have}",
        )
    return Found(service, port)


def _where(namespace: str | None) -> str:
    return "this namespace" if namespace is None else f"namespace {quoted(namespace)}"


def _shown(port: ServicePort) -> str:
    name = f" {quoted(port.name)}" if port.name else ""
    return f"{port.port}/{quoted(port.protocol)[1:-1]}{name}"
