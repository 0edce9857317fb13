"""Make before break, as data.

What is pointed at is there before what points at it, and goes after it: pools and certificates,
then listeners, then the hosts that use both; pools and certificates go last. xDS asks for the
same sequence (envoyproxy.io, "Eventual consistency considerations"), and so do a HAProxy
configuration and a vTM's REST objects.
"""

from enum import StrEnum
from typing import Final

import msgspec

from onehop.model.model import Change, Row, RowKey, Table, key_of


class StageKind(StrEnum):
    """The stages of a plan, in their order."""

    PREPARE = "prepare"
    """Pools, their endpoints, certificates, addresses: nothing points at the new ones yet."""
    LISTEN = "listen"
    """Listeners: what the new ones point at is there. The old ones go in the same breath, for a new
    one may want the socket of an old one, and no data plane binds a socket twice."""
    ROUTE = "route"
    """Hosts and server names: from here on, new requests take the new way."""
    RETIRE = "retire"
    """Hosts and server names that nobody wants any more."""
    DISCARD = "discard"
    """Pools and certificates that nothing points at now, once requests in flight had their time."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Steps that are made together, in one message if the data plane can take one.

    The next stage waits for their acknowledgement.
    """

    kind: StageKind
    put: tuple[Row, ...] = ()
    remove: tuple[RowKey, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """Stages to be made one after another; stages with nothing to do are left out."""

    stages: tuple[Stage, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.stages)


_PUT_IN: Final = {
    Table.VIP: StageKind.PREPARE,
    Table.CERTIFICATE: StageKind.PREPARE,
    Table.POOL: StageKind.PREPARE,
    Table.ENDPOINTS: StageKind.PREPARE,
    Table.LISTENER: StageKind.LISTEN,
    Table.HOST: StageKind.ROUTE,
    Table.SERVER_NAME: StageKind.ROUTE,
}

_REMOVE_IN: Final = {
    Table.HOST: StageKind.RETIRE,
    Table.SERVER_NAME: StageKind.RETIRE,
    Table.LISTENER: StageKind.LISTEN,
    Table.VIP: StageKind.DISCARD,
    Table.POOL: StageKind.DISCARD,
    Table.ENDPOINTS: StageKind.DISCARD,
    Table.CERTIFICATE: StageKind.DISCARD,
}


def make_plan(change: Change) -> Plan:
    """Order a change so that no stage leaves anything pointing at what is not there."""
    stages: list[Stage] = []
    for kind in StageKind:
        put = tuple(row for row in change.upserts if _PUT_IN[key_of(row).table] is kind)
        remove = tuple(key for key in change.removals if _REMOVE_IN[key.table] is kind)
        if put or remove:
            stages.append(Stage(kind=kind, put=put, remove=remove))
    return Plan(tuple(stages))
