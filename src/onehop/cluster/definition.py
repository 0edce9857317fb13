"""CustomResourceDefinitions (apiextensions.k8s.io/v1): which release of something a cluster has."""

from typing import Final

import msgspec

from onehop.cluster.gateway_ref import GROUP
from onehop.cluster.meta import Meta
from onehop.model.ident import ObjectRef

BUNDLE_VERSION: Final = f"{GROUP}/bundle-version"
"""The annotation by which Gateway API's definitions say of which release they are, as in v1.6.1."""

GATEWAY_CLASS_DEFINITION: Final = ObjectRef(
    "CustomResourceDefinition", "", f"gatewayclasses.{GROUP}"
)
"""The one that stands for all of a release: they are installed together."""


class CustomResourceDefinition(msgspec.Struct, frozen=True, gc=False):
    """A CustomResourceDefinition, of which only the metadata is read."""

    metadata: Meta
