"""Gateways with their addresses, and the listeners of the Model that follow.

A socket can be bound once, so all listeners of a Gateway with one port become one listener of the
Model; their hosts are told apart on its router.
"""

from collections.abc import Iterator
from typing import Final

from onehop.compile.allocation import LEDGER, Placement
from onehop.compile.backend import options_of
from onehop.compile.gateway.gateway import GATEWAY_INTENT_REFS, GATEWAY_INTENTS, GatewayIntent
from onehop.compile.gateway.place import router_of
from onehop.compile.options import Options
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.address import IpAddr
from onehop.model.ident import ListenerId, ObjectRef
from onehop.model.listener import ForwardHttp, Listener


def listener_id(gateway: ObjectRef, port: int, address: IpAddr) -> ListenerId:
    """Return the name of a Gateway's port on one of its addresses."""
    return ListenerId(f"{router_of(gateway, port)}@{address}")


def _place(reader: Reader, ref: ObjectRef) -> Cell[Placement]:
    intent, addresses = reader.need(GATEWAY_INTENTS, ref), reader.get(LEDGER, ref) or ()
    return Cell(Placement(addresses, tuple(_listeners(intent, addresses, options_of(reader)))))


def _listeners(
    intent: GatewayIntent, addresses: tuple[IpAddr, ...], options: Options
) -> Iterator[Listener]:
    for address in addresses:
        for port, is_tls in intent.ports().items():
            yield Listener(
                id=listener_id(intent.ref, port, address),
                owner=intent.ref,
                address=address,
                port=port,
                handler=ForwardHttp(
                    router=router_of(intent.ref, port),
                    tls=is_tls,
                    trusted_hops=options.trusted_hops,
                    tls_policy=options.tls_policy,
                    cors=True,
                ),
            )


GATEWAY_PLACEMENTS: Final = Derived[ObjectRef, Placement](
    "gateway-placements", _place, (GATEWAY_INTENT_REFS,)
)
GATEWAY_LISTENERS: Final = Index[ObjectRef, Placement, ListenerId](
    GATEWAY_PLACEMENTS, "listener", lambda _, placement: [item.id for item in placement.listeners]
)
GATEWAY_ADDRESSES: Final = Index[ObjectRef, Placement, IpAddr](
    GATEWAY_PLACEMENTS,
    "address",
    lambda _, placement: {item.address for item in placement.listeners},
)
