"""Which EndpointSlices a Service shall have, and what must be written for it; pure.

The model is the endpointslice controller (kubernetes `staging/src/k8s.io/endpointslice`,
reconciler.go and utils.go): one group of slices for each address family and set of resolved ports,
at most a hundred endpoints in a slice, an empty slice for a family without any, an endpoint stays
in the slice it is in. A Pod that is being deleted stays as `terminating`, and `serving` for as long
as it is ready (KEP-1672).
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from onehop.lab.controller.build import ZONE_LABEL
from onehop.lab.controller.object import Node, Pod, Service, ServicePort, Slice

Json: TypeAlias = dict[str, Any]

SERVICE_LABEL: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
MANAGER: Final = "endpointslice-controller.k8s.io"
MOST_ENDPOINTS: Final = 100
"""`--max-endpoints-per-slice` of kube-controller-manager, its default."""
_FINISHED: Final = frozenset({"Succeeded", "Failed"})


class Create(msgspec.Struct, frozen=True):
    """Make a slice."""

    namespace: str
    body: Json


class Replace(msgspec.Struct, frozen=True):
    """Set what a slice holds, if it is still at the version that was looked at."""

    namespace: str
    name: str
    resource_version: str
    patch: Json


class Delete(msgspec.Struct, frozen=True):
    """Delete a slice."""

    namespace: str
    name: str


Write: TypeAlias = Create | Replace | Delete


class _Group(msgspec.Struct):
    """The endpoints that have one family and one set of ports, by address."""

    family: str
    ports: list[Json]
    endpoints: dict[str, Json]


def is_ours(each: Slice) -> bool:
    """Return whether this controller wrote the slice."""
    return each.metadata.labels.get(MANAGED_BY) == MANAGER


def writes_for(
    service: Service | None,
    pods: Iterable[Pod],
    nodes: Mapping[str, Node],
    existing: Sequence[Slice],
) -> tuple[Write, ...]:
    """Return what leads from the slices there are to those there shall be.

    Args:
        service: None if it is gone, and its slices shall go too.
        pods: of its namespace.
        nodes: by name, for their zones.
        existing: the slices of ours that are labelled with the Service.
    """
    if service is None or service.spec.selector is None or service.spec.type == "ExternalName":
        return tuple(Delete(each.metadata.namespace, each.metadata.name) for each in existing)
    found: list[Write] = []
    used: set[str] = set()
    taken = {each.metadata.name for each in existing}
    for group in _groups(service, pods, nodes):
        mine = [
            each
            for each in existing
            if each.address_type == group.family and _same_ports(each.ports, group.ports)
        ]
        used |= {each.metadata.name for each in mine}
        found += _fill(service, group, mine, taken)
    found += [
        Delete(each.metadata.namespace, each.metadata.name)
        for each in existing
        if each.metadata.name not in used
    ]
    return tuple(_thriftily(found, existing))


def _thriftily(writes: Sequence[Write], existing: Sequence[Slice]) -> Iterator[Write]:
    """Yield the writes, a slice to be deleted taken for one to be made (reconciler.go, finalize).

    So a Service that loses its last Pod keeps its slice, emptied.
    """
    known = {each.metadata.name: each for each in existing}
    spare = [known[write.name] for write in writes if isinstance(write, Delete)]
    reused: set[str] = set()
    for write in writes:
        if not isinstance(write, Create):
            continue
        family = write.body["addressType"]
        old = next((each for each in spare if each.address_type == family), None)
        if old is None:
            yield write
            continue
        spare.remove(old)
        reused.add(old.metadata.name)
        yield Replace(
            write.namespace,
            old.metadata.name,
            old.metadata.resource_version,
            {"endpoints": write.body["endpoints"], "ports": write.body["ports"]},
        )
    yield from (write for write in writes if isinstance(write, Replace))
    # Last, so that no reader finds fewer endpoints than there were and shall be.
    yield from (w for w in writes if isinstance(w, Delete) and w.name not in reused)


def _groups(service: Service, pods: Iterable[Pod], nodes: Mapping[str, Node]) -> list[_Group]:
    selector = service.spec.selector or {}
    members = sorted(
        (pod for pod in pods if selector and selector.items() <= pod.metadata.labels.items()),
        key=lambda pod: pod.metadata.name,
    )
    found: list[_Group] = []
    for family in service.spec.ip_families or ("IPv4",):
        groups: dict[bytes, _Group] = {}
        for pod in members:
            address = pod.address(family)
            if not address or pod.status.phase in _FINISHED:
                continue
            ports = list(_ports(service, pod))
            group = groups.setdefault(msgspec.json.encode(ports), _Group(family, ports, {}))
            group.endpoints[address] = _endpoint(service, pod, address, nodes)
        found += list(groups.values()) or [_Group(family, [], {})]
    return found


def _ports(service: Service, pod: Pod) -> Iterator[Json]:
    for port in service.spec.ports:
        number = _target(port, pod)
        if number is not None:
            app = {"appProtocol": port.app_protocol} if port.app_protocol else {}
            yield {"name": port.name, "protocol": port.protocol, "port": number} | app


def _target(port: ServicePort, pod: Pod) -> int | None:
    """Return the port of the Pod; None if no container has a port of that name."""
    target = port.target_port or port.port
    if isinstance(target, int):
        return target
    return next(
        (
            each.container_port
            for container in pod.spec.containers
            for each in container.ports
            if (each.name, each.protocol) == (target, port.protocol)
        ),
        None,
    )


def _endpoint(service: Service, pod: Pod, address: str, nodes: Mapping[str, Node]) -> Json:
    is_ending = pod.metadata.deletion_timestamp is not None
    serves = pod.is_ready
    node = nodes.get(pod.spec.node_name)
    zone = node.metadata.labels.get(ZONE_LABEL, "") if node else ""
    return {
        "addresses": [address],
        "conditions": {
            "ready": service.spec.publish_not_ready or (serves and not is_ending),
            "serving": serves,
            "terminating": is_ending,
        },
        "targetRef": {
            "kind": "Pod",
            "name": pod.metadata.name,
            "namespace": pod.metadata.namespace,
            "uid": pod.metadata.uid,
        },
        **({"nodeName": pod.spec.node_name} if pod.spec.node_name else {}),
        **({"zone": zone} if zone else {}),
    }


def _fill(
    service: Service, group: _Group, existing: Sequence[Slice], taken: set[str]
) -> Iterator[Write]:
    """Yield the writes of one group; endpoints stay where they are, new ones fill the gaps.

    Args:
        service: whose they are.
        group: all endpoints that shall be.
        existing: the slices of this group.
        taken: names that no new slice may have; those that are given are added.
    """
    left = dict(group.endpoints)
    kept: list[list[Json]] = []
    for each in existing:
        addresses = [endpoint["addresses"][0] for endpoint in each.endpoints or ()]
        kept.append([left.pop(address) for address in addresses if address in left])
    arriving = iter(list(left.values()))
    for place in kept:
        place.extend(_take(arriving, MOST_ENDPOINTS - len(place)))
    for position, (each, place) in enumerate(zip(existing, kept, strict=True)):
        is_last_one = position == 0 and not group.endpoints
        if not place and not is_last_one:
            yield Delete(each.metadata.namespace, each.metadata.name)
        elif place != (each.endpoints or []):
            yield Replace(
                each.metadata.namespace,
                each.metadata.name,
                each.metadata.resource_version,
                {"endpoints": place, "ports": group.ports},
            )
    while place := _take(arriving, MOST_ENDPOINTS):
        yield Create(service.metadata.namespace, _slice(service, group, place, taken))
    if not existing and not group.endpoints:
        yield Create(service.metadata.namespace, _slice(service, group, [], taken))


def _take(endpoints: Iterator[Json], number: int) -> list[Json]:
    return list(itertools.islice(endpoints, max(0, number)))


def _slice(service: Service, group: _Group, endpoints: list[Json], taken: set[str]) -> Json:
    """Return a new slice, and note its name in `taken`."""
    about = msgspec.json.encode([group.family, group.ports])
    digest = hashlib.sha256(about).hexdigest()[:5]
    number = 0
    while (name := f"{service.metadata.name}-{digest}-{number}") in taken:
        number += 1
    taken.add(name)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": service.metadata.namespace,
            "labels": {SERVICE_LABEL: service.metadata.name, MANAGED_BY: MANAGER},
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "name": service.metadata.name,
                    "uid": service.metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "addressType": group.family,
        "endpoints": endpoints,
        "ports": group.ports,
    }


def _same_ports(stored: list[Json] | None, wanted: list[Json]) -> bool:
    return sorted(map(msgspec.json.encode, map(_sorted, stored or []))) == sorted(
        map(msgspec.json.encode, map(_sorted, wanted))
    )


def _sorted(port: Json) -> Json:
    return dict(sorted(port.items()))
