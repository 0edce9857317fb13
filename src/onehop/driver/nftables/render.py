"""What the kernel would get for a Model, as a script that nft(8) could load; pure."""

import socket
import struct
from collections.abc import Iterator

from onehop.driver.nftables.element import (
    NUMBERS,
    VERDICTS,
    Elements,
    Lookup,
    Place,
    names_protocol,
    to_number,
)
from onehop.driver.nftables.fit import misfit
from onehop.driver.nftables.ruleset import FAMILY, TABLE, Chain, render_chains, render_table, shown
from onehop.driver.nftables.wanted import parts_of, serve
from onehop.model.endpoint import Endpoint
from onehop.model.ident import PoolId
from onehop.model.listener import ForwardHttp
from onehop.model.model import Model

_PROTOCOL_NAMES = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}
_PORT = struct.Struct("!H2x")


def render_script(model: Model) -> str:
    """Return the table with every listener of the Model that fits, from nothing."""
    elements, chains = elements_of(model)
    parts = (render_table(), render_chains(chains) if chains else "")
    return "".join(parts) + "\n".join(_lines(elements)) + ("\n" if elements else "")


def elements_of(model: Model) -> tuple[Elements, frozenset[Chain]]:
    """Return all elements, and the chains that they need."""
    pools = {pool.id: pool for pool in model.pools}
    members = {row.pool: row.endpoints for row in model.endpoints}

    def endpoints(pool: PoolId) -> tuple[Endpoint, ...]:
        return members.get(pool, ())

    elements: Elements = {}
    chains: set[Chain] = set()
    for listener in model.listeners:
        if isinstance(listener.handler, ForwardHttp) or misfit(listener, pools.get) is not None:
            continue
        served = serve(listener, pools[listener.handler.pool], parts_of(listener, endpoints))
        elements |= served.elements
        chains |= served.chains
    return elements, frozenset(chains)


def _lines(elements: Elements) -> Iterator[str]:
    for place, value in sorted(elements.items()):
        key = _key(place)
        shown = f"{key} : {_value(place, value)}" if value else key
        yield f"add element {FAMILY} {TABLE} {place.name} {{ {shown} }}"


def _key(place: Place) -> str:
    if place.lookup is Lookup.SOURCE:
        middle = len(place.key) // 2
        first, last = _entrance(place, place.key[:middle]), _entrance(place, place.key[middle:])
        rests = (_address(place, rest) for _, rest in (first, last))
        return f"{first[0]} . {'-'.join(rests)}"
    shown, rest = _entrance(place, place.key)
    return f"{shown} . {_number(rest)}" if rest else shown


def _entrance(place: Place, key: bytes) -> tuple[str, bytes]:
    """Return what a key begins with, and what is left of it."""
    size = _size(place)
    parts = [_address(place, key)]
    rest = key[size:]
    if names_protocol(place.lookup):
        parts.append(_PROTOCOL_NAMES[rest[0]])
        rest = rest[4:]
    parts.append(str(_PORT.unpack_from(rest)[0]))
    return " . ".join(parts), rest[_PORT.size :]


def _value(place: Place, value: bytes) -> str:
    if place.lookup in VERDICTS:
        return f"goto {value.decode()}"
    if place.lookup in NUMBERS:
        return _number(value)
    size = _size(place)
    return f"{_address(place, value)} . {_PORT.unpack_from(value, size)[0]}"


def _number(value: bytes) -> str:
    return shown(to_number(value))


def _address(place: Place, key: bytes) -> str:
    size = _size(place)
    return socket.inet_ntop(socket.AF_INET if size == 4 else socket.AF_INET6, key[:size])  # noqa: PLR2004


def _size(place: Place) -> int:
    return 4 if place.version == 4 else 16  # noqa: PLR2004  of IP
