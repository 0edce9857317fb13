"""The members of a pool: the Pods behind a Service port, each on its rung of the ladder.

The endpoint lane: an EndpointSlice or a node that changes dirties these cells and no others.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from onehop.cluster import EndpointSlice, Service
from onehop.cluster.service import ServicePort
from onehop.cluster.slice import EndpointConditions
from onehop.compile.forbidden import Border, Refused, border_of
from onehop.compile.inputs import SERVICES, SLICES_OF_SERVICE
from onehop.compile.ladder import footing
from onehop.compile.pool import WISH_IDS, WISHES
from onehop.compile.sheet import Cell, Derived, Reader
from onehop.compile.value import is_port, label_value
from onehop.compile.wish import Wish
from onehop.model.endpoint import Endpoint, PoolEndpoints, Readiness, each_once
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.problem import Problem, Reason


class Backends(msgspec.Struct, frozen=True, gc=False):
    """The Pods of a Service port, and what is wrong with some of them."""

    endpoints: tuple[Endpoint, ...] = ()
    problems: tuple[Problem, ...] = ()


def readiness_of(conditions: EndpointConditions) -> Readiness | None:
    """Return what an endpoint may be used for, or None for nothing (KEP-1672).

    `ready` unknown counts as ready, `serving` unknown as `ready` does.
    """
    if conditions.ready is not False:
        return Readiness.SERVING
    return Readiness.DRAINING if conditions.serving and conditions.terminating else None


def _compute(reader: Reader, pool: PoolId) -> Cell[PoolEndpoints]:
    wish = reader.need(WISHES, pool)
    service = reader.get(SERVICES, wish.pool.service)
    port = port_of(service, wish) if service else None
    if service is None or port is None:
        return Cell(None)  # it changed a moment ago; this wish for it goes with the next `settle`
    pods = pods_behind(reader, service, port)
    stand = footing(reader, wish, service, port, pods.endpoints)
    members = each_once(_last_resort(stand.members))
    return Cell(PoolEndpoints(pool, members), (*pods.problems, *stand.problems))


def port_of(service: Service, wish: Wish) -> ServicePort | None:
    """Return the Service's port that a wish is for, or None if it is gone."""
    transport = "UDP" if wish.pool.protocol == "udp" else "TCP"
    ports = service.spec.ports or ()
    return next((p for p in ports if (p.port, p.protocol) == (wish.pool.port, transport)), None)


def pods_behind(reader: Reader, service: Service, port: ServicePort) -> Backends:
    """Return the Pods behind a Service port, each once.

    A dual-stack Service has two slices of the same Pods, one for each family: the primary family
    counts, the other one only where that has nothing.
    """
    meta, border = service.metadata, border_of(reader)
    slices = reader.where(SLICES_OF_SERVICE, ObjectRef("Service", meta.namespace, meta.name))
    primary = (service.spec.ip_families or ("IPv4",))[0]
    first = [item for item in slices if item.address_type == primary]
    pods = _read(first, port, border)
    if pods.endpoints:
        return pods
    second = _read((item for item in slices if item.address_type != primary), port, border)
    return Backends(second.endpoints, (*pods.problems, *second.problems))


def _read(slices: Iterable[EndpointSlice], port: ServicePort, border: Border) -> Backends:
    found: dict[tuple[str, int], Endpoint] = {}
    problems: dict[Problem, None] = {}
    for item in slices:
        for number in _target_ports(item, port):
            for endpoint in item.endpoints or ():
                readiness = readiness_of(endpoint.conditions)
                if readiness is None or not endpoint.addresses:
                    continue
                # One address per endpoint: EndpointSlice API, "all are assumed to be fungible".
                address = border.admit(endpoint.addresses[0])
                if isinstance(address, Refused):
                    problems[_forbidden(item, address)] = None
                    continue
                known = found.get((address, number))
                if known is not None and known.readiness is Readiness.SERVING:
                    continue  # slices may overlap while they are rebalanced
                found[address, number] = Endpoint(
                    address=address,
                    port=number,
                    readiness=readiness,
                    zone=label_value(endpoint.zone),
                    node=label_value(endpoint.node_name),
                )
    return Backends(tuple(found.values()), tuple(problems))


def _target_ports(item: EndpointSlice, port: ServicePort) -> Iterator[int]:
    for target in item.ports or ():
        named = (target.name or "") == port.name
        if named and (target.protocol or "TCP") == port.protocol and is_port(target.port):
            yield target.port


def _forbidden(item: EndpointSlice, refused: Refused) -> Problem:
    meta = item.metadata
    return Problem(
        subject=ObjectRef("EndpointSlice", meta.namespace, meta.name),
        field="endpoints",
        reason=Reason.FORBIDDEN_ADDRESS,
        message=f"{refused.why}; it gets no traffic",
    )


def _last_resort(endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
    """Let draining endpoints serve when there are no others (KEP-1669)."""
    if any(endpoint.readiness is Readiness.SERVING for endpoint in endpoints):
        return endpoints
    return tuple(msgspec.structs.replace(e, readiness=Readiness.SERVING) for e in endpoints)


ENDPOINTS: Final = Derived[PoolId, PoolEndpoints]("endpoints", _compute, (WISH_IDS,))
