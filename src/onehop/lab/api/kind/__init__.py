"""The built-in kinds: one file per kind or per family, each giving `Resource` values.

Enters: nothing. Leaves: `builtin_resources`, and the resources by name. Only the API's store,
discovery and printing use them; to serve one more kind, add a file and name it here.
"""

from onehop.lab.api.kind.core import CONFIG_MAP, ENDPOINTS, POD, SERVICE_ACCOUNT
from onehop.lab.api.kind.crd import CRD
from onehop.lab.api.kind.endpointslice import ENDPOINT_SLICE
from onehop.lab.api.kind.event import CORE_EVENT, EVENT
from onehop.lab.api.kind.ingress import INGRESS, INGRESS_CLASS
from onehop.lab.api.kind.lease import LEASE
from onehop.lab.api.kind.namespace import NAMESPACE
from onehop.lab.api.kind.node import NODE
from onehop.lab.api.kind.secret import SECRET
from onehop.lab.api.kind.service import SERVICE
from onehop.lab.api.resource import Resource


def builtin_resources() -> tuple[Resource, ...]:
    """Return every built-in resource."""
    return (
        NAMESPACE,
        SERVICE,
        NODE,
        SECRET,
        CONFIG_MAP,
        CORE_EVENT,
        ENDPOINTS,
        POD,
        SERVICE_ACCOUNT,
        EVENT,
        ENDPOINT_SLICE,
        INGRESS,
        INGRESS_CLASS,
        LEASE,
        CRD,
    )
