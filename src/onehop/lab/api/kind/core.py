"""The small kinds of the core group: ConfigMap, Endpoints, Pod, ServiceAccount.

They are served because manifests and controllers contain them; their content is not checked.
"""

from datetime import datetime

from onehop.lab.api.check import items, part
from onehop.lab.api.printing import AGE, NAME, joined
from onehop.lab.api.refusal import Json
from onehop.lab.api.resource import METADATA_LISTS, Column, ListRule, Merging, Resource

_SHOWN_ENDPOINTS = 3
_POD_GRACE_S = 30
"""corev1.DefaultTerminationGracePeriodSeconds."""


def shortened(texts: list[str]) -> str:
    """Return the first three texts and how many there are besides."""
    more = len(texts) - _SHOWN_ENDPOINTS
    return joined(texts[:_SHOWN_ENDPOINTS]) + (f" + {more} more..." if more > 0 else "")


def _endpoints(obj: Json, _now: datetime) -> str:
    return shortened(
        [
            f"{address.get('ip')}:{port.get('port')}"
            for subset in items(obj, "subsets")
            for port in items(subset, "ports")
            for address in items(subset, "addresses")
        ]
    )


def _ready(obj: Json, _now: datetime) -> str:
    ready = [each for each in items(part(obj, "status"), "containerStatuses") if each.get("ready")]
    return f"{len(ready)}/{len(items(part(obj, 'spec'), 'containers'))}"


def _restarts(obj: Json, _now: datetime) -> int:
    statuses = items(part(obj, "status"), "containerStatuses")
    return sum(each.get("restartCount", 0) for each in statuses)


def _phase(obj: Json, _now: datetime) -> str:
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    return str(part(obj, "status").get("phase", "Pending"))


def _pod_grace_s(obj: Json) -> int:
    """Return the time kubelet has to stop it (kubernetes `pkg/registry/core/pod/strategy.go`)."""
    spec = part(obj, "spec")
    is_over = part(obj, "status").get("phase") in ("Succeeded", "Failed")
    if is_over or not spec.get("nodeName"):
        return 0
    return int(spec.get("terminationGracePeriodSeconds", _POD_GRACE_S))


CONFIG_MAP = Resource(
    group="",
    version="v1",
    plural="configmaps",
    singular="configmap",
    kind="ConfigMap",
    short_names=("cm",),
    columns=(
        NAME,
        Column(
            "Data",
            lambda obj, _: len(part(obj, "data")) + len(part(obj, "binaryData")),
            type="integer",
        ),
        AGE,
    ),
)

ENDPOINTS = Resource(
    group="",
    version="v1",
    plural="endpoints",
    singular="endpoints",
    kind="Endpoints",
    short_names=("ep",),
    columns=(NAME, Column("Endpoints", _endpoints), AGE),
)

POD = Resource(
    group="",
    version="v1",
    plural="pods",
    singular="pod",
    kind="Pod",
    short_names=("po",),
    categories=("all",),
    has_status=True,
    has_generation=True,
    grace_s=_pod_grace_s,
    selectable=(
        ("spec.nodeName", ("spec", "nodeName")),
        ("status.phase", ("status", "phase")),
        ("status.podIP", ("status", "podIP")),
    ),
    empty=b'{"spec":{"containers":null},"status":{}}',
    columns=(
        NAME,
        Column("Ready", _ready),
        Column("Status", _phase),
        Column("Restarts", _restarts, type="integer"),
        AGE,
        Column("IP", lambda obj, _: part(obj, "status").get("podIP") or "<none>", priority=1),
        Column("Node", lambda obj, _: part(obj, "spec").get("nodeName") or "<none>", priority=1),
    ),
    merging=Merging(
        lists=(
            *METADATA_LISTS,
            ListRule(("spec", "containers"), keys=(("name", None),), patch_key="name"),
            ListRule(
                ("spec", "containers", "ports"),
                keys=(("containerPort", None), ("protocol", "TCP")),
                patch_key="containerPort",
            ),
            ListRule(("spec", "containers", "env"), keys=(("name", None),), patch_key="name"),
            ListRule(("status", "conditions"), keys=(("type", None),), patch_key="type"),
            ListRule(("status", "podIPs"), keys=(("ip", None),), patch_key="ip"),
        )
    ),
)

SERVICE_ACCOUNT = Resource(
    group="",
    version="v1",
    plural="serviceaccounts",
    singular="serviceaccount",
    kind="ServiceAccount",
    short_names=("sa",),
    columns=(
        NAME,
        Column("Secrets", lambda obj, _: len(items(obj, "secrets")), type="integer"),
        AGE,
    ),
)
