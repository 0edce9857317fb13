"""Whether a cluster's release of Gateway API is one that we know."""

import re
from typing import Final

from onehop.cluster.definition import BUNDLE_VERSION, GATEWAY_CLASS_DEFINITION
from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.compile.inputs import DEFINITIONS
from onehop.compile.sheet import Reader
from onehop.model.problem import quoted

_KNOWN: Final = re.compile(r"v1\.[0-6]\.[0-9]+(-[0-9A-Za-z.-]+)?")
"""1.0 to 1.6: what they have in common is read as it always was."""


def supported_version(reader: Reader) -> Saying | None:
    """Say whether the definitions are of a known release; None while nobody knows them.

    `GatewayClassConditionStatusSupportedVersion`: "If implementations detect any Gateway API CRDs
    that either do not have this annotation set, or have it set to a version that is not recognized
    or supported by the implementation, this condition MUST be set to false." They may be served
    all the same, and are: as well as it goes.
    """
    definition = reader.get(DEFINITIONS, GATEWAY_CLASS_DEFINITION)
    if definition is None:
        return None
    version = definition.metadata.annotation(BUNDLE_VERSION)
    if version is not None and _KNOWN.fullmatch(version):
        message = f"Gateway API {version}"
        return Saying("SupportedVersion", Truth.TRUE, "SupportedVersion", message)
    is_told = f"say {quoted(version)}" if version else f"have no annotation {BUNDLE_VERSION}"
    message = (
        f"the definitions of Gateway API {is_told}; known are v1.0 to v1.6, and what looks "
        "like them is served; install one of those"
    )
    return Saying("SupportedVersion", Truth.FALSE, "UnsupportedVersion", message)
