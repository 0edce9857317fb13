"""Who gets which address: the one decision that needs to see every Service and Gateway at once.

The ledger is filled in the order that disturbs least: first those that have an address keep it (by
our own memory, then by what their status says), then those that ask for a certain one, then the
rest; within each the oldest first. An address goes to one Service, or to several that carry the
same `share-address` and have no port in common.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from onehop.compile.options import AddressPool, Options
from onehop.compile.sheet import Cell
from onehop.model.address import AddressSet, IpAddr, address_set, is_ipv6
from onehop.model.ident import ObjectRef
from onehop.model.listener import Transport
from onehop.model.problem import Problem, Reason


class AddressWish(msgspec.Struct, frozen=True, kw_only=True):
    """What a Service or a Gateway wants of the ledger.

    Attributes:
        families: whether IPv6, per wanted address, the primary one first.
        needs_every_family: without it, one of the families will do (`PreferDualStack`).
        requested: addresses it must have; for a family that is not there the choice is ours.
        requested_field: where it asks for them.
        had: addresses it has now, or had when this process began.
        is_held: `had` is our own memory. Otherwise it is the object's status, which others may be
            able to write (CVE-2020-8554).
    """

    ref: ObjectRef
    age_key: tuple[str, str, str]
    families: tuple[bool, ...]
    needs_every_family: bool
    requested: tuple[IpAddr, ...]
    requested_field: str
    address_pool: str | None
    share_key: str | None
    ports: frozenset[tuple[int, Transport]]
    had: tuple[IpAddr, ...]
    is_held: bool


def fill_ledger(
    wishes: Iterable[AddressWish], options: Options
) -> Mapping[ObjectRef, Cell[tuple[IpAddr, ...]]]:
    """Return the addresses of each Service, and what is wrong with what it asks for."""
    by_age = sorted(wishes, key=lambda wish: wish.age_key)
    ledger = _Ledger(options)
    remembered = sorted(by_age, key=lambda wish: not wish.is_held)
    kept = {wish.ref: _keep(ledger, wish) for wish in remembered}
    asking_first = sorted(by_age, key=lambda wish: not wish.requested)
    return {wish.ref: _allot(ledger, wish, kept[wish.ref]) for wish in asking_first}


class _RefusedError(Exception):
    """An address cannot be given; carries the reason and the rest of the sentence."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Pool(msgspec.Struct, frozen=True):
    pool: AddressPool
    addresses: AddressSet


class _Ledger:
    """Addresses given so far."""

    def __init__(self, options: Options) -> None:
        self._pools = tuple(_Pool(pool, address_set(pool.ranges)) for pool in options.address_pools)
        self._reserved = frozenset(options.shared)
        self._owners: dict[IpAddr, list[AddressWish]] = {}
        self._shared: dict[str, dict[IpAddr, None]] = {}
        self._free: dict[tuple[AddressPool, bool], Iterator[IpAddr]] = {}

    def take(self, wish: AddressWish, address: IpAddr) -> IpAddr:
        """Give this very address, or raise _RefusedError."""
        pools = self._pools_for(wish)
        if not _contain(pools, address):
            raise _RefusedError(
                Reason.ADDRESS_NOT_IN_POOL, f"{address} is not in address pool {_names(pools)}"
            )
        if address in self._reserved:
            raise _RefusedError(Reason.ADDRESS_CONFLICT, f"{address} is the VIP of Ingresses")
        for owner in self._owners.get(address, ()):
            if not _may_share(owner, wish):
                raise _RefusedError(
                    Reason.ADDRESS_CONFLICT,
                    f"{address} belongs to {owner.ref}; to share it both need the same"
                    " onehop.dev/share-address and different ports",
                )
        return self._give(wish, address)

    def pick(self, wish: AddressWish, *, ipv6: bool) -> IpAddr:
        """Give an address to share, else the first free one, or raise _RefusedError."""
        pools = self._pools_for(wish)
        for address in self._shared.get(wish.share_key or "", ()):
            if (
                is_ipv6(address) is ipv6
                and _contain(pools, address)
                and all(_may_share(owner, wish) for owner in self._owners[address])
            ):
                return self._give(wish, address)
        for each in pools:
            for address in self._unused(each.pool, ipv6=ipv6):
                return self._give(wish, address)
        family = "IPv6" if ipv6 else "IPv4"
        raise _RefusedError(
            Reason.POOL_EXHAUSTED, f"no {family} address is free in pool {_names(pools)}"
        )

    def _give(self, wish: AddressWish, address: IpAddr) -> IpAddr:
        self._owners.setdefault(address, []).append(wish)
        if wish.share_key is not None:
            self._shared.setdefault(wish.share_key, {})[address] = None
        return address

    def _unused(self, pool: AddressPool, *, ipv6: bool) -> Iterator[IpAddr]:
        # Addresses are only ever taken within one filling of the ledger, so the walk goes on
        # where the last Service left it instead of passing over the taken ones again.
        addresses = self._free.setdefault((pool, ipv6), pool.addresses(ipv6=ipv6))
        return (a for a in addresses if a not in self._owners and a not in self._reserved)

    def _pools_for(self, wish: AddressWish) -> tuple[_Pool, ...]:
        if not self._pools:
            raise _RefusedError(
                Reason.NO_ADDRESS_POOL, "onehop.yaml has no addresses.pools to take one from"
            )
        if wish.address_pool is None:
            return self._pools
        named = tuple(each for each in self._pools if each.pool.name == wish.address_pool)
        if not named:
            raise _RefusedError(
                Reason.NO_ADDRESS_POOL,
                f"address pool {wish.address_pool!r} does not exist; there are"
                f" {_names(self._pools)}",
            )
        return named


def _contain(pools: Iterable[_Pool], address: IpAddr) -> bool:
    return any(address in each.addresses for each in pools)


def _names(pools: Iterable[_Pool]) -> str:
    return ", ".join(each.pool.name for each in pools)


def _may_share(one: AddressWish, other: AddressWish) -> bool:
    return (
        one.share_key is not None
        and one.share_key == other.share_key
        and one.ports.isdisjoint(other.ports)
    )


def _keep(ledger: _Ledger, wish: AddressWish) -> list[IpAddr]:
    """Give back what a Service had, but for families of which it asks for a certain address."""
    asked = {is_ipv6(address) for address in wish.requested}
    kept: list[IpAddr] = []
    for ipv6 in wish.families:
        for address in wish.had:
            if is_ipv6(address) is not ipv6 or (ipv6 in asked and address not in wish.requested):
                continue
            try:
                kept.append(ledger.take(wish, address))
                break
            except _RefusedError:
                continue  # an older Service has it, or the pools have changed: find another
    return kept


def _allot(ledger: _Ledger, wish: AddressWish, kept: list[IpAddr]) -> Cell[tuple[IpAddr, ...]]:
    addresses: list[IpAddr] = []
    problems: list[Problem] = []
    for ipv6 in wish.families:
        address = next((a for a in kept if is_ipv6(a) is ipv6), None)
        wanted = next((a for a in wish.requested if is_ipv6(a) is ipv6), None)
        try:
            if address is None and wanted is not None:
                address = ledger.take(wish, wanted)
            elif address is None:
                address = ledger.pick(wish, ipv6=ipv6)
            addresses.append(address)
        except _RefusedError as refused:
            field = "" if wanted is None else wish.requested_field
            problems.append(
                Problem(
                    subject=wish.ref,
                    field=field,
                    reason=refused.reason,
                    message=f"no address: {refused}",
                )
            )
    will_do = addresses and not wish.needs_every_family
    return Cell(tuple(addresses), () if will_do else tuple(problems))
