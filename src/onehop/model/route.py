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
    METHOD = "method"
    """The second of two elements: a gRPC method, of whatever service."""


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


class Conditions(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a request must be besides its host and path; all of it at once.

    Attributes:
        method: in capitals; None takes any.
        headers: names in lower case and exact values, sorted by name.
        queries: names and exact values of parameters, as they stand in the URL, sorted by name.
    """

    method: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    queries: tuple[tuple[str, str], ...] = ()


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
        per_try_timeout_s: for the answer to one attempt; it counts without further tries, too.
        on_silence: whether an attempt that broke off, or took too long, is made again as well,
            though the endpoint may have acted on it.
        backoff_s: how long to wait between attempts, about; None is the data plane's own.
    """

    attempts: int = 1
    codes: tuple[int, ...] = ()
    per_try_timeout_s: float | None = None
    on_silence: bool = False
    backoff_s: float | None = None


class Mirror(msgspec.Struct, frozen=True, gc=False):
    """A pool that gets copies of requests; its answers go nowhere.

    Attributes:
        per_million: how many of a million requests are copied.
    """

    pool: PoolId
    per_million: int = 1_000_000


class Redirect(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="redirect"):
    """Answer with a redirect; what is None stays as the client asked it.

    Attributes:
        port: not written where it is the scheme's default. With a `host` and no port none is.
        path: replaces the whole path.
        prefix: replaces the matched part of the path.
    """

    code: int = 308
    scheme: str | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None
    prefix: str | None = None


class RedirectShare(msgspec.Struct, frozen=True, gc=False):
    """A share of the requests of a route that is redirected, where others are passed on."""

    redirect: Redirect
    weight: int = 1


class Rewrite(msgspec.Struct, frozen=True, gc=False):
    """What the endpoints see instead of what the client asked for; None is left alone.

    Attributes:
        path: instead of the whole path.
        prefix: instead of the matched part of the path.
    """

    host: str | None = None
    path: str | None = None
    prefix: str | None = None


class PoolShare(msgspec.Struct, frozen=True, gc=False):
    """One destination of a route and its share of the requests.

    Attributes:
        request_headers, response_headers: edits of what takes this way, besides the route's.
        rewrite: of what takes this way, where the route has none.
        mirrors: of what takes this way, besides the route's.
    """

    pool: PoolId
    weight: int = 1
    request_headers: HeaderEdit = HeaderEdit()
    response_headers: HeaderEdit = HeaderEdit()
    rewrite: Rewrite | None = None
    mirrors: tuple[Mirror, ...] = ()


class Forward(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="forward"):
    """Send the request to one of the pools.

    Attributes:
        pools: at least one, unless there are redirects; a share of 0 gets nothing.
        redirects: further shares, which are redirected.
        missing: the share of backends that are not there.
        missing_status: what its requests are answered; gRPC makes UNAVAILABLE of 503.
        rewrite_prefix: what the matched part of the path is replaced by; None leaves it.
        rewrite_path: what the whole path is replaced by; None leaves it.
        rewrite_host: the host that the endpoints see; None leaves the client's.
        timeout_s: for the whole response; None waits for as long as bytes flow.
        idle_timeout_s: longest silence on a stream.
    """

    pools: tuple[PoolShare, ...]
    redirects: tuple[RedirectShare, ...] = ()
    missing: int = 0
    missing_status: int = 500
    rewrite_prefix: str | None = None
    rewrite_path: str | None = None
    rewrite_host: str | None = None
    timeout_s: float | None = None
    idle_timeout_s: float = 300.0
    retry: Retry = Retry()
    mirrors: tuple[Mirror, ...] = ()

    @property
    def targets(self) -> tuple[PoolId, ...]:
        """Every pool that requests are sent to, copies included."""
        copies = (*self.mirrors, *(mirror for share in self.pools for mirror in share.mirrors))
        return (*(share.pool for share in self.pools), *(mirror.pool for mirror in copies))

    @property
    def is_divided(self) -> bool:
        """Whether more than headers differs between the shares."""
        kept = (share for share in self.pools if share.weight > 0)
        return bool(self.redirects) or any(share.rewrite or share.mirrors for share in kept)


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


class Cors(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Which pages of other origins may use a route (the Fetch standard, "CORS protocol").

    Preflights of these are answered here; others go on, and are told nothing.

    Attributes:
        origins: `*` for all, or `scheme://host` with a port unless it is the scheme's own; a host
            that begins with `*` is any that ends so.
        methods, headers: `*` alone is whatever the client asks for.
        exposed: headers of answers that pages may read.
        max_age_s: for how long a browser may remember the answer to a preflight.
    """

    origins: tuple[str, ...] = ()
    credentials: bool = False
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age_s: int = 5


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
        when: what else a request must be.
        labels: how many labels the host's `*` must stand for, where the host has one.
        hostname: the only name it takes requests for, where the host has many; None takes all.
    """

    id: str
    owner: ObjectRef | None
    match: PathMatch
    when: Conditions = Conditions()
    labels: Labels = Labels.ANY
    hostname: str | None = None
    action: Action
    guard: Guard = Guard()
    cors: Cors | None = None
    request_headers: HeaderEdit = HeaderEdit()
    response_headers: HeaderEdit = HeaderEdit()


class MadeFor(msgspec.Struct, frozen=True, gc=False):
    """Which TLS connections a host's requests may come on, by the name in the handshake (SNI).

    On any other one they are answered 421, "Misdirected Request" (RFC 9110, section 15.5.20), and
    browsers ask again on a connection of its own.

    Attributes:
        hostname: exact, or `*.example.com` for any number of labels, or `*` for all.
        exceptions: names that it would take and that are others'; sorted.
    """

    hostname: str
    exceptions: tuple[str, ...] = ()


class VirtualHost(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="host"):
    """The routes of one host name on one router, in the order in which they are tried.

    Attributes:
        hostname: lower case; `*.example.com` takes any one or more labels in front only where no
            longer name matches; `*` takes what no other host of the router takes.
        made_for: the connections it is served on; None for all.
    """

    id: HostId
    router: RouterId
    hostname: str
    made_for: MadeFor | None = None
    routes: tuple[Route, ...] = ()
