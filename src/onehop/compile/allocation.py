"""Who gets which address: the one decision that needs to see every Service at once.

The ledger is filled in the order that disturbs least: first those that have an address keep it,
then those that ask for a certain one, then the rest; within each the oldest first. An address goes
to one Service, or to several that carry the same `share-address` and have no port in common. A
change of one Service's wishes walks the whole ledger (about 2 µs a Service); endpoints never do.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from onehop.compile.backend import options_of
from onehop.compile.inputs import ALL_HELD, ONLY, OPTIONS
from onehop.compile.options import AddressPool, Options
from onehop.compile.service import (
    ALL_SERVICE_INTENTS,
    SERVICE_INTENT_REFS,
    SERVICE_INTENTS,
    ServiceIntent,
    ServicePortIntent,
)
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.ident import ListenerId, ObjectRef
from onehop.model.listener import ForwardTcp, ForwardUdp, Handler, Listener, Transport
from onehop.model.problem import Problem, Reason


class Allotment(msgspec.Struct, frozen=True):
    """What the ledger says of one Service: its addresses, at most one of each family."""

    addresses: tuple[IpAddr, ...] = ()
    problems: tuple[Problem, ...] = ()


class Placement(msgspec.Struct, frozen=True):
    """A Service with its addresses, and the listeners that follow."""

    addresses: tuple[IpAddr, ...]
    listeners: tuple[Listener, ...]


class _RefusedError(Exception):
    """An address cannot be given; carries the reason and the rest of the sentence."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


_PortKey = tuple[int, Transport]


class _Ledger:
    """Addresses given so far."""

    def __init__(self, options: Options) -> None:
        self._pools = options.address_pools
        self._reserved = frozenset(options.shared)
        self._owners: dict[IpAddr, list[ServiceIntent]] = {}
        self._free: dict[tuple[str, bool], Iterator[IpAddr]] = {}

    def take(self, intent: ServiceIntent, address: IpAddr) -> IpAddr:
        """Give this very address, or raise _RefusedError."""
        pools = self._pools_for(intent)
        if not any(pool.contains(address) for pool in pools):
            names = ", ".join(pool.name for pool in pools)
            raise _RefusedError(
                Reason.ADDRESS_NOT_IN_POOL, f"{address} is not in address pool {names}"
            )
        if address in self._reserved:
            raise _RefusedError(Reason.ADDRESS_CONFLICT, f"{address} is the VIP of Ingresses")
        for owner in self._owners.get(address, ()):
            if not _may_share(owner, intent):
                raise _RefusedError(
                    Reason.ADDRESS_CONFLICT,
                    f"{address} belongs to {owner.ref}; to share it both need the same"
                    " onehop.dev/share-address and different ports",
                )
        self._owners.setdefault(address, []).append(intent)
        return address

    def pick(self, intent: ServiceIntent, *, ipv6: bool) -> IpAddr:
        """Give an address to share, else the first free one, or raise _RefusedError."""
        pools = self._pools_for(intent)
        if intent.share_key is not None:
            for address, owners in self._owners.items():
                if is_ipv6(address) is ipv6 and all(_may_share(o, intent) for o in owners):
                    return self.take(intent, address)
        for pool in pools:
            for address in self._unused(pool, ipv6=ipv6):
                self._owners[address] = [intent]
                return address
        names = ", ".join(pool.name for pool in pools)
        family = "IPv6" if ipv6 else "IPv4"
        raise _RefusedError(Reason.POOL_EXHAUSTED, f"no {family} address is free in pool {names}")

    def _unused(self, pool: AddressPool, *, ipv6: bool) -> Iterator[IpAddr]:
        # Addresses are only ever taken within one filling of the ledger, so the walk goes on
        # where the last Service left it instead of passing over the taken ones again.
        addresses = self._free.setdefault((pool.name, ipv6), pool.addresses(ipv6=ipv6))
        return (a for a in addresses if a not in self._owners and a not in self._reserved)

    def _pools_for(self, intent: ServiceIntent) -> tuple[AddressPool, ...]:
        if not self._pools:
            raise _RefusedError(
                Reason.NO_ADDRESS_POOL, "onehop.yaml has no addresses.pools to take one from"
            )
        if intent.address_pool is None:
            return self._pools
        named = tuple(pool for pool in self._pools if pool.name == intent.address_pool)
        if not named:
            names = ", ".join(pool.name for pool in self._pools)
            raise _RefusedError(
                Reason.NO_ADDRESS_POOL,
                f"address pool {intent.address_pool!r} does not exist; there are {names}",
            )
        return named


def _may_share(one: ServiceIntent, other: ServiceIntent) -> bool:
    ports: set[_PortKey] = {(port.port, port.transport) for port in one.ports}
    return (
        one.share_key is not None
        and one.share_key == other.share_key
        and ports.isdisjoint((port.port, port.transport) for port in other.ports)
    )


def _fill_ledger(reader: Reader, _only: tuple[()]) -> Cell[Mapping[ObjectRef, Allotment]]:
    intents = sorted(reader.where(ALL_SERVICE_INTENTS, ONLY), key=lambda intent: intent.age_key)
    if not intents:
        return Cell(None)
    held = {item.service: item.addresses for item in reader.where(ALL_HELD, ONLY)}
    had = {intent.ref: _had(intent, held.get(intent.ref)) for intent in intents}
    ledger = _Ledger(options_of(reader))
    kept = {intent.ref: _keep(ledger, intent, had[intent.ref]) for intent in intents}
    asking_first = sorted(intents, key=lambda intent: not intent.requested)
    return Cell({i.ref: _allot(ledger, i, kept[i.ref]) for i in asking_first})


def _had(intent: ServiceIntent, held: tuple[IpAddr, ...] | None) -> tuple[IpAddr, ...]:
    """Return what a Service had: by our own memory, else by its status.

    Status comes second because others may be able to write it (CVE-2020-8554).
    """
    had = held if held is not None else intent.current
    asked = {is_ipv6(address) for address in intent.requested}
    return tuple(a for a in had if is_ipv6(a) not in asked or a in intent.requested)


def _keep(ledger: _Ledger, intent: ServiceIntent, had: tuple[IpAddr, ...]) -> list[IpAddr]:
    kept: list[IpAddr] = []
    for ipv6 in intent.families:
        for address in had:
            if is_ipv6(address) is not ipv6:
                continue
            try:
                kept.append(ledger.take(intent, address))
                break
            except _RefusedError:
                continue  # taken by an older Service, or the pools have changed: find another
    return kept


def _allot(ledger: _Ledger, intent: ServiceIntent, kept: list[IpAddr]) -> Allotment:
    addresses: list[IpAddr] = []
    problems: list[Problem] = []
    for ipv6 in intent.families:
        address = next((a for a in kept if is_ipv6(a) is ipv6), None)
        wanted = next((a for a in intent.requested if is_ipv6(a) is ipv6), None)
        try:
            if address is None and wanted is not None:
                address = ledger.take(intent, wanted)
            elif address is None:
                address = ledger.pick(intent, ipv6=ipv6)
        except _RefusedError as refused:
            if intent.needs_every_family or not addresses:
                problems.append(_refusal(intent, refused))
        if address is not None:
            addresses.append(address)
    return Allotment(tuple(addresses), tuple(problems))


def _refusal(intent: ServiceIntent, refused: _RefusedError) -> Problem:
    return Problem(
        subject=intent.ref,
        field="spec.loadBalancerIP" if intent.requested else "",
        reason=refused.reason,
        message=f"no address: {refused}",
    )


def _place(reader: Reader, ref: ObjectRef) -> Cell[Placement]:
    intent = reader.get(SERVICE_INTENTS, ref)
    allotments = reader.get(LEDGER, ONLY)
    if intent is None or allotments is None or ref not in allotments:
        return Cell(None)
    allotment = allotments[ref]
    listeners: tuple[Listener, ...] = ()
    if intent.is_admitted and intent.sources is not None:
        listeners = tuple(_listeners(intent, allotment.addresses, intent.sources))
    return Cell(Placement(allotment.addresses, listeners), allotment.problems)


def _listeners(
    intent: ServiceIntent, addresses: tuple[IpAddr, ...], sources: tuple[Cidr, ...]
) -> Iterator[Listener]:
    for address in addresses:
        for port in intent.ports:
            name = f"{intent.ref.namespace}/{intent.ref.name}:{port.port}/{port.transport}"
            yield Listener(
                id=ListenerId(f"{name}@{address}"),
                owner=intent.ref,
                address=address,
                port=port.port,
                transport=port.transport,
                handler=_handler(intent, port),
                sources=sources,
                accepts_proxy_protocol=intent.accepts_proxy_protocol
                and port.transport is Transport.TCP,
                max_connections=intent.max_connections,
            )


def _handler(intent: ServiceIntent, port: ServicePortIntent) -> Handler:
    pool, idle_s = port.wish.pool.id, intent.idle_timeout_s
    udp = port.transport is Transport.UDP
    handler = ForwardUdp(pool=pool) if udp else ForwardTcp(pool=pool)
    return handler if idle_s is None else msgspec.structs.replace(handler, idle_timeout_s=idle_s)


LEDGER_EXISTS = Index[tuple[()], Options, tuple[()]](OPTIONS, "ledger", lambda _key, _: (ONLY,))
LEDGER: Final = Derived[tuple[()], Mapping[ObjectRef, Allotment]](
    "ledger", _fill_ledger, (LEDGER_EXISTS,)
)
PLACEMENTS = Derived[ObjectRef, Placement]("placements", _place, (SERVICE_INTENT_REFS,))
PLACED_LISTENERS = Index[ObjectRef, Placement, ListenerId](
    PLACEMENTS, "listener", lambda _, placement: [item.id for item in placement.listeners]
)
PLACED_ADDRESSES = Index[ObjectRef, Placement, IpAddr](
    PLACEMENTS, "address", lambda _, placement: {item.address for item in placement.listeners}
)
