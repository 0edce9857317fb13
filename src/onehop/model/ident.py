"""Names of things. They derive from identity, never from position: reordering renames nothing."""

from typing import NewType

import msgspec

PoolId = NewType("PoolId", str)
"""`namespace/service:port`, with `~hash` of the policy when it is not the Service's own."""

ListenerId = NewType("ListenerId", str)
"""`http`, `https` of the shared VIP, `namespace/service:port/protocol@address`, or
`gateway/namespace/name:port@address`."""

RouterId = NewType("RouterId", str)
"""The set of virtual hosts an HTTP listener serves: `shared-http`, `shared-https`, or
`gateway/namespace/name:port`."""

HostId = NewType("HostId", str)
"""`router/hostname`."""

CertificateId = NewType("CertificateId", str)
"""`namespace/secret`."""


class ObjectRef(msgspec.Struct, frozen=True, order=True, gc=False, cache_hash=True):
    """Which API object something came from, or is said about.

    Attributes:
        namespace: empty for what lives in no namespace.
    """

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        parts = (self.kind, self.namespace, self.name)
        return "/".join(part for part in parts if part)
