"""From what is known of an object of Gateway API and what its status says, to what it shall say.

Pure and level-triggered, like `decide`: carrying out the write and deciding again gives none.
"""

import msgspec

from onehop.cluster import (
    BackendTLSPolicy,
    Gateway,
    GatewayClass,
    GRPCRoute,
    HTTPRoute,
    ListenerSet,
    TCPRoute,
    TLSRoute,
    UDPRoute,
)
from onehop.cluster.gateway import (
    GatewayAddress,
    GatewayClassStatus,
    GatewayStatus,
    SupportedFeature,
)
from onehop.cluster.gateway_listenerset import ListenerSetStatus
from onehop.cluster.gateway_status import ListenerStatus, PolicyStatus, RouteStatus
from onehop.cluster.gateway_verdict import (
    GatewayClassVerdict,
    GatewayVerdict,
    ListenerSetVerdict,
    ListenerVerdict,
    ParentsVerdict,
    Saying,
    Truth,
)
from onehop.cluster.kind import ClusterObject, ref_of
from onehop.status.gateway_condition import conditions_of
from onehop.status.gateway_parents import ancestors_of, parents_of
from onehop.status.gateway_programmed import programmed_listener, programmed_whole
from onehop.status.report import Report
from onehop.status.write import GatewayApiStatus, PatchGatewayApi

MOST_FEATURES = 64
"""`+kubebuilder:validation:MaxItems=64` of `status.supportedFeatures`."""


def decide_gateway(report: Report, live: ClusterObject, now: str) -> tuple[PatchGatewayApi, ...]:
    """Return the write that brings a status to what is true, or none.

    Args:
        report: what is known of the object.
        live: its newest form.
        now: RFC 3339.
    """
    match report.verdict, live:
        case GatewayClassVerdict() as verdict, GatewayClass():
            return _patch(live, live.status, _class_status(verdict, report, live, now))
        case GatewayVerdict() as verdict, Gateway():
            return _patch(live, live.status, _gateway_status(verdict, report, live, now))
        case ListenerSetVerdict() as verdict, ListenerSet():
            return _patch(live, live.status, _listener_set_status(verdict, report, live, now))
        case (
            ParentsVerdict() as verdict,
            HTTPRoute() | GRPCRoute() | TLSRoute() | TCPRoute() | UDPRoute(),
        ):
            parents = parents_of(verdict, report, live.status.parents, now)
            return _patch(live, live.status, RouteStatus(parents))
        case ParentsVerdict() as verdict, BackendTLSPolicy():
            ancestors = ancestors_of(verdict, report, live.status.ancestors, now)
            return _patch(live, live.status, PolicyStatus(ancestors))
        case _:
            return ()


def _patch(
    live: ClusterObject, had: GatewayApiStatus, wanted: GatewayApiStatus
) -> tuple[PatchGatewayApi, ...]:
    if wanted == had:
        return ()
    is_count_only = _uncounted(wanted) == _uncounted(had)
    return (PatchGatewayApi(ref=ref_of(live), status=wanted, is_count_only=is_count_only),)


def _uncounted(status: GatewayApiStatus) -> GatewayApiStatus:
    """Return a status without its numbers of attached routes and ListenerSets."""
    match status:
        case GatewayStatus(listeners=listeners):
            return msgspec.structs.replace(
                status, listeners=_without_routes(listeners), attached_listener_sets=None
            )
        case ListenerSetStatus(listeners=listeners):
            return msgspec.structs.replace(status, listeners=_without_routes(listeners))
        case _:
            return status


def _without_routes(listeners: tuple[ListenerStatus, ...]) -> tuple[ListenerStatus, ...]:
    return tuple(msgspec.structs.replace(each, attached_routes=0) for each in listeners)


def _class_status(
    verdict: GatewayClassVerdict, report: Report, live: GatewayClass, now: str
) -> GatewayClassStatus:
    names = sorted(set(verdict.features))[:MOST_FEATURES]
    return GatewayClassStatus(
        conditions=conditions_of(
            verdict.sayings, live.status.conditions, generation=report.generation, now=now
        ),
        supported_features=tuple(map(SupportedFeature, names)),
    )


def _gateway_status(
    verdict: GatewayVerdict, report: Report, live: Gateway, now: str
) -> GatewayStatus:
    programmed = tuple(programmed_listener(each, report) for each in verdict.listeners)
    whole = programmed_whole(verdict.obstacle, programmed)
    return GatewayStatus(
        addresses=_addresses(verdict, live.status.addresses, whole),
        conditions=conditions_of(
            (*verdict.sayings, whole),
            live.status.conditions,
            generation=report.generation,
            now=now,
        ),
        listeners=_listeners(verdict.listeners, programmed, live.status.listeners, report, now),
        attached_listener_sets=verdict.attached_listener_sets,
    )


def _addresses(
    verdict: GatewayVerdict, live: tuple[GatewayAddress, ...], whole: Saying
) -> tuple[GatewayAddress, ...]:
    """Return the addresses that clients may be told; while nothing is certain, no new ones."""
    if whole.status is Truth.TRUE:
        return verdict.addresses
    return tuple(address for address in live if address in verdict.addresses)


def _listener_set_status(
    verdict: ListenerSetVerdict, report: Report, live: ListenerSet, now: str
) -> ListenerSetStatus:
    programmed = tuple(programmed_listener(each, report) for each in verdict.listeners)
    whole = programmed_whole(verdict.obstacle, programmed)
    return ListenerSetStatus(
        conditions=conditions_of(
            (*verdict.sayings, whole),
            live.status.conditions,
            generation=report.generation,
            now=now,
        ),
        listeners=_listeners(verdict.listeners, programmed, live.status.listeners, report, now),
    )


def _listeners(
    verdicts: tuple[ListenerVerdict, ...],
    programmed: tuple[Saying, ...],
    live: tuple[ListenerStatus, ...],
    report: Report,
    now: str,
) -> tuple[ListenerStatus, ...]:
    """Return the status of each listener of the spec; of one that is gone, nothing is said."""
    before = {each.name: each.conditions for each in live}
    return tuple(
        ListenerStatus(
            name=verdict.name,
            supported_kinds=verdict.supported_kinds,
            attached_routes=verdict.attached_routes,
            conditions=conditions_of(
                (*verdict.sayings, saying),
                before.get(verdict.name, ()),
                generation=report.generation,
                now=now,
            ),
        )
        for verdict, saying in zip(verdicts, programmed, strict=True)
    )
