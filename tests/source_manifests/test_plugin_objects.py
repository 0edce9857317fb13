"""Objects of network plugins, as their clusters show them, are read from files as well."""

from typing import Final

import yaml

from onehop.cluster import BGPConfiguration, BlockAffinity, CiliumNode, ClusterObject, IPPool
from onehop.source.manifests_decode import decode_document

AS_SERVED: Final = """
apiVersion: crd.projectcalico.org/v1
kind: BlockAffinity
metadata: {name: node1-10-244-166-128-26}
spec: {cidr: 10.244.166.128/26, deleted: "false", node: node1, state: confirmed, type: host}
---
apiVersion: crd.projectcalico.org/v1
kind: IPPool
metadata: {name: default-ipv4-ippool}
spec:
  allowedUses: [Workload, Tunnel]
  blockSize: 26
  cidr: 10.244.0.0/16
  ipipMode: Never
  natOutgoing: true
  nodeSelector: all()
  vxlanMode: CrossSubnet
---
apiVersion: crd.projectcalico.org/v1
kind: BGPConfiguration
metadata: {name: default}
spec:
  asNumber: 64513
  listenPort: 1179
  logSeverityScreen: Info
  nodeToNodeMeshEnabled: false
  nodeMeshPassword: {secretKeyRef: {name: bgp, key: password}}
  serviceClusterIPs: [{cidr: 10.96.0.0/12}]
---
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: node1}
spec:
  addresses:
    - {ip: 192.168.0.1, type: InternalIP}
    - {ip: 10.244.1.52, type: CiliumInternalIP}
  azure: {}
  encryption: {}
  eni: {}
  health: {ipv4: 10.244.1.33}
  ipam:
    podCIDRs: [10.244.1.0/24]
    pool: {}
    pools: {allocated: [{pool: default, cidrs: [10.10.0.0/27]}]}
  nodeidentity: 1
status:
  ipam: {operator-status: {}}
"""


def test_what_kubectl_shows_of_plugins_is_read_without_a_complaint() -> None:
    """With every field that matters, and no warning for those that do not."""
    found = [item for doc in yaml.safe_load_all(AS_SERVED) for item in decode_document(doc)]
    block, pool, bgp, node = found

    assert isinstance(block, BlockAffinity)
    assert (block.is_confirmed, block.spec.node) == (True, "node1")
    assert isinstance(pool, IPPool)
    assert pool.spec.cidr == "10.244.0.0/16"
    assert isinstance(bgp, BGPConfiguration)
    assert (bgp.spec.as_number, bgp.spec.listen_port) == (64513, 1179)
    assert bgp.spec.node_to_node_mesh_enabled is False
    assert isinstance(node, CiliumNode)
    assert list(node.pod_cidrs) == ["10.244.1.0/24", "10.10.0.0/27"]
    assert all(isinstance(item, ClusterObject) and not item.metadata.namespace for item in found)


def test_a_node_without_pools_does_not_look_misspelt() -> None:
    """`pool` is a field of Cilium's, though nearly `pools`."""
    raw = {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {"name": "node1"},
        "spec": {"ipam": {"pool": {}, "podCIDRs": ["10.244.1.0/24"]}},
    }

    assert [type(item) for item in decode_document(raw)] == [CiliumNode]
