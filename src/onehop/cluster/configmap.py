"""ConfigMaps (core/v1), read only when something of ours refers to them."""

from collections.abc import Mapping

import msgspec

from onehop.cluster.meta import NOTHING, Meta


class ConfigMap(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A ConfigMap; what stands in `binaryData` is nothing that we look for."""

    metadata: Meta
    data: Mapping[str, str] = NOTHING
