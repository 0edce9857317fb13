"""Finding out whom we speak with, before anything is written.

`?metadata` on a collection makes a unit describe its fields. In which shape is not known to us, so
the description is searched for the names of the fields that we write: whatever the shape, they are
in it. A unit that describes nothing is judged by its version.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from onehop.base.errors import DriverUnavailable, RejectedError
from onehop.driver.vtm.content import Kind
from onehop.driver.vtm.rest import Rest

OLDEST: Final = (6, 0)
_NEXT_MAJOR: Final = (9, 0)
_VERSION: Final = re.compile(r"[0-9]+\.[0-9]+")

_SINCE_6_1: Final = frozenset(
    ((Kind.SERVER, "support_tls1_3"), (Kind.PERSISTENCE, "transparent_directives"))
)

NEEDED: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.MONITOR: frozenset(
        (
            *("note", "type", "scope", "delay", "timeout", "failures", "use_ssl"),
            *("path", "host_header", "status_regex"),
        )
    ),
    Kind.PERSISTENCE: frozenset(("note", "type", "failure_mode", "transparent_directives")),
    Kind.RATE: frozenset(("note", "max_rate_per_second", "max_rate_per_minute")),
    Kind.PROTECTION: frozenset(
        (
            *("note", "enabled", "allowed", "banned"),
            *("max_1_connections", "max_10_connections", "min_connections"),
        )
    ),
    Kind.POOL: frozenset(
        (
            *("note", "monitors", "nodes_table", "passive_monitoring", "persistence_class"),
            *("node_delete_behavior", "node_drain_to_delete_timeout"),
            *("transparent", "max_connect_time", "max_reply_time", "algorithm"),
            *("enable", "strict_verify"),
        )
    ),
    Kind.KEY: frozenset(("note", "private", "public", "request")),
    Kind.TRAFFIC_IP: frozenset(("note", "enabled", "mode", "ipaddresses", "machines")),
    Kind.SERVER: frozenset(
        (
            *("note", "enabled", "port", "protocol", "pool", "listen_on_any"),
            *("listen_on_traffic_ips", "proxy_protocol", "max_concurrent_connections"),
            *("protection_class", "request_rules", "response_rules", "ssl_decrypt"),
            *("add_x_forwarded_for", "add_x_forwarded_proto", "add_cluster_ip"),
            *("location_rewrite", "timeout", "response_datagrams_expected"),
            *("server_cert_default", "server_cert_host_mapping", "request_client_cert"),
            *("support_tls1", "support_tls1_1", "support_tls1_2", "support_tls1_3"),
        )
    ),
}
"""The fields that are written, by collection."""


class Profile(msgspec.Struct, frozen=True):
    """What the unit is found to be.

    Attributes:
        version: of its REST API.
        machines: the traffic managers of the cluster.
        lacks: fields that it does not have and that can be left out.
    """

    version: str
    machines: tuple[str, ...]
    lacks: frozenset[tuple[Kind, str]] = frozenset()

    @property
    def has_tls13(self) -> bool:
        """Tell whether virtual servers speak TLS 1.3."""
        return (Kind.SERVER, "support_tls1_3") not in self.lacks


async def look_at(rest: Rest) -> Profile:
    """Return what the member is, and set the version that it is spoken to in.

    Raises:
        DriverUnavailable: it does not answer, or cannot do what is needed.
    """
    try:
        versions = await rest.children("/api/tm")
        rest.version = choose_version(versions)
        machines = await rest.children(f"{rest.config}/traffic_managers/")
        lacks = set(_SINCE_6_1) if _numbers(rest.version) < (6, 1) else set()
        for kind, needed in NEEDED.items():
            described = frozenset(_words(await rest.metadata(kind)))
            if described:
                missing = {(kind, field) for field in needed - described}
                _demand(kind, missing - _SINCE_6_1)
                lacks |= missing
    except RejectedError as err:
        raise DriverUnavailable(f"preflight: {err}") from err
    return Profile(rest.version, tuple(sorted(machines)), frozenset(lacks))


def choose_version(versions: tuple[str, ...]) -> str:
    """Return the newest version that we speak, compared by number: 6.10 is after 6.9.

    Raises:
        DriverUnavailable: there is none.
    """
    known = [
        version
        for version in versions
        if _VERSION.fullmatch(version) and OLDEST <= _numbers(version) < _NEXT_MAJOR
    ]
    if not known:
        raise DriverUnavailable(
            f"the unit speaks REST {', '.join(versions) or 'of no version'}; 6.0 to 8.x is needed"
        )
    return max(known, key=_numbers)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _demand(kind: Kind, missing: set[tuple[Kind, str]]) -> None:
    if missing:
        fields = ", ".join(sorted(field for _, field in missing))
        raise DriverUnavailable(f"preflight: the unit's {kind} know no {fields}")


def _words(described: Any) -> Iterator[str]:
    """Yield every key, and every text that stands as a `name`, of whatever structure."""
    match described:
        case dict():
            for key, value in described.items():
                yield str(key)
                if key == "name" and isinstance(value, str):
                    yield value
                yield from _words(value)
        case list():
            for value in described:
                yield from _words(value)
        case _:
            return
