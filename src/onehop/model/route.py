"""Which requests go where, and what happens to them on the way."""

from enum import StrEnum
from typing import TypeAlias

import msgspec

from onehop.model.address import Cidr
from onehop.model.ident import HostId, ObjectRef, PoolId, RouterId


class PathKind(StrEnum):
    """How `PathMatch.value` is compared with the request's path."""

    EXACT = "exact"
    PREFIX = "prefix"
    """Element by element: `/foo` takes `/foo` and `/foo/bar`, not `/foobar` (Ingress v1)."""


class Labels(StrEnum):
    """How much of a name the `*` of a host stands for."""

    ANY = "any"
    """One label or more: a wildcard of Gateway API."""
    ONE = "one"
    """A wildcard of Ingress v1."""
    MORE = "more"
    """What a wildcard of Ingress v1 leaves to others."""


class PathMatch(msgspec.Struct, frozen=True, gc=False, order=True):
    """The path a route takes; a prefix carries no trailing slash but for `/` itself."""

    kind: PathKind
    value: str


class HeaderEdit(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Changes to a header map: removed first, then set (replacing), then added (appending)."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


class Retry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """When a failed attempt is made again, on another endpoint if there is one.

    Attributes:
        attempts: further tries after the first; 0 is none.
        codes: response codes that are tried again; what was never sent is always tried again.
    """

    attempts: int = 1
    codes: tuple[int, ...] = ()
    per_try_timeout_s: float | None = None


class PoolShare(msgspec.Struct, frozen=True, gc=False):
    """One destination of a route and its share of the requests."""

    pool: PoolId
    weight: int = 1


class Forward(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="forward"):
    """Send the request to one of the pools.

    Attributes:
        pools: at least one; a share of 0 gets nothing.
        rewrite_prefix: what the matched part of the path is replaced by; None leaves it.
        timeout_s: for the whole response; None waits for as long as bytes flow.
        idle_timeout_s: longest silence on a stream.
    """

    pools: tuple[PoolShare, ...]
    rewrite_prefix: str | None = None
    timeout_s: float | None = None
    idle_timeout_s: float = 300.0
    retry: Retry = Retry()


class Redirect(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="redirect"):
    """Answer with a redirect; what is None stays as the client asked it."""

    code: int = 308
    scheme: str | None = None
    port: int | None = None


class Respond(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="respond"):
    """Answer from the load balancer itself: 404 where nothing is, 503 where no backend is."""

    status: int
    body: str = ""


Action: TypeAlias = Forward | Redirect | Respond


class RateLimit(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Requests per client address; beyond it the answer is 429."""

    requests: int
    per_s: int = 1
    burst: int = 0


class Guard(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Who may use a route, and how much.

    Attributes:
        allow: client networks; empty allows all. A denied one is refused though it is allowed.
        body_limit_bytes: a larger request body is answered 413; None is no limit.
    """

    allow: tuple[Cidr, ...] = ()
    deny: tuple[Cidr, ...] = ()
    body_limit_bytes: int | None = None
    rate_limit: RateLimit | None = None


class Route(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One rule of one object.

    Attributes:
        id: `Kind/namespace/name` and the match: stable when rules are reordered.
        owner: the object that asked for it.
        labels: how many labels the host's `*` must stand for, where the host has one.
        hostname: the only name it takes requests for, where the host has many; None takes all.
    """

    id: str
    owner: ObjectRef | None
    match: PathMatch
    labels: Labels = Labels.ANY
    hostname: str | None = None
    action: Action
    guard: Guard = Guard()
    request_headers: HeaderEdit = HeaderEdit()
    response_headers: HeaderEdit = HeaderEdit()


class VirtualHost(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="host"):
    """The routes of one host name on one router, in the order in which they are tried.

    Attributes:
        hostname: lower case; `*.example.com` takes any one or more labels in front only where no
            longer name matches; `*` takes what no other host of the router takes.
    """

    id: HostId
    router: RouterId
    hostname: str
    routes: tuple[Route, ...] = ()
