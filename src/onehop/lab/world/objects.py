"""The objects of a lab's cluster: what an installer, Calico's IPAM and a scheduler would write."""

from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Any, Final, TypeAlias

import yaml

from onehop.lab import controller
from onehop.lab.api.kind.gateway_crd import gateway_definitions
from onehop.lab.world.overlay import overlay_end
from onehop.lab.world.plan import NODE_ASN, POD_NET, Node, Plan, Pod
from onehop.lab.world.pod import HTTP_PORT, TCP_PORT, UDP_PORT
from onehop.lab.world.spec import Underlay
from onehop.model.address import is_ipv6

Json: TypeAlias = dict[str, Any]

NAMESPACE: Final = "shop"
BLOCKS: Final = "/apis/crd.projectcalico.org/v1/blockaffinities"
LABELS: Final = {"app": "echo"}
_GRACE_S: Final = 10
_POOLS: Final = (("default-ipv4-ippool", 26), ("default-ipv6-ippool", 122))
"""Of each family: its name and the length of its blocks, Calico's defaults."""


def cluster_objects(plan: Plan) -> Iterator[Json]:
    """Yield what is there before any Pod runs: nodes, and with Calico what it knows of them.

    Gateway API is there to be tried; nothing uses it by itself.
    """
    yield from gateway_definitions()
    if plan.spec.network is Underlay.CALICO:
        yield from controller.calico_definitions()
        yield controller.bgp_configuration(asn=NODE_ASN)
        for family in plan.families:
            name, size = _POOLS[family]
            yield controller.ip_pool(name, POD_NET[family], block_size=size)
    for node in plan.nodes:
        yield from node_objects(plan, node)
    if plan.spec.network is Underlay.VXLAN:
        for host in plan.lbs:
            yield overlay_end(plan, host)


def node_objects(plan: Plan, node: Node) -> Iterator[Json]:
    """Yield a node's blocks, and the Node: whoever sees it shall know where its Pods are."""
    has_calico = plan.spec.network is Underlay.CALICO
    for block in node.blocks if has_calico else ():
        yield controller.block_affinity(node.name, block)
    yield controller.node_object(
        node.name,
        addresses=[f"{ip}/{64 if is_ipv6(ip) else 24}" for ip in node.host.addresses],
        pod_cidrs=node.pod_cidrs,
        calico=has_calico,
    )


def pod_object(pod: Pod, *, process: str) -> Json:
    """Return a Pod that runs; `process` is its mark (see `onehop.lab.node`)."""
    return controller.pod_object(
        controller.PodPlan(
            name=pod.name,
            namespace=NAMESPACE,
            node=pod.node,
            addresses=pod.addresses,
            labels=LABELS,
            ports={"http": HTTP_PORT, "tcp": TCP_PORT},
            udp_ports={"udp": UDP_PORT},
            readiness_path="/ready",
            grace_s=_GRACE_S,
            process=process,
        )
    )


def sample_objects(plan: Plan) -> Iterator[Json]:
    """Yield the sample: an Ingress and Services that lead to the Pods."""
    text = resources.files("onehop.lab.world").joinpath("sample.yaml").read_text(encoding="utf-8")
    for obj in yaml.load_all(text, Loader=yaml.CSafeLoader):
        if obj["kind"] == "Service" and plan.spec.ipv6:
            obj["spec"] |= {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"}
        yield obj


def as_yaml(objects: Iterable[Json]) -> str:
    """Return a manifest of objects."""
    return str(yaml.dump_all(objects, Dumper=yaml.CSafeDumper, sort_keys=False))
