"""A listener with its hosts and names, as a virtual server and its rules; and an address."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any, Final, assert_never

import msgspec

from onehop.driver.vtm.content import Content, Kind, ObjectKey
from onehop.driver.vtm.name import Names
from onehop.driver.vtm.script import render_rules
from onehop.driver.vtm.step import Step
from onehop.model.address import Cidr
from onehop.model.certificate import ServerName
from onehop.model.ident import PoolId
from onehop.model.listener import ForwardHttp, ForwardTcp, ForwardUdp, Listener, TlsPolicy
from onehop.model.pool import Pool
from onehop.model.route import Forward, RateLimit, Route, VirtualHost

NO_POOL: Final = "discard"
"""The reserved name of the pool that drops what is sent to it."""

_MINUTE: Final = 60
_EVERYBODY: Final = ("0.0.0.0/0", "::/0")
_ANY_NUMBER: Final = -1


class Served(msgspec.Struct, frozen=True):
    """What stands behind one listener.

    Attributes:
        hosts: of its router.
        server_names: of its router.
        pools: those that are there.
    """

    hosts: Sequence[VirtualHost] = ()
    server_names: Sequence[ServerName] = ()
    pools: Mapping[PoolId, Pool] = {}


def render_address(
    address: str, machines: Sequence[str], names: Names, *, is_raised: bool = True
) -> dict[ObjectKey, Content]:
    """Return the traffic IP group that carries one address, on one machine at a time.

    Args:
        address: of one version of IP.
        machines: one of which has it.
        names: of one owner.
        is_raised: whether any machine shall have it yet.
    """
    properties = {
        "basic": {
            "note": names.note(address),
            "enabled": is_raised,
            "mode": "singlehosted",
            "ipaddresses": (address,),
            "machines": tuple(sorted(machines)),
        }
    }
    return {ObjectKey(Kind.TRAFFIC_IP, names.name(address)): properties}


def render_listener(listener: Listener, served: Served, names: Names) -> dict[ObjectKey, Content]:
    """Return the listener's objects. The listener and its hosts must fit; see `fit`."""
    name = names.name(listener.id)
    objects: dict[ObjectKey, Content] = {}
    basic: dict[str, Any] = {
        "note": names.note(listener.id),
        "enabled": True,
        "port": listener.port,
        "listen_on_any": False,
        "listen_on_traffic_ips": (names.name(listener.address),),
        "proxy_protocol": listener.accepts_proxy_protocol,
        "max_concurrent_connections": listener.max_connections or 0,
        "protection_class": "",
        "request_rules": (),
        "response_rules": (),
        "ssl_decrypt": False,
    }
    properties: dict[str, dict[str, Any]] = {"basic": basic}
    match listener.handler:
        case ForwardHttp() as http:
            objects |= _http(listener, http, served, names, properties)
        case ForwardTcp(pool=pool, idle_timeout_s=idle_s):
            basic |= {"protocol": "stream", "pool": names.name(pool)}
            properties["connection"] = {"timeout": ceil(idle_s)}
        case ForwardUdp(pool=pool, idle_timeout_s=idle_s):
            basic |= {"protocol": "udpstreaming", "pool": names.name(pool)}
            properties["udp"] = {
                "timeout": max(1, ceil(idle_s)),
                "response_datagrams_expected": _ANY_NUMBER,
            }
        case _:
            assert_never(listener.handler)
    if listener.sources and not isinstance(listener.handler, ForwardHttp):
        objects[ObjectKey(Kind.PROTECTION, name)] = _sources(listener.sources, basic["note"])
        basic["protection_class"] = name
    objects[ObjectKey(Kind.SERVER, name)] = properties
    return objects


def _http(
    listener: Listener,
    http: ForwardHttp,
    served: Served,
    names: Names,
    properties: dict[str, dict[str, Any]],
) -> dict[ObjectKey, Content]:
    basic = properties["basic"]
    name = names.name(listener.id)
    step = Step(
        scheme="https" if http.tls else "http",
        pool=names.name,
        rate=lambda host, route: names.name(_limit_id(listener, host, route)),
        is_there=lambda id_: id_ in served.pools,
        is_sticky=lambda id_: _keeps_sessions(served.pools.get(id_)),
    )
    rules = render_rules(listener, served.hosts, step, names, hops=http.trusted_hops)
    request = ObjectKey(Kind.RULE, name)
    objects: dict[ObjectKey, Content] = {request: rules.request}
    basic |= {"protocol": "http", "pool": NO_POOL, "request_rules": (name,)}
    if rules.response is not None:
        answer = ObjectKey(Kind.RULE, names.name(f"{listener.id} response"))
        objects[answer] = rules.response
        basic["response_rules"] = (answer.name,)
    properties["http"] = {
        "add_x_forwarded_for": True,
        "add_x_forwarded_proto": True,
        "add_cluster_ip": False,
        "location_rewrite": "never",
    }
    properties["connection"] = {"timeout": _idle_s(served.hosts)}
    if http.tls:
        basic |= _tls(http, served, names, properties)
    return objects | _rates(listener, served.hosts, names)


def _idle_s(hosts: Iterable[VirtualHost]) -> int:
    """Return the longest silence that any route allows: a virtual server has one timeout."""
    actions = (route.action for host in hosts for route in host.routes)
    allowed = (each.idle_timeout_s for each in actions if isinstance(each, Forward))
    return ceil(max(allowed, default=Forward(pools=()).idle_timeout_s))


def _keeps_sessions(pool: Pool | None) -> bool:
    return pool is not None and pool.persistence is not None


def _tls(
    http: ForwardHttp, served: Served, names: Names, properties: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Fill the TLS section, and return what changes of the basic one.

    Without any certificate the virtual server stays disabled: the unit decrypts only with a
    default certificate. Where nobody named one, the first by name stands in.
    """
    certificates = {
        each.hostname: names.name(each.certificate)
        for each in sorted(served.server_names, key=lambda each: each.hostname)
    }
    if not certificates:
        return {"enabled": False}
    default = certificates.pop("*", None) or next(iter(certificates.values()))
    is_modern = http.tls_policy is TlsPolicy.MODERN
    properties["ssl"] = {
        "server_cert_default": default,
        "server_cert_host_mapping": tuple(
            {"host": host, "certificate": certificate, "alt_certificates": ()}
            for host, certificate in certificates.items()
        ),
        "request_client_cert": "dont_request",
        "support_tls1": "disabled",
        "support_tls1_1": "disabled",
        "support_tls1_2": "disabled" if is_modern else "enabled",
        "support_tls1_3": "enabled",
    }
    return {"ssl_decrypt": True}


def _sources(networks: Sequence[Cidr], note: str) -> Content:
    """Return the protection class that lets in some networks, where no rule can."""
    return {
        "basic": {"note": note, "enabled": True},
        "access_restriction": {"allowed": tuple(networks), "banned": _EVERYBODY},
        # The class's own limits, which nobody asked for: 0 is none.
        "concurrent_connections": {
            "max_1_connections": 0,
            "max_10_connections": 0,
            "min_connections": 0,
        },
    }


def _rates(
    listener: Listener, hosts: Iterable[VirtualHost], names: Names
) -> dict[ObjectKey, Content]:
    limited = (
        (_limit_id(listener, host, route), route.guard.rate_limit)
        for host in hosts
        for route in host.routes
    )
    return {
        ObjectKey(Kind.RATE, names.name(id_)): _rate(limit, names.note(id_))
        for id_, limit in limited
        if limit is not None
    }


def _limit_id(listener: Listener, host: VirtualHost, route: Route) -> str:
    return f"{listener.id} {host.hostname} {route.id}"


def _rate(limit: RateLimit, note: str) -> Content:
    """Return the class: by second where the limit is, or else by minute. It knows no burst."""
    if limit.per_s == 1:
        return {
            "basic": {
                "note": note,
                "max_rate_per_second": limit.requests,
                "max_rate_per_minute": 0,
            }
        }
    by_minute = max(1, limit.requests * _MINUTE // limit.per_s)
    return {"basic": {"note": note, "max_rate_per_second": 0, "max_rate_per_minute": by_minute}}
