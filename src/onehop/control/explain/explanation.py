"""An explanation as data: what `onehop explain -o json` prints.

The names of the fields are a contract with whoever reads that: add to them, do not rename them.
Objects are named as `Kind/namespace/name`, shares are percent, times are seconds.
"""

from enum import StrEnum
from typing import TypeAlias

import msgspec

from onehop.model.endpoint import Path, Readiness
from onehop.model.problem import Problem


class TargetKind(StrEnum):
    """What somebody asked about."""

    URL = "url"
    SERVICE = "service"
    INGRESS = "ingress"
    HTTP_ROUTE = "httproute"
    GRPC_ROUTE = "grpcroute"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The thing that is explained.

    Attributes:
        name: a URL in full, or an object.
    """

    kind: TargetKind
    name: str


class VipStanding(StrEnum):
    """How an address comes to this host."""

    BOUND = "bound"
    NOT_BOUND = "not-bound"
    ELSEWHERE = "elsewhere"
    """Somebody else leads packets for it here (`addresses.bind.none`)."""
    UNKNOWN = "unknown"
    """Nobody runs who could have bound it."""


class VipStep(msgspec.Struct, frozen=True, kw_only=True):
    """The address that clients connect to.

    Attributes:
        owners: the Services on it; empty for the shared address of Ingresses.
        announced_to: names of BGP neighbours that hear it from us.
        says: all of this as half a sentence.
    """

    address: str
    owners: tuple[str, ...]
    standing: VipStanding
    interface: str | None
    announced_to: tuple[str, ...]
    says: str


class TlsStep(msgspec.Struct, frozen=True, kw_only=True):
    """The handshake of a client that asks for the host.

    Attributes:
        policy: which clients TLS is spoken with: `intermediate` or `modern`.
        secret: whose certificate is shown; None where the handshake fails for want of one.
        fingerprint: SHA-256 of the leaf, lower-case hex.
        not_before, not_after: seconds since the epoch.
        issued_by: common name of who signed it.
        is_accepted: whether it is for the host, and its time is now, as far as the time is known.
        issuer: whom onehop asks for it, by its name in onehop.yaml; None if it does not.
        phase: what is being done about it; None where another host of the balancer knows.
        client_certificate: whether clients have to show one: `none`, `optional`, `required`.
        says: all of this as half a sentence.
    """

    policy: str
    secret: str | None = None
    fingerprint: str | None = None
    not_before: float | None = None
    not_after: float | None = None
    issued_by: str | None = None
    is_accepted: bool = False
    issuer: str | None = None
    phase: str | None = None
    client_certificate: str
    says: str


class ListenerStep(msgspec.Struct, frozen=True, kw_only=True):
    """The socket that takes the connection.

    Attributes:
        protocol: `http`, `https`, `tcp` or `udp`.
        sources: client networks that are let in; empty is everybody.
        certificate: the Secret whose certificate is shown for the host, of `https` only.
        tls: the handshake; None where TLS does not end here.
        served_by: `proxy`, or `kernel`: then there is no socket, and no proxy in between.
    """

    id: str
    port: int
    protocol: str
    served_by: str = "proxy"
    sources: tuple[str, ...] = ()
    accepts_proxy_protocol: bool = False
    max_connections: int | None = None
    certificate: str | None = None
    tls: TlsStep | None = None


class Loser(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that would have taken the request, had another one not been there.

    Attributes:
        rule: host and path, as people write them.
    """

    owner: str
    rule: str
    why: str


class RouteStep(msgspec.Struct, frozen=True, kw_only=True):
    """The rule that takes the request.

    Attributes:
        host: `*` for rules without a host.
        owner: the object that the rule stands in.
        why: why it is this rule and no other.
        limits: who may use it, and how much.
    """

    host: str
    path_kind: str
    path: str
    owner: str | None
    why: str
    lost: tuple[Loser, ...] = ()
    limits: tuple[str, ...] = ()


class Branch(msgspec.Struct, frozen=True):
    """A pool that requests go on to, and its share of them."""

    pool: str
    share_percent: float


class OutcomeKind(StrEnum):
    """What becomes of a request."""

    FORWARD = "forward"
    REDIRECT = "redirect"
    RESPOND = "respond"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a request; `branches` is empty where it goes no further."""

    kind: OutcomeKind
    says: str
    branches: tuple[Branch, ...] = ()


class Road(msgspec.Struct, frozen=True, kw_only=True):
    """From the client to a pool.

    Attributes:
        route: None where bytes are passed on unread, and where no rule takes the request.
    """

    vip: VipStep
    listener: ListenerStep
    route: RouteStep | None
    outcome: Outcome


class WayStep(msgspec.Struct, frozen=True, kw_only=True):
    """What the routing table of this host says of a Pod, and whether that is proof.

    Attributes:
        standing: see `compile.way.Standing`; `assumed` where nobody looks at the routing table.
        area: the prefix that was judged; a block of the node, if blocks are known.
        route: the prefix of the route; None if there is none.
        hops: gateways and devices, as `via 192.0.2.1 dev eth0`.
        origin: who made the route: `bird`, `kernel`, `static`, `onehop`, ...
        age_s: for how long this has been so; None if nobody has counted.
    """

    standing: str
    is_open: bool
    says: str
    area: str | None = None
    route: str | None = None
    hops: tuple[str, ...] = ()
    table: int | None = None
    origin: str | None = None
    age_s: float | None = None


class PodStep(msgspec.Struct, frozen=True, kw_only=True):
    """A Pod behind the pool.

    Attributes:
        rung: by which it is reached now; None if by none.
        keeps_down: why it is not reached directly; None if it is.
        needs: what it would need to be; None if it is, or if nothing else is missing.
    """

    address: str
    port: int
    node: str | None
    readiness: Readiness
    rung: Path | None
    way: WayStep
    keeps_down: str | None = None
    needs: str | None = None


class NatKind(StrEnum):
    """What is rewritten on the way."""

    PROXY = "proxy"
    """The connection ends, and a new one begins: source and destination are new."""
    DNAT = "dnat"
    SNAT = "snat"


class Nat(msgspec.Struct, frozen=True, kw_only=True):
    """A place where addresses change.

    Attributes:
        where: `onehop`, or a node.
        source, destination: of packets after it, in words where it is no single address.
    """

    kind: NatKind
    where: str
    source: str
    destination: str


class SourceStep(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the Pod sees.

    Attributes:
        whose: `client`, `onehop` or `node`.
        address: if it is one that can be named.
        client_in: where else the client's address is to be found, as `X-Forwarded-For`.
    """

    whose: str
    address: str | None
    says: str
    client_in: tuple[str, ...] = ()


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What the data plane has counted for an endpoint since it was added.

    Attributes:
        requests: of HTTP; connections of TCP, flows of UDP.
        health: the data plane's own opinion.
    """

    requests: int = 0
    failed: int = 0
    active: int = 0
    health: str | None = None


class MemberStep(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint: an address that the data plane dials.

    Attributes:
        share_percent: of new work, by weight; a draining one gets none.
        hops: at most.
        pods: `address:port` of the Pods that may answer there; left out where any Pod may.
        any_pod: any Pod of the pool may answer: kube-proxy picks one of all nodes.
    """

    address: str
    port: int
    rung: Path
    node: str | None
    zone: str | None
    readiness: Readiness
    weight: int
    share_percent: float
    hops: int
    pods: tuple[str, ...]
    any_pod: bool
    nats: tuple[Nat, ...]
    source: SourceStep
    traffic: Traffic | None = None


class RungStep(msgspec.Struct, frozen=True, kw_only=True):
    """A rung of the ladder: what stands on it, and what it takes to stand there.

    Attributes:
        pods: how many Pods stand on it now.
        share_percent: of new work, by weight.
        traffic_percent: of what was counted; None if nothing was.
        needs: what is missing for Pods that stand lower to stand here; or anything to be here.
    """

    rung: Path
    hops: int
    pods: int
    share_percent: float
    traffic_percent: float | None = None
    needs: tuple[str, ...] = ()


class PoolStep(msgspec.Struct, frozen=True, kw_only=True):
    """The members of a Service's port, on their rungs.

    Attributes:
        policy: `auto`, `pod`, `local` or `node`.
        target: the EndpointSlices' port if they agree on one.
        hops_least, hops_most: of the members that get new work; 0 if there is none.
        client_address: how the Pods learn of the client: `snat`, `proxy-protocol`, `transparent`.
    """

    id: str
    service: str
    port: int
    protocol: str
    policy: str
    balancing: str
    persistence: str | None
    health_check: str | None
    traffic_policy: str
    client_address: str
    hops_least: int
    hops_most: int
    rungs: tuple[RungStep, ...]
    members: tuple[MemberStep, ...]
    pods: tuple[PodStep, ...]


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """Something to change, so that the way becomes shorter, or is there at all.

    Attributes:
        code: one word, for programs.
        gains: what it is good for.
    """

    code: str
    do: str
    gains: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="explanation"):
    """The whole way.

    Attributes:
        is_live: False where nothing runs, and this is what would be.
        says: the whole in one sentence.
        unserved: why no road leads there; None if one does.
        pools: each once, in the order in which the roads name them.
        problems: of the objects on the way.
    """

    target: Target
    is_live: bool
    says: str
    unserved: str | None
    roads: tuple[Road, ...]
    pools: tuple[PoolStep, ...]
    advice: tuple[Advice, ...]
    problems: tuple[Problem, ...]


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """There is nothing to explain.

    Attributes:
        near: what may have been meant, as targets.
        is_wrong_use: no target is written like that.
    """

    message: str
    near: tuple[str, ...] = ()
    is_wrong_use: bool = False


Answer: TypeAlias = Explanation | Refusal
