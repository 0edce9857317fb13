"""The load balancers' ends of an overlay: what a user of onehop writes by hand.

A Node object that no kubelet stands behind, as docs/guide/without-bgp.md has it: by it the nodes
learn where answers go, and onehop which end of the tunnels is its own.
"""

from typing import Any, Final

import msgspec

from onehop.lab.world.plan import Host, Plan
from onehop.model.address import is_ipv6

_NAME: Final = "onehop-{}"
_VNI: Final = 1
_PREFIX: Final = "flannel.alpha.coreos.com/"
_KEYS: Final = (("backend-data", "public-ip"), ("backend-v6-data", "public-ipv6"))
_EXCLUDED: Final = "node.kubernetes.io/exclude-from-external-load-balancers"


def overlay_end(plan: Plan, host: Host) -> dict[str, Any]:
    """Return the Node object of a load balancer."""
    name = _NAME.format(host.name)
    ranges = list(plan.end_ranges(host.name))
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {_EXCLUDED: ""},
            "annotations": _annotations(plan, host),
        },
        "spec": {
            "podCIDR": ranges[0],
            "podCIDRs": ranges,
            "unschedulable": True,
            "taints": [{"key": "onehop.dev/load-balancer", "value": name, "effect": "NoSchedule"}],
        },
    }


def _annotations(plan: Plan, host: Host) -> dict[str, str]:
    number = plan.lbs.index(host) + 1
    notes = {
        f"{_PREFIX}kube-subnet-manager": "true",
        f"{_PREFIX}backend-type": "vxlan",
    }
    for address in host.addresses:
        family = is_ipv6(address)
        data, public = _KEYS[family]
        # Any MAC that no other end has; one that begins with 02 is free to use.
        mac = f"02:00:00:00:{6 if family else 4:02x}:{number:02x}"
        said = msgspec.json.encode({"VNI": _VNI, "VtepMAC": mac}).decode()
        notes |= {f"{_PREFIX}{data}": said, f"{_PREFIX}{public}": address}
    return notes
