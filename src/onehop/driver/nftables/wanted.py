"""From a listener and its pools to the elements that serve it; pure."""

import hashlib
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import collapse_addresses, ip_network
from typing import Final, NamedTuple

from onehop.driver.nftables.element import (
    Elements,
    Entrance,
    Lookup,
    Place,
    interval,
    number,
    target,
    to_number,
    version_of,
)
from onehop.driver.nftables.ruleset import UNSERVED, Chain, Draw, Sticky
from onehop.driver.nftables.slots import NOBODY, arrange, hashed, shares, together
from onehop.model.address import Cidr, IpAddr
from onehop.model.endpoint import Endpoint, Readiness
from onehop.model.ident import PoolId
from onehop.model.listener import ForwardHttp, Listener, StreamShare
from onehop.model.pool import Balancing, Pool, SourceIpPersistence

_LAST_NUMBER: Final = 0xFFFFFFFF


class Part(NamedTuple):
    """A share of what arrives at a listener, and who may get it.

    Attributes:
        weight: of the sum of all parts'.
        endpoints: of its pool; none where that is missing.
        failed: those that health checks have found not to work.
    """

    weight: int
    endpoints: Collection[Endpoint] = ()
    failed: Collection[tuple[IpAddr, int]] = ()


class Served(NamedTuple):
    """What serves one listener.

    Attributes:
        draw: how a member is picked; None if there is nobody to pick.
        sticky: the listener's own chain; None if it remembers nobody.
        members: the number of each endpoint that has one, which its counter goes by.
    """

    elements: Elements
    draw: Draw | None
    members: Mapping[tuple[IpAddr, int], int]
    sticky: Sticky | None = None

    @property
    def chains(self) -> frozenset[Chain]:
        """Those that elements lead to."""
        return frozenset(each for each in (self.draw, self.sticky) if each is not None)


def entrance_at(listener: Listener) -> Entrance:
    """Return what a listener's clients ask for."""
    return Entrance(listener.address, listener.transport, listener.port)


def parts_of(
    listener: Listener,
    endpoints: Callable[[PoolId], Collection[Endpoint]],
    failed: Callable[[PoolId], Collection[tuple[IpAddr, int]]] = lambda _: (),
) -> tuple[Part, ...]:
    """Return what a listener is divided into: with one pool, that is all of it.

    Args:
        listener: one that fits (`misfit`).
        endpoints: says the endpoints of a pool.
        failed: says which of them have failed.
    """
    handler = listener.handler
    if isinstance(handler, ForwardHttp):
        return ()
    return tuple(
        Part(share.weight)
        if share.pool is None
        else Part(share.weight, endpoints(share.pool), failed(share.pool))
        for share in handler.shares or (StreamShare(handler.pool),)
    )


def serve(
    listener: Listener, pool: Pool, parts: Iterable[Part], *, before: Elements | None = None
) -> Served:
    """Return what shall serve a listener.

    Args:
        listener: one that fits (`misfit`).
        pool: the first that it sends to; in all that counts here, the others are like it.
        parts: by `parts_of`. Endpoints of the other version of IP cannot be reached from here.
        before: what serves it now, so that as little as possible moves.
    """
    entrance = entrance_at(listener)
    version, key = entrance.version, entrance.key
    near = [_near(part, version) for part in parts]
    numbers = _numbers(each for part in near for each in part.endpoints)
    drawn = together(
        (part.weight, {numbers[_socket(each)]: each.weight for each in _drawn(part)})
        for part in near
    )
    sticky = _sticky(entrance, pool)
    if not drawn.keys() - {NOBODY}:
        return Served({Place(Lookup.REFUSED, version, key): b""}, None, {}, sticky)
    slots = _slots(entrance, pool, drawn, before or {})
    draw = Draw(version, len(slots), is_hash=is_hashed(pool))
    elements: Elements = {Place(Lookup.SERVICE, version, key): number(draw.number)}
    if sticky is not None:
        elements[Place(Lookup.STICKY, version, key)] = sticky.chain.encode()
    for place, member in enumerate(slots):
        elements[Place(Lookup.DRAW, version, key + number(place))] = number(member)
    # A client that is remembered goes where its member is found: not if that gets nothing new. All
    # others keep their place, and so their counter, while they are not drawn.
    known = {socket: each for socket, each in numbers.items() if each in drawn or sticky is None}
    for (address, port), member in known.items():
        elements[Place(Lookup.MEMBER, version, key + number(member))] = target(address, port)
    elements[entrance.place_to_leave(keeps_source=pool.is_transparent)] = b""
    if listener.sources:
        elements[Place(Lookup.CHECKED, version, key)] = b""
        for prefix in _collapsed(listener.sources, version):
            elements[Place(Lookup.SOURCE, version, interval(entrance, prefix))] = b""
    return Served(elements, draw, known, sticky)


def may_serve(parts: Iterable[Part]) -> frozenset[tuple[IpAddr, int]]:
    """Return who may keep what it has: whoever is drawn, and whoever drains and has not failed."""
    may: set[tuple[IpAddr, int]] = set()
    for part in parts:
        may |= {_socket(each) for each in part.endpoints} - {*part.failed}
        may |= {_socket(each) for each in _drawn(part)}
    return frozenset(may)


def member_place(entrance: Entrance, member: int) -> Place:
    """Return where a member's element is, which counts its connections."""
    return Place(Lookup.MEMBER, entrance.version, entrance.key + number(member))


def is_hashed(pool: Pool) -> bool:
    """Tell whether a client's address says which slot it draws; not if clients are remembered."""
    return pool.balancing is Balancing.HASH and pool.persistence is None


def _near(part: Part, version: int) -> Part:
    near = [each for each in part.endpoints if version_of(each.address) == version]
    return Part(part.weight, near, part.failed)


def _drawn(part: Part) -> Collection[Endpoint]:
    """Return who gets new connections.

    If all have failed their checks, all who serve: it is more likely that the check is wrong. If
    nobody serves, those who drain (KEP-1669).
    """
    serving = [each for each in part.endpoints if each.readiness is Readiness.SERVING]
    if part.failed:
        serving = [each for each in serving if _socket(each) not in part.failed] or serving
    return serving or part.endpoints


def _numbers(endpoints: Iterable[Endpoint]) -> dict[tuple[IpAddr, int], int]:
    """Return a number for each socket that it will have after a restart as well."""
    numbers: dict[tuple[IpAddr, int], int] = {}
    taken = {NOBODY, UNSERVED}
    for socket in sorted({_socket(each) for each in endpoints}):
        wish = zlib.crc32(f"{socket[0]}.{socket[1]}".encode())
        while wish in taken:
            wish = (wish + 1) & _LAST_NUMBER
        taken.add(wish)
        numbers[socket] = wish
    return numbers


def _slots(
    entrance: Entrance, pool: Pool, drawn: Mapping[int, int], before: Elements
) -> tuple[int, ...]:
    if is_hashed(pool):
        return hashed(drawn)
    start = len(entrance.key)
    had = sorted(
        (to_number(place.key[start:]), to_number(value))
        for place, value in before.items()
        if place.lookup is Lookup.DRAW
    )
    return arrange(shares(drawn), [member for _, member in had])


def _sticky(entrance: Entrance, pool: Pool) -> Sticky | None:
    if not isinstance(pool.persistence, SourceIpPersistence):
        return None
    digest = hashlib.sha256(entrance.key + pool.id.encode()).hexdigest()[:12]
    clients = f"clients{entrance.version}-{digest}"
    return Sticky(entrance.version, clients, pool.persistence.timeout_s)


def _collapsed(prefixes: Iterable[Cidr], version: int) -> Iterable[Cidr]:
    """Return the networks of one version of IP; a set of intervals takes none that overlap."""
    networks = [ip_network(prefix) for prefix in prefixes if version_of(prefix) == version]
    return [Cidr(str(each)) for each in collapse_addresses(networks)]  # type: ignore[type-var]  # of one version


def _socket(endpoint: Endpoint) -> tuple[IpAddr, int]:
    return endpoint.address, endpoint.port
