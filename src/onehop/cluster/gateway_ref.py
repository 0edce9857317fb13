"""References between objects of Gateway API, with the defaults that its CRDs fill in.

Fields: https://gateway-api.sigs.k8s.io/reference/1.6/spec/ and `apis/v1/object_reference_types.go`,
`apis/v1/shared_types.go`. What is an enumeration there is text here: a value that a later version
adds has to reach the compiler, which answers it with `UnsupportedValue`, instead of making the
whole object unreadable.
"""

from typing import Final

import msgspec

GROUP: Final = "gateway.networking.k8s.io"
API_VERSION: Final = f"{GROUP}/v1"


class LocalObjectRef(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An object of any kind in the same namespace."""

    group: str
    kind: str
    name: str


class ForeignObjectRef(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """An object of any kind in any namespace (`ObjectReference`).

    Attributes:
        namespace: None means the referrer's own.
    """

    group: str
    kind: str
    name: str
    namespace: str | None = None


class SecretRef(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Something that holds a certificate (`SecretObjectReference`).

    Attributes:
        namespace: None means the referrer's own; another one needs a ReferenceGrant.
    """

    name: str
    group: str = ""
    kind: str = "Secret"
    namespace: str | None = None


class ParentRef(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What a route wants to be attached to (`ParentReference`).

    Attributes:
        namespace: None means the route's own.
        section_name: one listener; None means all of the parent's.
        port: the listeners of this port; None means all.
    """

    name: str
    group: str = GROUP
    kind: str = "Gateway"
    namespace: str | None = None
    section_name: str | None = None
    port: int | None = None


class BackendObjectRef(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Where requests go (`BackendObjectReference`).

    Attributes:
        namespace: None means the referrer's own; another one needs a ReferenceGrant.
        port: of the Service, not of its Pods; a Service without one is refused by the CRD.
    """

    name: str
    group: str = ""
    kind: str = "Service"
    namespace: str | None = None
    port: int | None = None


class BackendRef(BackendObjectRef, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A destination and its share (`BackendRef`, which embeds `BackendObjectReference`).

    Attributes:
        weight: of the sum of all weights of the rule; 0 means no traffic at all.
    """

    weight: int = 1
