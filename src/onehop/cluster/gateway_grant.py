"""ReferenceGrants (gateway.networking.k8s.io/v1, GEP-709): who may refer to what is here.

Served as v1 since 1.6; before, as v1beta1 with the same fields.
"""

import msgspec

from onehop.cluster.meta import Meta


class GrantFrom(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Who may refer: objects of a kind in a namespace."""

    group: str
    kind: str
    namespace: str


class GrantTo(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """To what, in the grant's namespace; no name means all of the kind."""

    group: str
    kind: str
    name: str | None = None


class ReferenceGrantSpec(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Every one of `origins` may refer to every one of `to`."""

    origins: tuple[GrantFrom, ...] = msgspec.field(default=(), name="from")
    to: tuple[GrantTo, ...] = ()


class ReferenceGrant(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A ReferenceGrant; it has no status."""

    metadata: Meta
    spec: ReferenceGrantSpec = ReferenceGrantSpec()
