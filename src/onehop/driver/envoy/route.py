"""A VirtualHost of ours as one of Envoy's (VHDS), and its routes.

One Route of ours may become several of Envoy's, where Envoy has no single way to say it: a
redirect to a default port, a body limit, and backends that want different things done (`divided`).
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias, assert_never

import msgspec

from onehop.driver.envoy.cluster import CLIENT_ADDRESS
from onehop.driver.envoy.conditions import header_matches, query_matches
from onehop.driver.envoy.cors import preflight_matches, render_cors
from onehop.driver.envoy.divided import WHOLE, parts_of
from onehop.driver.envoy.guard import render_body_limit, render_guard
from onehop.driver.envoy.misdirected import SERVER_NAME, misdirected_routes
from onehop.driver.envoy.path import render_path, render_rewrite, render_whole
from onehop.driver.envoy.persistence import render_persistence
from onehop.driver.envoy.proto import (
    Route as RouteMessage,
)
from onehop.driver.envoy.proto import (
    VirtualHost as VirtualHostMessage,
)
from onehop.driver.envoy.proto import (
    duration,
    wrapped,
)
from onehop.driver.envoy.redirect import render_redirect
from onehop.driver.envoy.retry import USUAL, render_retry
from onehop.model.ident import PoolId, RouterId
from onehop.model.pool import Persistence
from onehop.model.route import (
    Forward,
    HeaderEdit,
    Labels,
    Mirror,
    PathMatch,
    PoolShare,
    Redirect,
    Respond,
    Route,
    VirtualHost,
)

MISSING: Final = PoolId("missing")
"""No pool has this name: they begin with a namespace and a slash."""

_NOT_FOUND: Final = {500: "INTERNAL_SERVER_ERROR", 503: "SERVICE_UNAVAILABLE"}

PersistenceOf: TypeAlias = Callable[[PoolId], Persistence | None]
"""What a pool keeps sessions by; None for a pool that is not there, too."""


class Pools(NamedTuple):
    """What a host has to know of the pools that it leads to.

    Attributes:
        is_retried_apart: whether a pool's cluster leaves it to the routes how to try again.
    """

    persistence_of: PersistenceOf
    is_retried_apart: Callable[[PoolId], bool]


class _Variant(NamedTuple):
    """One of the routes of Envoy's that a route of ours becomes.

    It takes requests whose number is below `limit`; see `divided`.
    """

    action: dict[str, Any]
    headers: list[dict[str, Any]]
    filters: dict[str, Any]
    limit: int = WHOLE


def host_resource(router: RouterId, hostname: str) -> str:
    """Return the name under which a router's host is pushed; Envoy reads the router from it."""
    return f"{router}/{hostname}"


def render_host(host: VirtualHost, pools: Pools) -> Any:
    """Return the VirtualHost. Its domain matches with any port; see `router`.

    Header edits that all of its routes share are said once; `retry` says why that counts.
    """
    edits = {_edits_of(route) for route in host.routes}
    shared = edits.pop() if len(edits) == 1 else None
    common = _header_edits(*shared) if shared else {}
    turned_away: Iterable[dict[str, Any]] = ()
    if host.made_for is not None:
        removed = common.get("request_headers_to_remove", ())
        common = {**common, "request_headers_to_remove": [*removed, SERVER_NAME]}
        turned_away = misdirected_routes(host.id, host.made_for)
    return VirtualHostMessage(
        # Envoy removes a host by this name when the *resource* of this name goes.
        name=host_resource(host.router, host.hostname),
        domains=[host.hostname],
        routes=[
            *(RouteMessage(**fields) for fields in turned_away),
            *(
                RouteMessage(**fields, **({} if shared else _header_edits(*_edits_of(route))))
                for route in host.routes
                for fields in _routes(route, host.hostname, pools)
            ),
        ],
        **common,
    )


def _routes(route: Route, hostname: str, pools: Pools) -> Iterable[dict[str, Any]]:
    match = render_path(route.match)
    names = _names(hostname, route)
    filters = {**render_guard(route.guard), **render_cors(route.cors)}
    for variant in _variants(route, pools):
        for headers in _header_matches(route):
            yield {
                "name": route.id,
                "match": {
                    **match,
                    "headers": [*names, *headers, *variant.headers],
                    "query_parameters": query_matches(route.when),
                    **_below(variant.limit),
                },
                "typed_per_filter_config": {**filters, **variant.filters},
                **variant.action,
            }


def _header_matches(route: Route) -> Iterable[list[dict[str, Any]]]:
    yield header_matches(route.when)
    if route.cors is not None and route.when.method is not None:
        yield preflight_matches(route.when)


def _names(hostname: str, route: Route) -> list[dict[str, Any]]:
    """Return what a request's own host must look like; Envoy's `*` stands for any of labels."""
    if route.hostname is not None:
        only = rf"(?i){re.escape(route.hostname)}(:[0-9]+)?"
        return [_authority(only)]
    if route.labels is Labels.ANY or not hostname.startswith("*."):
        return []
    one = rf"(?i)[^.]+{re.escape(hostname[1:])}(:[0-9]+)?"
    return [_authority(one, invert_match=route.labels is Labels.MORE)]


def _authority(regex: str, **fields: bool) -> dict[str, Any]:
    return {"name": ":authority", "string_match": {"safe_regex": {"regex": regex}}, **fields}


def _variants(route: Route, pools: Pools) -> Iterable[_Variant]:
    match route.action:
        case Forward(is_divided=True) as forward:
            for part in parts_of(forward):
                for variant in _variants(msgspec.structs.replace(route, action=part.action), pools):
                    yield variant._replace(limit=part.end)
        case Forward() as forward:
            action, filters = _forward(forward, route.match, pools)
            yield from _limited(route.guard.body_limit_bytes, action, filters)
        case Redirect() as redirect:
            for headers, action in render_redirect(redirect, route.match):
                yield _Variant({"redirect": action}, headers, {})
        case Respond(status=status, body=body):
            yield _Variant({"direct_response": _respond(status, body)}, [], {})
        case _:
            assert_never(route.action)


def _below(limit: int) -> dict[str, Any]:
    if limit == WHOLE:
        return {}
    share = {"numerator": limit, "denominator": "MILLION"}
    return {"runtime_fraction": {"default_value": share}}


def _respond(status: int, body: str = "") -> dict[str, Any]:
    return {"status": status, "body": {"inline_string": body}} if body else {"status": status}


def _limited(
    limit_bytes: int | None, action: dict[str, Any], filters: dict[str, Any]
) -> Iterable[_Variant]:
    """Split by what the client says of its body: too long, short enough, or nothing."""
    if limit_bytes is None:
        yield _Variant(action, [], filters)
        return
    too_long = {"start": limit_bytes + 1, "end": (1 << 63) - 1}
    length = {"name": "content-length"}
    refusal = {"direct_response": _respond(413)}
    yield _Variant(refusal, [{**length, "range_match": too_long}], {})
    yield _Variant(action, [{**length, "present_match": True}], filters)
    yield _Variant(action, [], {**filters, **render_body_limit(limit_bytes)})


def _forward(
    forward: Forward, match: PathMatch, pools: Pools
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the action, and the filters' configuration on the route.

    A pool that Envoy does not know, or that has no endpoints, answers 503: Envoy's default.
    """
    shares = [share for share in forward.pools if share.weight > 0]
    if not shares:
        return {"direct_response": _respond(forward.missing_status if forward.missing else 503)}, {}
    filters: dict[str, Any] = {}
    action: dict[str, Any] = {
        "timeout": duration(forward.timeout_s or 0),  # 0 is none
        "idle_timeout": duration(forward.idle_timeout_s),
    }
    if forward.retry != USUAL or any(pools.is_retried_apart(share.pool) for share in shares):
        action["retry_policy"] = render_retry(forward.retry)
    action |= _rewritten(forward, match)
    if forward.mirrors:
        action["request_mirror_policies"] = [_mirror(each) for each in forward.mirrors]
    if forward.missing:
        action["cluster_not_found_response_code"] = _NOT_FOUND[forward.missing_status]
        shares = [*shares, PoolShare(MISSING, forward.missing)]
    if shares == [PoolShare(shares[0].pool, shares[0].weight)]:
        action["cluster"] = shares[0].pool
        filters = render_persistence(pools.persistence_of(shares[0].pool))
    else:
        action["weighted_clusters"] = _weighted(shares, pools.persistence_of)
        action["hash_policy"] = [CLIENT_ADDRESS]
    return {"route": action}, filters


def _rewritten(forward: Forward, match: PathMatch) -> dict[str, Any]:
    action: dict[str, Any] = {}
    if forward.rewrite_host is not None:
        action["host_rewrite_literal"] = forward.rewrite_host
    if forward.rewrite_path is not None:
        action |= render_whole(forward.rewrite_path)
    elif forward.rewrite_prefix is not None:
        action |= render_rewrite(match, forward.rewrite_prefix)
    return action


def _mirror(mirror: Mirror) -> dict[str, Any]:
    share = {"numerator": mirror.per_million, "denominator": "MILLION"}
    return {"cluster": mirror.pool, "runtime_fraction": {"default_value": share}}


def _weighted(shares: list[PoolShare], persistence_of: PersistenceOf) -> dict[str, Any]:
    """Return the pools by weight.

    Where one of them keeps sessions, the pool is chosen by the client's address: a session that
    changed pools on each request would be none.
    """
    clusters = [
        {
            "name": share.pool,
            "weight": wrapped(share.weight),
            "typed_per_filter_config": render_persistence(persistence_of(share.pool)),
            **_header_edits(share.request_headers, share.response_headers),
        }
        for share in shares
    ]
    weighted: dict[str, Any] = {"clusters": clusters}
    if any(persistence_of(share.pool) is not None for share in shares):
        weighted["use_hash_policy"] = {"value": True}
    return weighted


def _edits_of(route: Route) -> tuple[HeaderEdit, HeaderEdit]:
    return route.request_headers, route.response_headers


def _header_edits(request: HeaderEdit, response: HeaderEdit) -> dict[str, Any]:
    return {
        "request_headers_to_remove": request.remove,
        "request_headers_to_add": _additions(request),
        "response_headers_to_remove": response.remove,
        "response_headers_to_add": _additions(response),
    }


def _additions(edit: HeaderEdit) -> list[dict[str, Any]]:
    return [
        *(_addition(name, value, "OVERWRITE_IF_EXISTS_OR_ADD") for name, value in edit.set),
        *(_addition(name, value, "APPEND_IF_EXISTS_OR_ADD") for name, value in edit.add),
    ]


def _addition(name: str, value: str, action: str) -> dict[str, Any]:
    """Return a HeaderValueOption; Envoy formats `%NAME%` in values, so a user's `%` is doubled."""
    return {
        "header": {"key": name, "value": value.replace("%", "%%")},
        "append_action": action,
        "keep_empty_value": True,
    }
