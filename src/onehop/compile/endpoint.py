"""The members of a pool, on the rung of the ladder its policy allows.

The endpoint lane: an EndpointSlice or a node that changes dirties these cells and no others.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from onehop.cluster import EndpointSlice, Service
from onehop.cluster.service import ServicePort
from onehop.cluster.slice import EndpointConditions
from onehop.compile.backend import options_of
from onehop.compile.inputs import ONLY, SERVICES, SLICES_OF_SERVICE
from onehop.compile.node import ALL_MEMBERS, Member
from onehop.compile.options import Options, PathPolicy
from onehop.compile.pool import WISH_IDS, WISHES
from onehop.compile.sheet import Cell, Derived, Reader
from onehop.compile.wish import Wish
from onehop.model.address import IpAddr, is_loopback, is_never_a_backend, parse_ip
from onehop.model.endpoint import Endpoint, Path, PoolEndpoints, Readiness
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.problem import Problem, Reason


class _Backends(msgspec.Struct, frozen=True):
    """The Pods of a Service port, and what is wrong with some of them."""

    endpoints: tuple[Endpoint, ...] = ()
    problems: tuple[Problem, ...] = ()


def readiness_of(conditions: EndpointConditions) -> Readiness | None:
    """Return what an endpoint may be used for, or None for nothing (KEP-1672).

    `ready` unknown counts as ready, `serving` unknown as `ready` does.
    """
    ready = conditions.ready is not False
    if ready:
        return Readiness.SERVING
    serving = conditions.serving if conditions.serving is not None else ready
    return Readiness.DRAINING if serving and conditions.terminating else None


def _compute(reader: Reader, pool: PoolId) -> Cell[PoolEndpoints]:
    wish = reader.get(WISHES, pool)
    service = reader.get(SERVICES, wish.pool.service) if wish else None
    port = _service_port(service, wish) if service and wish else None
    if wish is None or service is None or port is None:
        return Cell(None)
    slices = reader.where(SLICES_OF_SERVICE, wish.pool.service)
    pods = _pods(service, port, slices, options_of(reader))
    match wish.path:
        case PathPolicy.AUTO | PathPolicy.POD:
            endpoints = pods.endpoints
        case PathPolicy.LOCAL:
            members = reader.where(ALL_MEMBERS, ONLY)
            endpoints = tuple(_local(pods.endpoints, members, service, port))
        case PathPolicy.NODE:
            members = reader.where(ALL_MEMBERS, ONLY)
            endpoints = tuple(_node(members, service, port))
    return Cell(PoolEndpoints(pool, tuple(sorted(_last_resort(endpoints)))), pods.problems)


def _service_port(service: Service, wish: Wish) -> ServicePort | None:
    transport = "UDP" if wish.pool.protocol == "udp" else "TCP"
    ports = service.spec.ports or ()
    return next((p for p in ports if (p.port, p.protocol) == (wish.pool.port, transport)), None)


def _pods(
    service: Service, port: ServicePort, slices: Iterable[EndpointSlice], options: Options
) -> _Backends:
    """Return the Pods behind a Service port, each once, in its primary address family."""
    families = service.spec.ip_families or ("IPv4",)
    found: dict[tuple[str, int], Endpoint] = {}
    problems: list[Problem] = []
    by_family = sorted(slices, key=lambda item: item.address_type != families[0])
    for item in by_family:
        if found and item.address_type != by_family[0].address_type:
            break  # the same Pods once more, by their other address
        for number in _target_ports(item, port):
            for endpoint in item.endpoints or ():
                readiness = readiness_of(endpoint.conditions)
                if readiness is None or not endpoint.addresses:
                    continue
                # One address per endpoint: EndpointSlice API, "all are assumed to be fungible".
                address = parse_ip(endpoint.addresses[0])
                refusal = _refusal(endpoint.addresses[0], address, options)
                if address is None or refusal is not None:
                    problems.append(_forbidden(item, refusal or ""))
                    continue
                known = found.get((address, number))
                if known is not None and known.readiness is Readiness.SERVING:
                    continue  # slices may overlap while they are rebalanced
                found[address, number] = Endpoint(
                    address=address,
                    port=number,
                    readiness=readiness,
                    zone=endpoint.zone,
                    node=endpoint.node_name,
                )
    return _Backends(tuple(found.values()), tuple(sorted(set(problems))))


def _target_ports(item: EndpointSlice, port: ServicePort) -> Iterator[int]:
    for target in item.ports or ():
        named = (target.name or "") == port.name
        if named and (target.protocol or "TCP") == port.protocol and target.port is not None:
            yield target.port


def _refusal(text: str, address: IpAddr | None, options: Options) -> str | None:
    """Say why an address may not be a backend (design rule 6), or None."""
    if address is None:
        return f"{text!r} is not an IP address"
    if is_never_a_backend(address):
        if is_loopback(address):
            return None if options.allows_loopback else f"{address} is the load balancer itself"
        return f"{address} is link-local, multicast or unspecified"
    if address in options.shared or any(pool.contains(address) for pool in options.address_pools):
        return f"{address} is a load balancer address: requests would go round in circles"
    return None


def _forbidden(item: EndpointSlice, refusal: str) -> Problem:
    meta = item.metadata
    return Problem(
        subject=ObjectRef("EndpointSlice", meta.namespace, meta.name),
        field="endpoints",
        reason=Reason.FORBIDDEN_ADDRESS,
        message=f"{refusal}; it gets no traffic",
    )


def _local(
    pods: Iterable[Endpoint], members: Iterable[Member], service: Service, port: ServicePort
) -> Iterator[Endpoint]:
    """Yield the NodePorts of nodes that have Pods, weighted by how many."""
    pods = tuple(pods)
    serving = Counter(pod.node for pod in pods if pod.readiness is Readiness.SERVING)
    draining = Counter(pod.node for pod in pods if pod.readiness is Readiness.DRAINING)
    for endpoint in _node(members, service, port):
        count = serving[endpoint.node] or draining[endpoint.node]
        if count:
            yield msgspec.structs.replace(
                endpoint,
                path=Path.LOCAL,
                weight=count,
                readiness=Readiness.SERVING if serving[endpoint.node] else Readiness.DRAINING,
            )


def _node(members: Iterable[Member], service: Service, port: ServicePort) -> Iterator[Endpoint]:
    """Yield the NodePort of every eligible node."""
    prefers_ipv6 = (service.spec.ip_families or ("IPv4",))[0] == "IPv6"
    for member in members if port.node_port else ():
        address = member.address(ipv6=prefers_ipv6)
        if address is not None:
            yield Endpoint(
                address=address,
                port=port.node_port,
                path=Path.NODE,
                zone=member.zone,
                node=member.name,
            )


def _last_resort(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Let draining endpoints serve when there are no others (KEP-1669)."""
    if any(endpoint.readiness is Readiness.SERVING for endpoint in endpoints):
        return endpoints
    return tuple(msgspec.structs.replace(e, readiness=Readiness.SERVING) for e in endpoints)


__all__ = ["ENDPOINTS", "readiness_of"]

ENDPOINTS: Final = Derived[PoolId, PoolEndpoints]("endpoints", _compute, (WISH_IDS,))
