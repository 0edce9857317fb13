"""Object metadata (k8s.io/apimachinery, meta/v1 ObjectMeta)."""

from collections.abc import Mapping
from typing import Final

import msgspec

NOTHING: Final[Mapping[str, str]] = {}


class Meta(msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True):
    """The metadata that something of ours reads.

    `labels` and `annotations` are plain dicts after decoding, for JSON has nothing frozen to offer;
    the type says that nobody writes to them.

    Attributes:
        creation_timestamp: RFC 3339 in UTC as the API writes it, so text order is age order.
        deletion_timestamp: set once deletion was asked for; finalizers hold the object until then.
    """

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None
    finalizers: tuple[str, ...] | None = None

    def label(self, key: str) -> str | None:
        """Return a label's value, or None."""
        return (self.labels or NOTHING).get(key)

    def annotation(self, key: str) -> str | None:
        """Return an annotation's value, or None."""
        return (self.annotations or NOTHING).get(key)

    @property
    def age_key(self) -> tuple[str, str, str]:
        """Sort key of conflicts: oldest first, then namespace and name (design.md section 3).

        An object without a creation time (a file's) counts as oldest.
        """
        return (self.creation_timestamp, self.namespace, self.name)
