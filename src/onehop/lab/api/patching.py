"""The kinds of patch, and which of them an object takes."""

from enum import StrEnum
from typing import Any

from onehop.lab.api.patch import json_patch, merge_patch
from onehop.lab.api.refusal import Json, Refused, bad_request
from onehop.lab.api.resource import Resource
from onehop.lab.api.strategic import strategic_patch


class PatchType(StrEnum):
    """The kinds of patch, by their media type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


def patch_object(obj: Json, kind: PatchType, body: Any, resource: Resource) -> Json:
    """Return the object after any patch but an apply, which needs more than the object.

    Refuses with 415 a strategic merge patch of a custom resource: its lists have no merge keys.
    """
    if kind is PatchType.JSON:
        return json_patch(obj, body)
    if not isinstance(body, dict):
        raise bad_request("a patch of this type is an object")
    if kind is PatchType.MERGE:
        merged: Json = merge_patch(obj, body)
        return merged
    if resource.is_custom:
        raise Refused(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            f"{PatchType.JSON}, {PatchType.MERGE}, {PatchType.APPLY}",
        )
    return strategic_patch(obj, body, resource.merging)
