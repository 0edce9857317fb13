"""Services and their addresses: what they want of the ledger, and the listeners that follow.

The ledger is filled anew when a wish for an address changes, and never for anything else: neither
endpoints nor the status we write ourselves reach it. A Service whose addresses come out as before
is not computed again.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from onehop.compile.backend import options_of
from onehop.compile.gateway.address import ALL_GATEWAY_WISHES
from onehop.compile.inputs import HELD, ONLY, SERVICES
from onehop.compile.ledger import AddressWish, fill_ledger
from onehop.compile.service import (
    SERVICE_INTENT_REFS,
    SERVICE_INTENTS,
    ServiceIntent,
    ServicePortIntent,
    status_addresses,
)
from onehop.compile.sheet import Cell, Derived, Index, Reader, Whole
from onehop.model.address import Cidr, IpAddr
from onehop.model.ident import ListenerId, ObjectRef
from onehop.model.listener import ForwardTcp, ForwardUdp, Handler, Listener, Transport


class Placement(msgspec.Struct, frozen=True, gc=False):
    """A Service or a Gateway with its addresses, and the listeners that follow.

    Attributes:
        ports: that are its own there, whether anything is served on them or not.
    """

    owner: ObjectRef
    addresses: tuple[IpAddr, ...]
    listeners: tuple[Listener, ...]
    ports: frozenset[tuple[int, Transport]]


def _wish(reader: Reader, ref: ObjectRef) -> Cell[AddressWish]:
    intent, held = reader.need(SERVICE_INTENTS, ref), reader.get(HELD, ref)
    wish = AddressWish(
        ref=ref,
        age_key=intent.age_key,
        families=intent.families,
        needs_every_family=intent.needs_every_family,
        requested=intent.requested,
        requested_field=intent.requested_field,
        address_pool=intent.address_pool,
        share_key=intent.share_key,
        ports=frozenset((port.port, port.transport) for port in intent.ports),
        had=held.addresses if held else status_addresses(reader.get(SERVICES, ref)),
        is_held=held is not None,
    )
    return Cell(wish)


def _ledger(reader: Reader) -> Mapping[ObjectRef, Cell[tuple[IpAddr, ...]]]:
    wishes = (
        *reader.unordered(ALL_ADDRESS_WISHES, ONLY),
        *reader.unordered(ALL_GATEWAY_WISHES, ONLY),
    )
    return fill_ledger(wishes, options_of(reader))


def _place(reader: Reader, ref: ObjectRef) -> Cell[Placement]:
    intent, addresses = reader.need(SERVICE_INTENTS, ref), reader.need(LEDGER, ref)
    listeners: tuple[Listener, ...] = ()
    if intent.is_admitted and intent.sources is not None:
        listeners = tuple(_listeners(intent, addresses, intent.sources))
    ports = frozenset((port.port, port.transport) for port in intent.ports)
    return Cell(Placement(ref, addresses, listeners, ports))


def _listeners(
    intent: ServiceIntent, addresses: tuple[IpAddr, ...], sources: tuple[Cidr, ...]
) -> Iterator[Listener]:
    for address in addresses:
        for port in intent.ports:
            is_tcp = port.transport is Transport.TCP
            name = f"{intent.ref.namespace}/{intent.ref.name}:{port.port}/{port.transport}"
            yield Listener(
                id=ListenerId(f"{name}@{address}"),
                owner=intent.ref,
                address=address,
                port=port.port,
                transport=port.transport,
                handler=_handler(intent, port),
                sources=sources,
                accepts_proxy_protocol=intent.accepts_proxy_protocol and is_tcp,
                max_connections=intent.max_connections if is_tcp else None,
            )


def _handler(intent: ServiceIntent, port: ServicePortIntent) -> Handler:
    pool, idle_s = port.wish.pool.id, intent.idle_timeout_s
    udp = port.transport is Transport.UDP
    handler = ForwardUdp(pool=pool) if udp else ForwardTcp(pool=pool)
    return handler if idle_s is None else msgspec.structs.replace(handler, idle_timeout_s=idle_s)


ADDRESS_WISHES: Final = Derived[ObjectRef, AddressWish](
    "address-wishes", _wish, (SERVICE_INTENT_REFS,)
)
ALL_ADDRESS_WISHES: Final = Index[ObjectRef, AddressWish, tuple[()]](
    ADDRESS_WISHES, "all", lambda _ref, _wish: (ONLY,)
)
LEDGER: Final = Whole[ObjectRef, tuple[IpAddr, ...]]("ledger", _ledger)
LEDGER_ADDRESSES: Final = Index[ObjectRef, tuple[IpAddr, ...], IpAddr](
    LEDGER, "address", lambda _, addresses: addresses
)
PLACEMENTS: Final = Derived[ObjectRef, Placement]("placements", _place, (SERVICE_INTENT_REFS,))
PLACED_LISTENERS: Final = Index[ObjectRef, Placement, ListenerId](
    PLACEMENTS, "listener", lambda _, placement: [item.id for item in placement.listeners]
)
SERVICES_AT: Final = Index[ObjectRef, Placement, IpAddr](
    PLACEMENTS, "at", lambda _, placement: placement.addresses
)
PLACED_ADDRESSES: Final = Index[ObjectRef, Placement, IpAddr](
    PLACEMENTS, "address", lambda _, placement: {item.address for item in placement.listeners}
)
