"""Checks that the rules of several kinds share, each yielding field faults.

The texts are those of apimachinery `pkg/util/validation` and kubernetes `pkg/apis/core/validation`.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from onehop.lab.api.refusal import FieldFault, Json, invalid, required

MAX_PORT = 65535
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_HOST_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_HOST = re.compile(rf"{_HOST_LABEL}(\.{_HOST_LABEL})*")
_WILDCARD_HOST = re.compile(rf"\*(\.{_HOST_LABEL})+")


def part(obj: Json, name: str) -> Json:
    """Return a sub-object, {} when it is absent or is none."""
    found = obj.get(name)
    return found if isinstance(found, dict) else {}


def items(obj: Json, name: str) -> list[Any]:
    """Return a list of the object, [] when it is absent or is none."""
    found = obj.get(name)
    return found if isinstance(found, list) else []


def is_port(value: object) -> bool:
    """Return whether the value is a port number, 1-65535."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_PORT


def port_faults(field: str, value: object) -> Iterator[FieldFault]:
    """Yield what is wrong with a port number."""
    if not is_port(value):
        yield invalid(field, value, "must be between 1 and 65535, inclusive")


def port_name_faults(field: str, value: str) -> Iterator[FieldFault]:
    """Yield what is wrong with an IANA service name (RFC 6335 section 5.1)."""
    if len(value) > 15:  # noqa: PLR2004  RFC 6335
        yield invalid(field, value, "must be no more than 15 characters")
    elif not _PORT_NAME.fullmatch(value):
        yield invalid(
            field, value, "must contain only alpha-numeric characters and hyphens (a-z, 0-9, -)"
        )


def label_name_faults(field: str, value: str) -> Iterator[FieldFault]:
    """Yield what is wrong with a DNS-1035 label, as a Service's name must be one."""
    if len(value) > 63 or not _LABEL.fullmatch(value):  # noqa: PLR2004  RFC 1035
        yield invalid(
            field,
            value,
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start "
            "with an alphabetic character, and end with an alphanumeric character (e.g. "
            "'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        )


def port_label_faults(field: str, value: str) -> Iterator[FieldFault]:
    """Yield what is wrong with a DNS-1123 label, as the name of a Service's port must be one."""
    if len(value) > 63 or not re.fullmatch(_HOST_LABEL, value):  # noqa: PLR2004  RFC 1123
        yield invalid(
            field,
            value,
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
            "'-', and must start and end with an alphanumeric character",
        )


def address_faults(field: str, value: object, family: str = "") -> Iterator[FieldFault]:
    """Yield what is wrong with an IP address; `family` may demand `IPv4` or `IPv6`."""
    try:
        address = ipaddress.ip_address(str(value))
    except ValueError:
        yield invalid(field, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
        return
    if family and family != f"IPv{address.version}":
        yield invalid(field, value, f"must be an {family} address")


def cidr_faults(field: str, value: object) -> Iterator[FieldFault]:
    """Yield what is wrong with a CIDR."""
    try:
        ipaddress.ip_network(str(value).strip(), strict=False)
    except ValueError:
        yield invalid(
            field, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        )


def host_faults(field: str, value: str, *, may_be_wildcard: bool) -> Iterator[FieldFault]:
    """Yield what is wrong with a host name of a rule."""
    if _is_address(value):
        yield invalid(field, value, "must be a DNS name, not an IP address")
    elif value.startswith("*") and may_be_wildcard:
        if not _WILDCARD_HOST.fullmatch(value):
            yield invalid(field, value, "a wildcard DNS-1123 subdomain must start with '*.'")
    elif not _HOST.fullmatch(value):
        yield invalid(
            field,
            value,
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
            "'-' or '.', and must start and end with an alphanumeric character",
        )


def immutable_faults(field: str, new: object, old: object) -> Iterator[FieldFault]:
    """Yield a fault when a field that may not change has changed."""
    if new != old:
        yield invalid(field, new, "field is immutable")


def present_faults(field: str, value: object, detail: str = "") -> Iterator[FieldFault]:
    """Yield a fault when the value is empty."""
    if not value:
        yield required(field, detail)


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True
