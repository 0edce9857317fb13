"""The Node object by which a cluster's nodes learn of our end of the overlay.

Pods answer to the source address of what we send, so every node needs a route, a neighbour and a
forwarding entry that lead to us. flanneld and Felix make them for each Node object and for nothing
else. A Node object without a kubelet is therefore how an outside machine joins; F5 documents the
same for BIG-IP ("Add BIG-IP device to flannel VXLAN", clouddocs.f5.com/containers).
"""

import ipaddress
from enum import StrEnum

import yaml

from onehop.base.errors import ConfigError
from onehop.model.address import Cidr, is_ipv6
from onehop.net.vxlan.vtep import Vtep

_FLANNEL = "flannel.alpha.coreos.com/"
_CALICO = "projectcalico.org/"
_EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
_TAINT = "onehop.dev/load-balancer"

_HEADER = """\
# This host's end of the VXLAN overlay, as a Node object that no kubelet stands behind.
# It is NotReady for ever, takes no Pods, and is no target of load balancers.
# Pods of DaemonSets that tolerate everything stay Pending on it; that is harmless.
# Remove it with `kubectl delete node {name}`, and the nodes forget the way to us.
"""


class OverlayKind(StrEnum):
    """Whose overlay it is."""

    FLANNEL = "flannel"
    CALICO = "calico"


def node_manifest(name: str, vtep: Vtep, *, kind: OverlayKind, pod_cidr: Cidr | None = None) -> str:
    """Return the Node object, as YAML, that somebody with rights to create Nodes has to apply.

    Args:
        name: of the object: this host's, which no node of the cluster has.
        vtep: our end, as `Overlay` is given it.
        kind: whose annotations it carries.
        pod_cidr: of flannel, a range that no node has, inside the cluster's Pod network, whose
            first address is `vtep.inner`; without one the cluster may assign a range itself.

    Raises:
        ConfigError: flannel would send answers to another address than `vtep.inner`.
    """
    match kind:
        case OverlayKind.FLANNEL:
            annotations = _flannel(vtep, pod_cidr)
        case OverlayKind.CALICO:
            annotations = _calico(vtep)
    spec: dict[str, object] = {
        "unschedulable": True,
        "taints": [{"key": _TAINT, "value": name, "effect": "NoSchedule"}],
    }
    if pod_cidr is not None:
        spec |= {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]}
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {_EXCLUDED: ""}, "annotations": annotations},
        "spec": spec,
    }
    return _HEADER.format(name=name) + yaml.safe_dump(node, sort_keys=False)


def _flannel(vtep: Vtep, pod_cidr: Cidr | None) -> dict[str, str]:
    """Return what flanneld reads of a Node (flannel, pkg/subnet/kube: `nodeToLease`).

    Its route leads to the first address of the podCIDR (pkg/backend/vxlan: `handleSubnetEvents`).
    """
    if pod_cidr is None:
        raise ConfigError("flannel takes the way to us from the podCIDR of our Node; name one")
    first = ipaddress.ip_network(pod_cidr).network_address
    if str(first) != vtep.inner:
        raise ConfigError(
            f"flannel sends answers to {first}, the first address of {pod_cidr}; "
            f"{vtep.inner} is not it"
        )
    v6 = "v6" if is_ipv6(vtep.local) else ""
    data = f'{{"VNI":{vtep.vni},"VtepMAC":"{vtep.mac}"}}'
    return {
        f"{_FLANNEL}kube-subnet-manager": "true",
        f"{_FLANNEL}backend-type": "vxlan",
        f"{_FLANNEL}backend-{v6}{'-' if v6 else ''}data": data,
        f"{_FLANNEL}public-ip{v6}": vtep.local,
    }


def _calico(vtep: Vtep) -> dict[str, str]:
    """Return what Felix reads of a Node (calico, felix/calc/vxlan_resolver.go)."""
    family, suffix = ("6", "V6") if is_ipv6(vtep.local) else ("4", "")
    bits = 128 if is_ipv6(vtep.local) else 32
    return {
        f"{_CALICO}IPv{family}Address": f"{vtep.local}/{bits}",
        f"{_CALICO}IPv{family}VXLANTunnelAddr": vtep.inner,
        f"{_CALICO}VXLANTunnelMACAddr{suffix}": vtep.mac,
    }
