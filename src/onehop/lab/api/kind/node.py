"""Node: a machine of the cluster, with what kubectl shows of it."""

from datetime import datetime

from onehop.lab.api.check import items, part
from onehop.lab.api.printing import AGE, NAME, joined
from onehop.lab.api.refusal import Json
from onehop.lab.api.resource import METADATA_LISTS, Column, ListRule, Merging, Resource

_ROLE = "node-role.kubernetes.io/"
_EMPTY_STATUS = (
    b'"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":{"machineID":"",'
    b'"systemUUID":"","bootID":"","kernelVersion":"","osImage":"","containerRuntimeVersion":"",'
    b'"kubeletVersion":"","kubeProxyVersion":"","operatingSystem":"","architecture":""}}'
)


def _status(obj: Json, _now: datetime) -> str:
    ready = [
        each.get("status")
        for each in items(part(obj, "status"), "conditions")
        if each.get("type") == "Ready"
    ]
    words = ["Unknown" if not ready else "Ready" if ready[0] == "True" else "NotReady"]
    if part(obj, "spec").get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(obj: Json, _now: datetime) -> str:
    labels = part(obj["metadata"], "labels")
    return joined(sorted(name.removeprefix(_ROLE) for name in labels if name.startswith(_ROLE)))


def _address(obj: Json, kind: str) -> str:
    found = [
        each.get("address")
        for each in items(part(obj, "status"), "addresses")
        if each.get("type") == kind
    ]
    return str(found[0]) if found else "<none>"


def _info(obj: Json, name: str) -> str:
    return part(part(obj, "status"), "nodeInfo").get(name) or "<unknown>"


NODE = Resource(
    group="",
    version="v1",
    plural="nodes",
    singular="node",
    kind="Node",
    namespaced=False,
    short_names=("no",),
    has_status=True,
    status_on_create=True,
    selectable=(("spec.unschedulable", ("spec", "unschedulable")),),
    empty=b'{"spec":{},' + _EMPTY_STATUS + b"}",
    columns=(
        NAME,
        Column("Status", _status),
        Column("Roles", _roles),
        AGE,
        Column("Version", lambda obj, _: _info(obj, "kubeletVersion")),
        Column("Internal-IP", lambda obj, _: _address(obj, "InternalIP"), priority=1),
        Column("External-IP", lambda obj, _: _address(obj, "ExternalIP"), priority=1),
        Column("OS-Image", lambda obj, _: _info(obj, "osImage"), priority=1),
        Column("Kernel-Version", lambda obj, _: _info(obj, "kernelVersion"), priority=1),
        Column(
            "Container-Runtime", lambda obj, _: _info(obj, "containerRuntimeVersion"), priority=1
        ),
    ),
    merging=Merging(
        lists=(
            *METADATA_LISTS,
            ListRule(("spec", "taints"), patch_key="key"),
            ListRule(("spec", "podCIDRs"), patch_key="", is_set=True),
            ListRule(("status", "addresses"), keys=(("type", None),), patch_key="type"),
            ListRule(("status", "conditions"), keys=(("type", None),), patch_key="type"),
        )
    ),
)
