"""The objects of one traffic manager, and what each names."""

import base64
import hashlib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from random import Random
from typing import Any, Final, TypeAlias

from onehop.lab.vtm.behaviour import Behaviour
from onehop.lab.vtm.refusal import Refused, fault, invalid
from onehop.lab.vtm.schema import Sections, fields_at, schema

Place: TypeAlias = tuple[str, str]
"""Collection and name."""

Stored: TypeAlias = Sections | str
"""Properties, or the text of a rule."""

_FORBIDDEN: Final = re.compile(r"[\x00-\x1f*`!/\\]|^[._#\s]|[~\s]$")
_LONGEST_NAME: Final = 128

_REFERENCES: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "virtual_servers": {
        "pools": ("basic", "pool"),
        "rules": ("basic", "request_rules"),
        "traffic_ip_groups": ("basic", "listen_on_traffic_ips"),
        "protection": ("basic", "protection_class"),
        "ssl/server_keys": ("ssl", "server_cert_default"),
    },
    "pools": {
        "monitors": ("basic", "monitors"),
        "persistence": ("basic", "persistence_class"),
    },
}
_RESERVED: Final = ("", "discard", "builtin_dns")


def check_name(name: str) -> None:
    """Refuse what cannot be a file's name; see the rules of the vendor's own rule editor.

    Raises:
        Refused: as the unit would, as far as is known.
    """
    if not 0 < len(name) <= _LONGEST_NAME or _FORBIDDEN.search(name):
        raise Refused(HTTPStatus.BAD_REQUEST, "resource.bad_name", f"'{name}' is no name")


def references(collection: str, content: Stored) -> Iterator[Place]:
    """Yield what an object names, but for the text of rules."""
    if isinstance(content, str):
        return
    for target, (section, field) in _REFERENCES.get(collection, {}).items():
        value = content.get(section, {}).get(field, "")
        named = value if isinstance(value, list) else [value]
        yield from ((target, name.strip("/*")) for name in named if name not in _RESERVED)
    if collection == "virtual_servers":
        answers = content["basic"]["response_rules"]
        yield from (("rules", name.strip("/*")) for name in answers)
        rows = content.get("ssl", {}).get("server_cert_host_mapping", [])
        yield from (("ssl/server_keys", row["certificate"]) for row in rows)


def shown(
    collection: str, content: Sections, behaviour: Behaviour, version: str, random: Random
) -> Sections:
    """Return properties as a GET has them: keys as digests, sets in any order."""
    known = fields_at(collection, version)
    answer: Sections = {}
    for section, fields in known.items():
        for name, field in fields.items():
            value: Any = content.get(section, {}).get(name, field.get("default", ""))
            if field.get("read_as"):
                value = digest(value)
            elif field["type"] == "table" and behaviour.drops_default_columns:
                value = [_trimmed(field["columns"], row) for row in value]
            elif field.get("order_significant") is False and behaviour.shuffles_sets:
                value = random.sample(value, len(value))
            if name == "nodes_table" and behaviour.expands_ipv6:
                value = [{**row, "node": _expanded(row["node"])} for row in value]
            answer.setdefault(section, {})[name] = value
    return answer


def _expanded(node: str) -> str:
    address, _, port = node.rpartition(":")
    if not address.startswith("["):
        return node
    return f"[{ipaddress.ip_address(address.strip('[]')).exploded}]:{port}"


def digest(pem: str) -> str:
    """Return what is shown of a private key."""
    return base64.b64encode(hashlib.sha256(pem.encode()).digest()).decode()


def check_server(content: Sections) -> None:
    """Refuse a virtual server that decrypts without a certificate.

    Raises:
        Refused: it does.
    """
    if content["basic"]["ssl_decrypt"] and not content["ssl"]["server_cert_default"]:
        needed = fault("property.no_default", "A certificate is required")
        raise invalid({"ssl": {"server_cert_default": needed}})


def is_text(collection: str) -> bool:
    """Tell whether a collection holds texts."""
    return bool(schema()[collection]["kind"] == "text")


def _trimmed(columns: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if not (columns[name].get("may_be_absent_on_get") and value == columns[name]["default"])
    }
