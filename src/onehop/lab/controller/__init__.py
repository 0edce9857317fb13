"""What a cluster's control plane does, and the lab's API alone does not. It is not Kubernetes.

Enters: Services, Pods and Nodes of the API. Leaves: EndpointSlices, Calico's blocks and defaults,
and the end of Pods whose node is silent. `lab.world` starts it (`python -m onehop.lab.controller
--kubeconfig FILE`) and takes the manifests that it applies from `build` and `calico`.
"""

from onehop.lab.controller.build import PodPlan, node_object, pod_object
from onehop.lab.controller.calico import (
    bgp_configuration,
    bgp_peer,
    block_affinity,
    calico_definitions,
    ip_pool,
)

__all__ = [
    "PodPlan",
    "bgp_configuration",
    "bgp_peer",
    "block_affinity",
    "calico_definitions",
    "ip_pool",
    "node_object",
    "pod_object",
]
