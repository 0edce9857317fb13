"""Verdicts, reports and objects of the tests."""

import msgspec

from onehop.cluster import Gateway, HTTPRoute
from onehop.cluster.gateway import GatewayAddress, GatewaySpec, GatewayStatus
from onehop.cluster.gateway_listener import GatewayListener
from onehop.cluster.gateway_ref import ParentRef
from onehop.cluster.gateway_status import RouteKind, RouteParentStatus, RouteStatus
from onehop.cluster.gateway_verdict import (
    GatewayVerdict,
    ListenerVerdict,
    ParentsVerdict,
    ParentVerdict,
    Saying,
    Truth,
)
from onehop.cluster.meta import Meta
from onehop.cluster.service import Condition
from onehop.model.ident import ListenerId, ObjectRef
from onehop.model.problem import Problem, Reason, Severity
from onehop.status import Report

OURS = "onehop.dev/gateway-controller"
THEIRS = "other.example/controller"
EDGE = ObjectRef("Gateway", "infra", "edge")
WEB = ObjectRef("HTTPRoute", "shop", "web")
VIP = GatewayAddress(type="IPAddress", value="203.0.113.10")
ACCEPTED = Saying("Accepted", Truth.TRUE, "Accepted", "it makes sense")
RESOLVED = Saying("ResolvedRefs", Truth.TRUE, "ResolvedRefs", "all are there")
NO_CERTIFICATE = Saying("ResolvedRefs", Truth.FALSE, "InvalidCertificateRef", "no Secret shop/tls")
NOT_CONFLICTED = Saying("Conflicted", Truth.FALSE, "NoConflicts", "")
EARLY = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T12:00:00Z"
EDGE_PARENT = ParentRef(name="edge", namespace="infra")


def needed(name: str) -> ListenerId:
    """Return the listener of the Model that a listener of the Gateway needs."""
    return ListenerId(f"infra/edge:{name}")


def listener(
    name: str = "http", *, routes: int = 0, obstacle: Saying | None = None
) -> ListenerVerdict:
    """Return the verdict on a listener that has nothing wrong but, perhaps, an obstacle."""
    return ListenerVerdict(
        name=name,
        sayings=(ACCEPTED, NOT_CONFLICTED, RESOLVED),
        supported_kinds=(RouteKind("HTTPRoute"), RouteKind("GRPCRoute")),
        attached_routes=routes,
        needs=() if obstacle else (needed(name),),
        obstacle=obstacle,
    )


def gateway_verdict(*listeners: ListenerVerdict, obstacle: Saying | None = None) -> GatewayVerdict:
    """Return the verdict on infra/edge."""
    return GatewayVerdict(
        ref=EDGE,
        sayings=(ACCEPTED,),
        addresses=(VIP,),
        listeners=listeners or (listener(),),
        attached_listener_sets=0,
        obstacle=obstacle,
    )


def gateway_report(verdict: GatewayVerdict, *, generation: int = 1, uid: str = "u1") -> Report:
    """Return the report on a Gateway all of whose listeners are served."""
    served = frozenset(need for each in verdict.listeners for need in each.needs)
    return Report(verdict=verdict, uid=uid, generation=generation, served=served)


def gateway(status: GatewayStatus = GatewayStatus()) -> Gateway:  # noqa: B008  frozen
    """Return infra/edge."""
    return Gateway(
        metadata=Meta(name="edge", namespace="infra", uid="u1", resource_version="5", generation=1),
        spec=GatewaySpec(
            gateway_class_name="onehop",
            listeners=(GatewayListener(name="http", port=80, protocol="HTTP"),),
        ),
        status=status,
    )


def route_report(
    *parents: ParentRef,
    sayings: tuple[Saying, ...] = (ACCEPTED, RESOLVED),
    problems: tuple[Problem, ...] = (),
    generation: int = 1,
    uid: str = "u1",
) -> Report:
    """Return the report on shop/web with these parents of ours."""
    verdict = ParentsVerdict(
        ref=WEB,
        controller=OURS,
        parents=tuple(ParentVerdict(parent=parent, sayings=sayings) for parent in parents),
    )
    return Report(verdict=verdict, uid=uid, generation=generation, problems=problems)


def route(*parents: RouteParentStatus) -> HTTPRoute:
    """Return shop/web with these entries in its status."""
    return HTTPRoute(
        metadata=Meta(name="web", namespace="shop", uid="u1", resource_version="5", generation=1),
        status=RouteStatus(parents),
    )


def condition(
    kind: str = "Accepted", status: str = "True", *, generation: int = 1, at: str = EARLY
) -> Condition:
    """Return a condition as it stands in a status."""
    return Condition(
        type=kind,
        status=status,
        reason=kind,
        message="said before",
        observed_generation=generation,
        last_transition_time=at,
    )


def entry(
    controller: str = THEIRS, parent: ParentRef = EDGE_PARENT, *conditions: Condition
) -> RouteParentStatus:
    """Return an entry of a route's status."""
    return RouteParentStatus(
        parent_ref=parent, controller_name=controller, conditions=conditions or (condition(),)
    )


def refused(severity: Severity = Severity.ERROR) -> Problem:
    """Return a problem that says that the data plane would not take a row of shop/web."""
    return Problem(
        subject=WEB,
        reason=Reason.DATA_PLANE_REFUSED,
        message="no regular expressions here",
        severity=severity,
    )


def with_status(live: Gateway, status: GatewayStatus) -> Gateway:
    """Return a Gateway with another status."""
    return msgspec.structs.replace(live, status=status)
