"""Filters of HTTPRoutes and GRPCRoutes: what happens to a request on its way.

Fields: https://gateway-api.sigs.k8s.io/reference/1.6/spec/ and `apis/v1/httproute_types.go`. A
filter says by `type` which of its members counts; the CRD sees to it that it is there.
"""

import msgspec

from onehop.cluster.gateway_ref import BackendObjectRef, LocalObjectRef


class HeaderValue(msgspec.Struct, frozen=True, gc=False):
    """A header and its value; of equal names, but for case, the first one counts."""

    name: str
    value: str


class HeaderFilter(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Headers that are set, added to, and taken away, in that order."""

    set: tuple[HeaderValue, ...] = ()
    add: tuple[HeaderValue, ...] = ()
    remove: tuple[str, ...] = ()


class PathModifier(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """A new path: `ReplaceFullPath`, or `ReplacePrefixMatch` for the prefix that matched."""

    type: str
    replace_full_path: str | None = None
    replace_prefix_match: str | None = None


class RedirectFilter(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """An answer that sends the client elsewhere; None keeps what the request has.

    Attributes:
        status_code: 301, 302, 303, 307 or 308.
    """

    scheme: str | None = None
    hostname: str | None = None
    path: PathModifier | None = None
    port: int | None = None
    status_code: int = 302


class RewriteFilter(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Another host and path for the backend (`HTTPURLRewriteFilter`)."""

    hostname: str | None = None
    path: PathModifier | None = None


class Fraction(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A share."""

    numerator: int
    denominator: int = 100


class MirrorFilter(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """A copy of requests for somebody whose answers nobody waits for.

    Attributes:
        percent: of the requests; with neither this nor `fraction`, all of them.
    """

    backend_ref: BackendObjectRef
    percent: int | None = None
    fraction: Fraction | None = None


class CorsFilter(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """Who may call from other origins (`HTTPCORSFilter`, GEP-1767; the Fetch standard).

    Attributes:
        max_age: seconds for which a browser may remember the answer to a preflight.
    """

    allow_origins: tuple[str, ...] = ()
    allow_credentials: bool = False
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: int = 5


class HttpRouteFilter(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """One filter (`HTTPRouteFilter`).

    Attributes:
        type: `RequestHeaderModifier`, `ResponseHeaderModifier`, `RequestMirror`,
            `RequestRedirect`, `URLRewrite`, `CORS`, `ExtensionRef`, or what nobody here knows.
    """

    type: str
    request_header_modifier: HeaderFilter | None = None
    response_header_modifier: HeaderFilter | None = None
    request_mirror: MirrorFilter | None = None
    request_redirect: RedirectFilter | None = None
    url_rewrite: RewriteFilter | None = None
    cors: CorsFilter | None = None
    extension_ref: LocalObjectRef | None = None


class GrpcRouteFilter(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """One filter (`GRPCRouteFilter`): redirects, rewrites and CORS are not for gRPC."""

    type: str
    request_header_modifier: HeaderFilter | None = None
    response_header_modifier: HeaderFilter | None = None
    request_mirror: MirrorFilter | None = None
    extension_ref: LocalObjectRef | None = None
