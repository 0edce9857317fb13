"""Discovery: which groups, versions and resources there are, in the old form and the aggregated.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api (KEP-3352).
"""

from collections.abc import Iterator

from onehop.lab.api.refusal import Json, no_such_path
from onehop.lab.api.resource import Registry, Resource

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_STATUS_VERBS = ("get", "patch", "update")
REVIEWS = Resource(
    group="authorization.k8s.io",
    version="v1",
    plural="selfsubjectaccessreviews",
    singular="selfsubjectaccessreview",
    kind="SelfSubjectAccessReview",
    namespaced=False,
)
"""Nothing is stored under it: a create asks whether something would be allowed."""

VERSION: Json = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0+onehop-lab-is-not-kubernetes",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "",
    "goVersion": "",
    "compiler": "",
    "platform": "onehop-lab: an in-memory API for tests and demonstrations, not Kubernetes",
}


def aggregated_version(accept: str) -> str:
    """Return the version of aggregated discovery a client asks for first, "" for none."""
    for clause in accept.split(","):
        options = dict(each.strip().split("=", 1) for each in clause.split(";")[1:] if "=" in each)
        if options.get("as") == "APIGroupDiscoveryList" and options.get("v") in ("v2", "v2beta1"):
            return options["v"]
        if not options and "json" in clause:
            return ""
    return ""


def aggregated(registry: Registry, *, is_core: bool, version: str) -> Json:
    """Return all groups with their resources in one document."""
    items: list[Json] = []
    for group in _groups(registry):
        if (group == "") is not is_core:
            continue
        versions = [
            {
                "version": name,
                "resources": [_aggregated_resource(each) for each in resources],
                "freshness": "Current",
            }
            for name, resources in _versions(registry, group).items()
        ]
        items.append({"metadata": {"name": group, "creationTimestamp": None}, "versions": versions})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def group_list(registry: Registry) -> Json:
    """Return the groups besides the core group, with their versions."""
    groups = [_group(registry, name) for name in _groups(registry) if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Json:
    """Return one group's versions; refuse with 404 one that is not served."""
    if name not in _groups(registry) or not name:
        raise no_such_path()
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(registry, name)


def core_versions(address: str) -> Json:
    """Return the versions of the core group."""
    cidrs = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": cidrs}


def resource_list(registry: Registry, group_name: str, version: str) -> Json:
    """Return the resources of a version; refuse with 404 one that is not served."""
    resources = _versions(registry, group_name).get(version)
    if resources is None:
        raise no_such_path()
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group_name}/{version}" if group_name else version,
        "resources": [each for resource in resources for each in _listed(resource)],
    }


def _groups(registry: Registry) -> list[str]:
    return list(dict.fromkeys(each.group for each in (*registry, REVIEWS)))


def _versions(registry: Registry, group_name: str) -> dict[str, list[Resource]]:
    found: dict[str, list[Resource]] = {}
    for resource in (*registry, REVIEWS):
        if resource.group == group_name:
            found.setdefault(resource.version, []).append(resource)
    return found


def _group(registry: Registry, name: str) -> Json:
    versions = [
        {"groupVersion": f"{name}/{version}", "version": version}
        for version in _versions(registry, name)
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _listed(resource: Resource) -> Iterator[Json]:
    is_review = resource is REVIEWS
    entry: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": ("create",) if is_review else _VERBS,
    }
    if resource.short_names:
        entry["shortNames"] = resource.short_names
    if resource.categories:
        entry["categories"] = resource.categories
    yield entry
    if resource.has_status:
        yield {
            "name": f"{resource.plural}/status",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": _STATUS_VERBS,
        }


def _aggregated_resource(resource: Resource) -> Json:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    entry: Json = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": ("create",) if resource is REVIEWS else _VERBS,
    }
    if resource.short_names:
        entry["shortNames"] = resource.short_names
    if resource.categories:
        entry["categories"] = resource.categories
    if resource.has_status:
        entry["subresources"] = [
            {"subresource": "status", "responseKind": kind, "verbs": _STATUS_VERBS}
        ]
    return entry
