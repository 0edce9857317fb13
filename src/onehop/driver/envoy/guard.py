"""Who may use a route, and how much: address lists (403), rate (429) and body size (413)."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from onehop.driver.envoy.proto import (
    RBAC,
    BufferPerRoute,
    HttpRbac,
    LocalRateLimit,
    RBACPerRoute,
    any_of,
    duration,
    wrapped,
)
from onehop.model.address import Cidr, is_within
from onehop.model.listener import Passthrough
from onehop.model.route import Guard, RateLimit

RBAC_FILTER: Final = "envoy.filters.http.rbac"
RATE_FILTER: Final = "envoy.filters.http.local_ratelimit"
BODY_FILTER: Final = "envoy.filters.http.buffer"

_CLIENTS_COUNTED: Final = 10_000
"""Buckets for each limited route; beyond it, Envoy forgets the client it saw longest ago."""

_PLENTY: Final = (1 << 32) - 1
_EVERYBODY: Final = (Cidr("0.0.0.0/0"), Cidr("::/0"))
_WHOLE: Final = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def cidr_range(cidr: Cidr) -> dict[str, Any]:
    """Return what a CidrRange field takes."""
    network = ipaddress.ip_network(cidr)
    return {
        "address_prefix": str(network.network_address),
        "prefix_len": wrapped(network.prefixlen),
    }


def render_guard(guard: Guard) -> dict[str, Any]:
    """Return the entries of `typed_per_filter_config`, but for the body limit."""
    config: dict[str, Any] = {}
    if guard.allow or guard.deny:
        rules = RBAC(action="ALLOW", policies={"onehop": _policy(guard)})
        config[RBAC_FILTER] = any_of(RBACPerRoute(rbac=HttpRbac(rules=rules)))
    if guard.rate_limit is not None:
        config[RATE_FILTER] = any_of(_rate_limit(guard.rate_limit))
    return config


class Clients(NamedTuple):
    """By their networks, the clients of a host whose connections are passed on.

    Attributes:
        let_in: nobody, if None; everybody but those turned away, if empty.
    """

    let_in: tuple[Cidr, ...] | None
    turned_away: tuple[Cidr, ...]


def clients_of(host: Passthrough) -> Clients:
    """Return who may connect; the longest of the networks that hold an address decides."""
    if not host.allow:
        return Clients((), host.deny)
    let_in = tuple(
        cidr for cidr in host.allow if not any(is_within(cidr, each) for each in host.deny)
    )
    turned_away = (*host.deny, *(each for each in _EVERYBODY if each not in host.deny))
    return Clients(let_in or None, tuple(each for each in turned_away if each not in let_in))


def connection_rules(host: Passthrough) -> Any | None:
    """Return the rule that keeps a wildcard of an Ingress to one label, or None.

    A filter chain for `*.example.com` takes names of any depth.
    """
    if not host.hostname.startswith("*.") or host.any_depth:
        return None
    one_label = rf"[^.]+{re.escape(host.hostname[1:])}"
    name = {"requested_server_name": {"safe_regex": {"regex": one_label}}}
    anybody = {"permissions": [name], "principals": [{"any": True}]}
    return RBAC(action="ALLOW", policies={"onehop": anybody})


def render_body_limit(limit_bytes: int) -> dict[str, Any]:
    """Return the entry that counts a body of unknown length, by holding it until it is complete.

    For requests that say their length, `route` compares numbers and nothing is held.
    """
    buffer = BufferPerRoute(buffer={"max_request_bytes": wrapped(limit_bytes)})
    return {BODY_FILTER: any_of(buffer)}


def _policy(guard: Guard) -> dict[str, Any]:
    """Return the one policy: among the allowed, if there are any, and not among the denied.

    `remote_ip` is the client as X-Forwarded-For and PROXY headers tell, where they are trusted.
    """
    demands: list[dict[str, Any]] = []
    if guard.allow:
        demands.append(_any_address(guard.allow))
    if guard.deny:
        demands.append({"not_id": _any_address(guard.deny)})
    client = {"and_ids": {"ids": demands}} if demands else {"any": True}
    return {"permissions": [{"any": True}], "principals": [client]}


def _any_address(cidrs: Iterable[Cidr]) -> dict[str, Any]:
    return {"or_ids": {"ids": [{"remote_ip": cidr_range(cidr)} for cidr in cidrs]}}


def _rate_limit(limit: RateLimit) -> Any:
    """Return a bucket for each client address (IPv6: each /64, which one client owns whole).

    An empty descriptor value makes Envoy keep a bucket for each value that it sees.
    """
    client = {
        "masked_remote_address": {
            "v4_prefix_mask_len": wrapped(32),
            "v6_prefix_mask_len": wrapped(64),
        }
    }
    bucket = {
        "max_tokens": limit.requests + limit.burst,
        "tokens_per_fill": wrapped(limit.requests),
        "fill_interval": duration(limit.per_s),
    }
    # Envoy demands a bucket for what no descriptor takes, though here every client has one.
    plenty = {
        "max_tokens": _PLENTY,
        "tokens_per_fill": wrapped(_PLENTY),
        "fill_interval": duration(1),
    }
    return LocalRateLimit(
        stat_prefix="onehop",
        token_bucket=plenty,
        filter_enabled=_WHOLE,
        filter_enforced=_WHOLE,
        rate_limits=[{"actions": [client]}],
        descriptors=[{"entries": [{"key": "masked_remote_address"}], "token_bucket": bucket}],
        max_dynamic_descriptors=wrapped(_CLIENTS_COUNTED),
        always_consume_default_token_bucket={"value": False},
    )
