"""What Gateways want of the ledger: addresses from the same pools as Services.

Each Gateway has addresses of its own. With the same `onehop.dev/share-address` and different ports,
Gateways and Services share one; the shared VIP of Ingresses is never a Gateway's
(docs/adr/0031-gateways-take-addresses-of-their-own.md).
"""

from typing import Final

from onehop.cluster import Gateway
from onehop.compile.gateway.gateway import GATEWAY_INTENT_REFS, GATEWAY_INTENTS
from onehop.compile.inputs import GATEWAYS, HELD, ONLY
from onehop.compile.ledger import AddressWish
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.address import IpAddr, parse_ip
from onehop.model.ident import ObjectRef


def _wish(reader: Reader, ref: ObjectRef) -> Cell[AddressWish]:
    intent, held = reader.need(GATEWAY_INTENTS, ref), reader.get(HELD, ref)
    if intent.refusal is not None or intent.asks_for_several:
        return Cell(None)
    wish = AddressWish(
        ref=ref,
        age_key=intent.age_key,
        families=intent.families,
        needs_every_family=bool(intent.requested),
        requested=intent.requested,
        requested_field="spec.addresses",
        address_pool=intent.address_pool,
        share_key=intent.share_key,
        ports=frozenset(intent.sockets()),
        had=held.addresses if held else _status_addresses(reader.get(GATEWAYS, ref)),
        is_held=held is not None,
    )
    return Cell(wish)


def _status_addresses(gateway: Gateway | None) -> tuple[IpAddr, ...]:
    entries = gateway.status.addresses if gateway else ()
    parsed = (parse_ip(entry.value) for entry in entries if entry.value)
    return tuple(address for address in parsed if address is not None)


GATEWAY_ADDRESS_WISHES: Final = Derived[ObjectRef, AddressWish](
    "gateway-address-wishes", _wish, (GATEWAY_INTENT_REFS,)
)
ALL_GATEWAY_WISHES: Final = Index[ObjectRef, AddressWish, tuple[()]](
    GATEWAY_ADDRESS_WISHES, "all", lambda _ref, _wish: (ONLY,)
)
