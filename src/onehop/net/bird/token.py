"""What may become text of BIRD's configuration: tokens of ours, and addresses parsed again."""

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from onehop.model.address import Cidr, IpAddr

_UNSAFE: Final = re.compile(r"[^a-z0-9]+")
_READABLE: Final = 32


def protocol_name(neighbor: str) -> str:
    """Return what BIRD calls a neighbour: letters, digits and underscores, fewer than 64.

    A readable part, and 48 bits of a hash of the whole name, so that no two neighbours meet.
    """
    readable = _UNSAFE.sub("_", neighbor.lower()).strip("_")[:_READABLE].rstrip("_")
    digest = hashlib.blake2s(neighbor.encode(), digest_size=6).hexdigest()
    return f"onehop_{readable or 'n'}_{digest}"


def family(*, ipv6: bool) -> str:
    """Return the digit that names of one family end in."""
    return "6" if ipv6 else "4"


def address_text(address: IpAddr) -> str:
    """Return an address as BIRD reads it.

    Raises:
        ValueError: it is not in canonical form, which is a bug of its maker.
    """
    if str(ipaddress.ip_address(address)) != address:
        raise ValueError(f"{address!r} is not the canonical form of an address")
    return address


def prefix_text(prefix: Cidr) -> str:
    """Return a prefix as BIRD reads it.

    Raises:
        ValueError: it is not in canonical form, which is a bug of its maker.
    """
    if str(ipaddress.ip_network(prefix)) != prefix:
        raise ValueError(f"{prefix!r} is not the canonical form of a prefix")
    return prefix


def prefix_set(prefixes: Iterable[Cidr]) -> str:
    """Return the set of prefixes and of everything within them."""
    return f"[ {', '.join(f'{prefix_text(prefix)}+' for prefix in prefixes)} ]"
