"""From a listener and its pool to the elements that serve it; pure."""

import hashlib
import zlib
from collections.abc import Collection, Iterable, Mapping
from ipaddress import collapse_addresses, ip_network
from typing import NamedTuple

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
from onehop.driver.nftables.ruleset import Chain, Draw, Sticky
from onehop.driver.nftables.slots import arrange, hashed, shares
from onehop.model.address import Cidr, IpAddr
from onehop.model.endpoint import Endpoint, Readiness
from onehop.model.listener import Listener
from onehop.model.pool import Balancing, Pool, SourceIpPersistence

_LAST_NUMBER = 0xFFFFFFFF


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


def serve(
    listener: Listener,
    pool: Pool,
    endpoints: Iterable[Endpoint],
    *,
    failed: Collection[tuple[IpAddr, int]] = (),
    before: Elements | None = None,
) -> Served:
    """Return what shall serve a listener.

    Args:
        listener: one that fits (`misfit`).
        pool: where it sends.
        endpoints: of the pool; those of the other version of IP cannot be reached from here.
        failed: endpoints that health checks have found not to work.
        before: what serves it now, so that as little as possible moves.
    """
    entrance = entrance_at(listener)
    near = [each for each in endpoints if version_of(each.address) == entrance.version]
    numbers = _numbers(near)
    drawn = {numbers[_socket(each)]: each.weight for each in _drawn(near, failed)}
    elements: Elements = {}
    if not drawn:
        elements[_at(Lookup.REFUSED, entrance)] = b""
        return Served(elements, None, {}, _sticky(entrance, pool))
    slots = _slots(entrance, pool, drawn, before or {})
    draw = Draw(entrance.version, len(slots), is_hash=_is_hashed(pool))
    elements[_at(Lookup.SERVICE, entrance)] = number(draw.number)
    sticky = _sticky(entrance, pool)
    if sticky is not None:
        elements[_at(Lookup.STICKY, entrance)] = sticky.chain.encode()
    for place, member in enumerate(slots):
        elements[_at(Lookup.DRAW, entrance, number(place))] = number(member)
    # A client that is remembered goes where its member is found: not if that gets nothing new. All
    # others keep their place, and so their counter, while they are not drawn.
    known = {socket: each for socket, each in numbers.items() if each in drawn or sticky is None}
    for (address, port), member in known.items():
        elements[_at(Lookup.MEMBER, entrance, number(member))] = target(address, port)
    elements[entrance.place_to_leave(keeps_source=pool.is_transparent)] = b""
    if listener.sources:
        elements[_at(Lookup.CHECKED, entrance)] = b""
        for prefix in _collapsed(listener.sources, entrance.version):
            elements[Place(Lookup.SOURCE, entrance.version, interval(entrance, prefix))] = b""
    return Served(elements, draw, known, sticky)


def may_serve(
    endpoints: Iterable[Endpoint], failed: Collection[tuple[IpAddr, int]]
) -> frozenset[tuple[IpAddr, int]]:
    """Return who may keep what it has: whoever is drawn, and whoever drains and has not failed."""
    every = tuple(endpoints)
    drawn = {_socket(each) for each in _drawn(every, failed)}
    return frozenset(drawn | ({_socket(each) for each in every} - {*failed}))


def member_place(entrance: Entrance, member: int) -> Place:
    """Return where a member's element is, which counts its connections."""
    return _at(Lookup.MEMBER, entrance, number(member))


def _drawn(
    near: Collection[Endpoint], failed: Collection[tuple[IpAddr, int]]
) -> Collection[Endpoint]:
    """Return who gets new connections.

    If all have failed their checks, all who serve: it is more likely that the check is wrong. If
    nobody serves, those who drain (KEP-1669).
    """
    serving = [each for each in near if each.readiness is Readiness.SERVING]
    return [each for each in serving if _socket(each) not in failed] or serving or near


def _numbers(endpoints: Iterable[Endpoint]) -> dict[tuple[IpAddr, int], int]:
    """Return a number for each endpoint that it will have after a restart as well; never 0."""
    numbers: dict[tuple[IpAddr, int], int] = {}
    taken = {0}
    for socket in sorted(_socket(each) for each in endpoints):
        wish = zlib.crc32(f"{socket[0]}.{socket[1]}".encode())
        while wish in taken:
            wish = (wish + 1) & _LAST_NUMBER
        taken.add(wish)
        numbers[socket] = wish
    return numbers


def _slots(
    entrance: Entrance, pool: Pool, drawn: Mapping[int, int], before: Elements
) -> tuple[int, ...]:
    if _is_hashed(pool):
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


def _is_hashed(pool: Pool) -> bool:
    return pool.balancing is Balancing.HASH and pool.persistence is None


def _collapsed(prefixes: Iterable[Cidr], version: int) -> Iterable[Cidr]:
    """Return the networks of one version of IP; a set of intervals takes none that overlap."""
    networks = [ip_network(prefix) for prefix in prefixes if version_of(prefix) == version]
    return [Cidr(str(each)) for each in collapse_addresses(networks)]  # type: ignore[type-var]  # of one version


def _socket(endpoint: Endpoint) -> tuple[IpAddr, int]:
    return endpoint.address, endpoint.port


def _at(lookup: Lookup, entrance: Entrance, rest: bytes = b"") -> Place:
    return Place(lookup, entrance.version, entrance.key + rest)
