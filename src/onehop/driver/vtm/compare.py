"""Comparing what an object shall be with what the unit answered, as the unit would.

A PUT merges by property, so only what we say is compared, and only what differs is written. What
the unit answers may differ in form: lists that are sets come in any order, rows of a table too;
columns that hold their default may be left out; a private key comes as its digest; an IPv6 address
may be spelled otherwise; line ends at the end of a text may be gone.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from onehop.driver.vtm.certificate import key_digest
from onehop.driver.vtm.content import Content, Properties
from onehop.model.certificate import SecretText

_ORDERED: Final = frozenset(("request_rules", "response_rules"))
_TABLES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "nodes_table": ("node", {"state": "active", "weight": 1, "priority": 1, "source_ip": ""}),
    "server_cert_host_mapping": ("host", {"alt_certificates": ()}),
}
"""Tables that we write: the column that names a row, and the defaults of the others."""


def differences(want: Content, have: Content | None) -> Content | None:
    """Return what has to be written to turn `have` into `want`, or None for nothing."""
    if isinstance(want, str):
        is_kept = isinstance(have, str) and have.rstrip() == want.rstrip()
        return None if is_kept else want
    if have is None or isinstance(have, str):
        return want
    differing: dict[str, dict[str, Any]] = {}
    for section, fields in want.items():
        there = have.get(section, {})
        for field, value in fields.items():
            if not is_same(field, value, there.get(field)):
                differing.setdefault(section, {})[field] = value
    return differing or None


def fields_of(content: Content | None) -> tuple[str, ...]:
    """Return which fields a difference is about, as `basic.nodes_table`; no values."""
    if content is None or isinstance(content, str):
        return ("text",) if content is not None else ()
    return tuple(f"{section}.{field}" for section, fields in content.items() for field in fields)


def is_same(field: str, want: Any, have: Any) -> bool:
    """Tell whether a field means what it shall."""
    if isinstance(want, SecretText):
        return bool(have == key_digest(want.reveal))
    return bool(_meaning(field, want) == _meaning(field, have))


def writable(content: Properties) -> dict[str, dict[str, Any]]:
    """Return the body of a PUT: the only place where a private key is revealed."""
    return {
        section: {
            field: value.reveal if isinstance(value, SecretText) else value
            for field, value in fields.items()
        }
        for section, fields in content.items()
    }


def _meaning(field: str, value: Any) -> Any:
    if field in _TABLES and isinstance(value, (list, tuple)):
        key, defaults = _TABLES[field]
        rows = [{**defaults, **row, key: _spelled(row.get(key))} for row in value]
        return {row[key]: {k: _plain(v) for k, v in row.items()} for row in rows}
    if isinstance(value, (list, tuple)):
        return tuple(value) if field in _ORDERED else frozenset(map(_plain, value))
    if isinstance(value, str):
        return value.strip() if value.startswith("-----BEGIN") else value
    return value


def _spelled(name: Any) -> Any:
    """Return a row's name; IPv6 addresses have many spellings (RFC 5952), and mean one."""
    address, _, port = str(name).rpartition(":")
    if ":" not in address:
        return name
    try:
        return ipaddress.ip_address(address.strip("[]")), port
    except ValueError:
        return name


def _plain(value: Any) -> Any:
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value
