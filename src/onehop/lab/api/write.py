"""From what a client sent to the object that is stored: the rules every kind shares.

Pure functions of the request, the old object and the `World`; kubernetes
`pkg/registry/rest/{create,update,delete}.go` and its neighbours are the model. What is particular
to a kind is behind `Resource.rules`.
"""

import re
import uuid
from datetime import datetime, timedelta
from typing import Any

from onehop.lab.api.refusal import (
    FieldFault,
    Json,
    bad_request,
    conflict,
    forbidden,
    invalid,
    required,
    unprocessable,
)
from onehop.lab.api.resource import Resource, World

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_OURS_ON_CREATE = (
    "uid", "resourceVersion", "selfLink", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip
_OURS_ON_UPDATE = (
    "uid", "creationTimestamp", "generation", "generateName",
    "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip


def stamp(moment: datetime) -> str:
    """Return a time as metav1.Time writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def normal_form(obj: Any, resource: Resource, namespace: str) -> Json:
    """Return the object in storage form: without kind and apiVersion, with its namespace.

    Refuses with 400 an object that belongs to another kind or namespace than the URL.
    """
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata", {}), dict):
        raise bad_request("the request's body is no object of the API")
    for field, expected in (("kind", resource.kind), ("apiVersion", resource.api_version)):
        told = obj.get(field, expected)
        if told != expected:
            raise bad_request(
                f"the {field} in the data ({told}) does not match the expected {field} ({expected})"
            )
    metadata = _without_empty(obj.get("metadata") or {})
    if resource.namespaced:
        if metadata.get("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        metadata["namespace"] = namespace
    elif metadata.pop("namespace", None):
        raise bad_request("namespace is not allowed on an object of the cluster")
    plain: Json = {"metadata": metadata}
    for name, value in obj.items():
        if value is not None and name not in ("kind", "apiVersion", "metadata"):
            plain[name] = value
    return resource.conversion.to_storage(plain) if resource.conversion else plain


def created(obj: Json, resource: Resource, world: World) -> Json:
    """Return the object to be stored for a create.

    Args:
        obj: in normal form; not changed.
        resource: what it is an object of.
        world: gives the time, the uid and what the kind's rules need.
    """
    metadata = {
        name: value for name, value in obj["metadata"].items() if name not in _OURS_ON_CREATE
    }
    prefix = metadata.get("generateName")
    if not metadata.get("name") and prefix:
        metadata["name"] = prefix + "".join(world.rng.choices(_SUFFIX_LETTERS, k=5))
    metadata["uid"] = str(uuid.UUID(int=world.rng.getrandbits(128), version=4))
    metadata["creationTimestamp"] = stamp(world.now)
    if resource.has_generation:
        metadata["generation"] = 1
    new = {**obj, "metadata": metadata}
    if resource.has_status and not resource.status_on_create:
        new.pop("status", None)
    resource.rules.default(new, None, world)
    _check(new, None, resource, world)
    return new


def updated(obj: Json, old: Json, resource: Resource, world: World, *, subresource: str) -> Json:
    """Return the object to be stored for an update or a patch.

    The main endpoint keeps the old status, `/status` keeps everything else. Of metadata, `/status`
    of a custom resource takes nothing, that of a built-in one takes labels, annotations and
    finalizers: the real server is like that (`ResetFields` of its strategies).
    """
    new = dict(obj)
    if subresource == "status":
        metadata = old["metadata"] if resource.is_custom else obj["metadata"]
        status = {"status": obj["status"]} if "status" in obj else {}
        new = {name: value for name, value in old.items() if name != "status"} | status
        new["metadata"] = {**metadata}
        if "managedFields" in obj["metadata"]:
            new["metadata"]["managedFields"] = obj["metadata"]["managedFields"]
    elif resource.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    new["metadata"] = _metadata_kept(new["metadata"], old["metadata"])
    resource.rules.default(new, old, world)
    _check(new, old, resource, world)
    if resource.has_generation and _wish(new, resource) != _wish(old, resource):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    return new


def marked_deleted(old: Json, world: World, *, grace_s: int = 0) -> Json:
    """Return the object as a delete leaves it while finalizers, or the grace period, hold it."""
    metadata = {
        **old["metadata"],
        "deletionTimestamp": stamp(world.now + timedelta(seconds=grace_s)),
        "deletionGracePeriodSeconds": grace_s,
    }
    if "generation" in metadata:  # BeforeDelete counts it as a change of the wish
        metadata["generation"] = old["metadata"]["generation"] + 1
    return {**old, "metadata": metadata}


def check_preconditions(
    old: Json, resource: Resource, *, uid: object = None, resource_version: object = None
) -> None:
    """Refuse with 409 when the object is not the one, or not the version, the client saw."""
    metadata = old["metadata"]
    told = {"plural": resource.plural, "group": resource.group}
    if uid and uid != metadata["uid"]:
        why = (
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
            f"{metadata['uid']}"
        )
        raise conflict(metadata["name"], why, **told)
    if resource_version and resource_version != metadata["resourceVersion"]:
        why = (
            "the object has been modified; please apply your changes to the latest version and "
            "try again"
        )
        raise conflict(metadata["name"], why, **told)


def is_ending(obj: Json) -> bool:
    """Return whether the object goes as soon as no finalizer holds it."""
    metadata = obj["metadata"]
    return "deletionTimestamp" in metadata and not metadata.get("deletionGracePeriodSeconds")


def is_held(obj: Json) -> bool:
    """Return whether finalizers keep the object from being deleted."""
    return bool(obj["metadata"].get("finalizers"))


def _metadata_kept(metadata: Json, old: Json) -> Json:
    kept = {name: old[name] for name in _OURS_ON_UPDATE if name in old}
    theirs = {
        name: value
        for name, value in metadata.items()
        if name not in _OURS_ON_UPDATE and name != "selfLink"
    }
    # Name and namespace first, then ours, then the author's: the order the real server shows.
    return {"name": old["name"]} | kept | theirs


def _wish(obj: Json, resource: Resource) -> Json:
    """Return the part of an object whose changes `generation` counts."""
    outside = {"metadata", "status"} if resource.has_status else {"metadata"}
    return {name: value for name, value in obj.items() if name not in outside}


def _check(new: Json, old: Json | None, resource: Resource, world: World) -> None:
    name = new["metadata"].get("name", "")
    faults = [*_metadata_faults(new, old), *resource.rules.faults(new, old, world)]
    if faults:
        raise unprocessable(name, faults, kind=resource.kind, group=resource.group)


def _metadata_faults(new: Json, old: Json | None) -> list[FieldFault]:
    metadata = new["metadata"]
    name = metadata.get("name")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    if old is None:
        # RBAC and a few others allow more; nothing served here does.
        if len(name) > 253 or not _SUBDOMAIN.fullmatch(name):  # noqa: PLR2004  RFC 1123
            detail = (
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
                "characters, '-' or '.', and must start and end with an alphanumeric character"
            )
            return [invalid("metadata.name", name, detail)]
        return []
    had = old["metadata"]
    if name != had["name"]:
        return [invalid("metadata.name", name, "field is immutable")]
    added = [
        each for each in metadata.get("finalizers") or () if each not in had.get("finalizers", ())
    ]
    if "deletionTimestamp" in had and added:
        why = f"no new finalizers can be added if the object is being deleted, found new: {added}"
        return [forbidden("metadata.finalizers", why)]
    return []


def _without_empty(metadata: Json) -> Json:
    """Return metadata without nulls, empty maps and empty lists: Go's `omitempty`."""
    return {name: value for name, value in metadata.items() if value not in (None, {}, [])}
