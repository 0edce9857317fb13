"""A pool, its members, its check and its session persistence, as the unit has them."""

import re
from collections.abc import Sequence
from math import ceil
from typing import Any, Final, assert_never

from onehop.driver.vtm.content import Content, Kind, ObjectKey
from onehop.driver.vtm.name import Names
from onehop.model.address import is_ipv6
from onehop.model.endpoint import Endpoint, Path, Readiness
from onehop.model.pool import (
    Balancing,
    CookiePersistence,
    HeaderPersistence,
    HealthCheck,
    Pool,
    SourceIpPersistence,
)

_HEAVIEST: Final = 100
_REPLY_S: Final = 300
"""How long a node may be silent: `Forward.idle_timeout_s`; the unit's own 30 s cuts slow ones."""

_ALGORITHMS: Final = {
    Balancing.LEAST_REQUEST: "weighted_least_connections",
    Balancing.ROUND_ROBIN: "weighted_round_robin",
    # No algorithm hashes; a persistence class of type `ip` binds clients, see `_persistence`.
    Balancing.HASH: "weighted_round_robin",
}


def render_pool(
    pool: Pool, endpoints: Sequence[Endpoint], names: Names
) -> dict[ObjectKey, Content]:
    """Return the pool's objects. The pool must fit; see `fit`."""
    name = names.name(pool.id)
    note = names.note(pool.id)
    objects: dict[ObjectKey, Content] = {}
    persistence = _persistence(pool)
    if persistence is not None:
        objects[ObjectKey(Kind.PERSISTENCE, name)] = {"basic": {**persistence, "note": note}}
    is_checked = pool.health_check is not None
    if pool.health_check is not None:
        objects[ObjectKey(Kind.MONITOR, name)] = _monitor(pool.health_check, pool, note)
        if pool.health_check.spares_pods:
            is_checked = all(each.path is not Path.POD for each in endpoints)
    objects[ObjectKey(Kind.POOL, name)] = {
        "basic": {
            "note": note,
            "monitors": (name,) if is_checked else (),
            "nodes_table": nodes_table(endpoints),
            "passive_monitoring": True,
            "persistence_class": name if persistence is not None else "",
            "transparent": pool.is_transparent,
            # A member that leaves keeps the connections it has, as long as they last: it may be a
            # NodePort of a living node, and the Pod behind it a living one.
            "node_delete_behavior": "drain",
            "node_drain_to_delete_timeout": 0,
        },
        "connection": {
            "max_connect_time": max(1, ceil(pool.connect_timeout_s)),
            "max_reply_time": _REPLY_S,
        },
        "load_balancing": {"algorithm": _ALGORITHMS[pool.balancing]},
        "ssl": {"enable": pool.tls is not None, "strict_verify": False},
    }
    return objects


def nodes_table(endpoints: Sequence[Endpoint]) -> tuple[dict[str, Any], ...]:
    """Return the rows of a pool's nodes.

    A draining node gets no new sessions. Where *all* drain, all are active: a terminating Pod that
    still serves is better than none (KEP-1669). Weights are 1-100 to the unit, 1-1000 to us.
    """
    drains = any(each.readiness is Readiness.SERVING for each in endpoints)
    heaviest = max((each.weight for each in endpoints), default=1)
    scale = 1.0 if heaviest <= _HEAVIEST else _HEAVIEST / heaviest
    return tuple(
        {
            "node": node_name(each),
            "state": "draining" if drains and each.readiness is Readiness.DRAINING else "active",
            "weight": max(1, round(each.weight * scale)),
        }
        for each in endpoints
    )


def node_name(endpoint: Endpoint) -> str:
    """Return what the unit calls a member."""
    address = f"[{endpoint.address}]" if is_ipv6(endpoint.address) else endpoint.address
    return f"{address}:{endpoint.port}"


def _persistence(pool: Pool) -> dict[str, Any] | None:
    by_address = {"type": "ip", "failure_mode": "new_node"}
    match pool.persistence:
        case SourceIpPersistence():
            return by_address
        case CookiePersistence() as cookie:
            return {
                "type": "transparent",
                "failure_mode": "new_node",
                "transparent_directives": _directives(cookie),
            }
        case None:
            return by_address if pool.balancing is Balancing.HASH else None
        case HeaderPersistence():
            raise ValueError("a pool that does not fit was rendered")
        case _:
            assert_never(pool.persistence)


def _directives(cookie: CookiePersistence) -> str:
    parts = [f"Path={cookie.path}"]
    parts += [f"Max-Age={cookie.ttl_s}"] if cookie.ttl_s is not None else []
    parts += ["Secure"] if cookie.secure else []
    parts += ["HttpOnly"]
    parts += [f"SameSite={cookie.same_site}"] if cookie.same_site else []
    return "; ".join(parts)


def _monitor(check: HealthCheck, pool: Pool, note: str) -> Content:
    """Return the monitor.

    A check on another port than the node's own is that of a NodePort's kube-proxy; in its place the
    NodePort is connected to, which a node without ready Pods does not answer either.
    """
    basic: dict[str, Any] = {
        "note": note,
        "type": "connect",
        "scope": "pernode",
        "delay": max(1, ceil(check.interval_s)),
        "timeout": max(1, ceil(check.timeout_s)),
        "failures": check.unhealthy_threshold,
        "use_ssl": pool.tls is not None,
    }
    if check.http_path is None or check.port is not None:
        return {"basic": {**basic, "use_ssl": False}}
    return {
        "basic": {**basic, "type": "http"},
        "http": {
            "path": check.http_path,
            "host_header": check.http_host or "",
            "status_regex": _status_regex(check.expected),
        },
    }


def _status_regex(ranges: Sequence[tuple[int, int]]) -> str:
    """Return what status codes of the ranges match, as short as whole hundreds make it."""
    hundreds: list[str] = []
    singles: list[str] = []
    for first, last in ranges:
        codes = range(first, last + 1)
        whole = [h for h in range(1, 10) if h * 100 in codes and h * 100 + 99 in codes]
        hundreds += (str(h) for h in whole)
        singles += (str(code) for code in codes if code // 100 not in whole)
    parts = [f"[{''.join(hundreds)}][0-9][0-9]"] if hundreds else []
    return re.sub(r"\s", "", f"^({'|'.join(parts + singles)})$")
