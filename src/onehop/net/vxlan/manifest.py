"""The Node object by which a cluster's nodes learn of our end of the overlay.

Pods answer to the source address of what we send, so every node needs a route, a neighbour and a
forwarding entry that lead to us. flanneld and Felix make them for each Node object and for nothing
else. A Node object without a kubelet is therefore how an outside machine joins; F5 documents the
same for BIG-IP ("Add BIG-IP device to flannel VXLAN", clouddocs.f5.com/containers).
"""

import ipaddress
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, assert_never

import yaml

from onehop.base.errors import ConfigError
from onehop.model.address import Cidr, is_ipv6
from onehop.net.vxlan.vtep import Vtep

_FLANNEL: Final = "flannel.alpha.coreos.com/"
_CALICO: Final = "projectcalico.org/"
_EXCLUDED: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
_TAINT: Final = "onehop.dev/load-balancer"

_HEADER: Final = """\
# This host's end of the VXLAN overlay, as a Node object that no kubelet stands behind.
# It is NotReady for ever, takes no Pods, and is no target of load balancers.
# Pods of DaemonSets that tolerate everything stay Pending on it; that is harmless.
# Remove it with `kubectl delete node {name}`, and the nodes forget the way to us.
"""


class OverlayKind(StrEnum):
    """Whose overlay it is."""

    FLANNEL = "flannel"
    CALICO = "calico"


def node_manifest(
    name: str, vteps: Sequence[Vtep], *, kind: OverlayKind, pod_cidrs: Sequence[Cidr] = ()
) -> str:
    """Return the Node object, as YAML, that somebody with rights to create Nodes has to apply.

    Args:
        name: of the object: this host's, which no node of the cluster has.
        vteps: our ends, as each `Overlay` is given its own: one, or in a dual-stack overlay two.
        kind: whose annotations it carries.
        pod_cidrs: only of flannel: of the family of each end a range that no node has, inside the
            cluster's Pod network, whose first address is the `inner` of that end.

    Raises:
        ConfigError: flannel would send answers to another address than that.
    """
    annotations: dict[str, str] = {}
    for vtep in vteps:
        match kind:
            case OverlayKind.FLANNEL:
                _check_first_address(vtep, pod_cidrs)
                annotations |= _flannel(vtep)
            case OverlayKind.CALICO:
                annotations |= _calico(vtep)
            case _:
                assert_never(kind)
    ranges = {"podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)} if pod_cidrs else {}
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {_EXCLUDED: ""}, "annotations": annotations},
        "spec": {
            **ranges,
            "unschedulable": True,
            "taints": [{"key": _TAINT, "value": name, "effect": "NoSchedule"}],
        },
    }
    return _HEADER.format(name=name) + yaml.safe_dump(node, sort_keys=False)


def _check_first_address(vtep: Vtep, pod_cidrs: Sequence[Cidr]) -> None:
    """Refuse what flannel would take for another address of ours.

    Its route to a node's podCIDR leads to the first address of it (flannel, pkg/backend/vxlan:
    `handleSubnetEvents`).
    """
    of_family = [cidr for cidr in pod_cidrs if is_ipv6(cidr) == is_ipv6(vtep.inner)]
    if not of_family:
        raise ConfigError(
            f"flannel takes the way to {vtep.inner} from the podCIDR of our Node; name one"
        )
    first = ipaddress.ip_network(of_family[0]).network_address
    if str(first) != vtep.inner:
        raise ConfigError(
            f"flannel sends answers to {first}, the first address of {of_family[0]}, "
            f"and not to {vtep.inner}; make them the same"
        )


def _flannel(vtep: Vtep) -> dict[str, str]:
    """Return what flanneld reads of a Node (flannel, pkg/subnet/kube: `nodeToLease`)."""
    data, address = ("v6-data", "ipv6") if is_ipv6(vtep.local) else ("data", "ip")
    return {
        f"{_FLANNEL}kube-subnet-manager": "true",
        f"{_FLANNEL}backend-type": "vxlan",
        f"{_FLANNEL}backend-{data}": f'{{"VNI":{vtep.vni},"VtepMAC":"{vtep.mac}"}}',
        f"{_FLANNEL}public-{address}": vtep.local,
    }


def _calico(vtep: Vtep) -> dict[str, str]:
    """Return what Felix reads of a Node (calico, felix/calc/vxlan_resolver.go)."""
    family, bits, suffix = ("6", 128, "V6") if is_ipv6(vtep.local) else ("4", 32, "")
    return {
        f"{_CALICO}IPv{family}Address": f"{vtep.local}/{bits}",
        f"{_CALICO}IPv{family}VXLANTunnelAddr": vtep.inner,
        f"{_CALICO}VXLANTunnelMACAddr{suffix}": vtep.mac,
    }
