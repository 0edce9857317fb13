"""Secrets (core/v1), read only when something of ours refers to them."""

from collections.abc import Mapping

import msgspec

from onehop.cluster.meta import Meta


class Secret(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True
):
    """A Secret; `data` is decoded from base64 and never rendered."""

    metadata: Meta
    type: str = "Opaque"
    data: Mapping[str, bytes] | None = None

    def __repr__(self) -> str:
        keys = sorted(self.data or {})
        return f"Secret({self.metadata.namespace}/{self.metadata.name}, keys={keys})"
