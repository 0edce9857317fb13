"""Objects of a unit: where they live, and what is in them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec

from onehop.model.ident import CertificateId, ListenerId, PoolId


class Kind(StrEnum):
    """Collections below `config/active`, in the order in which objects are made.

    What is pointed at comes before what points at it. The unit tolerates names of things that are
    not there yet, but reports each as an error of its configuration.
    """

    MONITOR = "monitors"
    PERSISTENCE = "persistence"
    RATE = "rate"
    PROTECTION = "protection"
    POOL = "pools"
    KEY = "ssl/server_keys"
    RULE = "rules"
    TRAFFIC_IP = "traffic_ip_groups"
    SERVER = "virtual_servers"

    @property
    def holds_text(self) -> bool:
        """Tell whether its objects are raw text instead of properties."""
        return self is Kind.RULE


ORDER: Final = {kind: number for number, kind in enumerate(Kind)}


class ObjectKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """One object of a unit.

    Attributes:
        name: as it is, not as a URL spells it.
    """

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


Properties: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Section, field, and a JSON value; lists are tuples."""

Content: TypeAlias = Properties | str
"""What an object holds: properties, or the text of a rule."""

Objects: TypeAlias = Mapping[ObjectKey, Content]


class PoolGroup(msgspec.Struct, frozen=True, gc=False):
    """What a pool and its endpoints become: pool, monitor, persistence class."""

    id: PoolId


class CertificateGroup(msgspec.Struct, frozen=True, gc=False):
    """What a certificate becomes."""

    id: CertificateId


class AddressGroup(msgspec.Struct, frozen=True, gc=False):
    """What an address becomes, of a VIP or of a listener."""

    id: str


class ListenerGroup(msgspec.Struct, frozen=True, gc=False):
    """What a listener, its hosts and its names become: virtual server, rules, classes."""

    id: ListenerId


Group: TypeAlias = PoolGroup | CertificateGroup | AddressGroup | ListenerGroup
"""Rows that are rendered together, because some object needs all of them."""
