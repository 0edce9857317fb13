"""Manifests of Nodes and Pods as kubelet and Calico leave them behind in the API; pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

Json: TypeAlias = dict[str, Any]

ZONE_LABEL: Final = "topology.kubernetes.io/zone"
PROCESS: Final = "lab.onehop.dev/process"
"""Annotation of a Pod: its process, as `process_mark` of `onehop.lab.node` writes it."""

NOTHING: Final[Mapping[str, str]] = {}


def node_object(  # noqa: PLR0913  the facts of a node; all but the first are named
    name: str,
    *,
    addresses: Sequence[str],
    pod_cidrs: Sequence[str] = (),
    zone: str = "",
    annotations: Mapping[str, str] = NOTHING,
    calico: bool = True,
) -> Json:
    """Return a Node that is ready.

    Args:
        name: of the node.
        addresses: its InternalIPs with the length of the link's prefix, `10.111.0.11/24`, the
            first family first.
        pod_cidrs: what the node's Pods have, where it is not Calico that allocates.
        zone: "" for none.
        annotations: further ones, such as `projectcalico.org/RouteReflectorClusterID`.
        calico: whether calico-node runs there and writes its addresses down
            (calico `node/pkg/lifecycle/startup`, libcalico-go `k8s/resources/node.go`).
    """
    noted = dict(annotations)
    if calico:
        for address in addresses:
            family = "IPv6" if ":" in address else "IPv4"
            noted.setdefault(f"projectcalico.org/{family}Address", address)
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels | ({ZONE_LABEL: zone} if zone else {}),
            **({"annotations": noted} if noted else {}),
        },
        "spec": {"podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)} if pod_cidrs else {},
        "status": _node_status(name, [each.partition("/")[0] for each in addresses]),
    }


class PodPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A Pod that shall be.

    Attributes:
        addresses: one of each family it has.
        ports: name to container port; all TCP but those in `udp_ports`.
        readiness_path: what kubelet shall ask the first port for; "" if a Pod whose process
            exists is ready.
        grace_s: `terminationGracePeriodSeconds`.
        process: as `process_mark` of `onehop.lab.node` writes it; "" if the Pod's end is nobody's
            process.
    """

    name: str
    namespace: str
    node: str
    addresses: tuple[str, ...]
    labels: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    ports: Mapping[str, int] = msgspec.field(default_factory=lambda: {"http": 8080})
    udp_ports: Mapping[str, int] = msgspec.field(default_factory=dict[str, int])
    readiness_path: str = ""
    grace_s: int = 30
    process: str = ""


def pod_object(plan: PodPlan, *, is_ready: bool = True) -> Json:
    """Return a running Pod; a probed one begins as not ready, whatever `is_ready` says."""
    container: Json = {
        "name": "app",
        "image": "onehop-lab-pod",
        "ports": [
            *(_port(name, port, "TCP") for name, port in plan.ports.items()),
            *(_port(name, port, "UDP") for name, port in plan.udp_ports.items()),
        ],
    }
    if plan.readiness_path:
        port = next(iter(plan.ports.values()))
        get = {"path": plan.readiness_path, "port": port}
        container["readinessProbe"] = {"httpGet": get, "periodSeconds": 1, "failureThreshold": 1}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": plan.name,
            "namespace": plan.namespace,
            "labels": dict(plan.labels),
            **({"annotations": {PROCESS: plan.process}} if plan.process else {}),
        },
        "spec": {
            "nodeName": plan.node,
            "terminationGracePeriodSeconds": plan.grace_s,
            "containers": [container],
        },
        "status": running_status(plan.addresses, is_ready=is_ready and not plan.readiness_path),
    }


def running_status(addresses: Sequence[str], *, is_ready: bool) -> Json:
    """Return the status of a Pod whose containers run."""
    ready = "True" if is_ready else "False"
    return {
        "phase": "Running",
        "podIP": addresses[0],
        "podIPs": [{"ip": address} for address in addresses],
        "conditions": [
            {"type": "Ready", "status": ready},
            {"type": "ContainersReady", "status": ready},
        ],
        "containerStatuses": [{"name": "app", "ready": is_ready, "restartCount": 0}],
    }


def _node_status(name: str, addresses: Sequence[str]) -> Json:
    return {
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in addresses),
            {"type": "Hostname", "address": name},
        ],
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        "nodeInfo": {"kubeletVersion": "v0.0.0-onehop-lab", "osImage": "onehop lab"},
    }


def _port(name: str, port: int, protocol: str) -> Json:
    return {"name": name, "containerPort": port, "protocol": protocol}
