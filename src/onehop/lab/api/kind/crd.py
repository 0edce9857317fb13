"""CustomResourceDefinition: a resource that is defined while the server runs.

Every served version becomes a `Resource` as soon as the definition is written. The versions share
their objects and differ in nothing but their apiVersion (conversion strategy `None`).
"""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from onehop.lab.api.check import items, part, present_faults
from onehop.lab.api.jsonpath import find
from onehop.lab.api.printing import AGE, NAME, since
from onehop.lab.api.refusal import FieldFault, Json, invalid, unsupported
from onehop.lab.api.resource import Column, NoRules, Resource, World
from onehop.lab.api.structural import StructuralRules, merging_of
from onehop.lab.api.write import stamp


class CrdRules(NoRules):
    """Defaults and checks of a CustomResourceDefinition."""

    def default(self, obj: Json, old: Json | None, world: World) -> None:
        """Complete the names, and say at once that they are accepted and served."""
        spec = obj["spec"] = dict(part(obj, "spec"))
        names = spec["names"] = dict(part(spec, "names"))
        kind = str(names.get("kind", ""))
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
        spec.setdefault("conversion", {"strategy": "None"})
        if old is not None:
            return
        now = stamp(world.now)
        obj["status"] = {
            "conditions": [
                _condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
                _condition(
                    "Established",
                    "InitialNamesAccepted",
                    "the initial names have been accepted",
                    now,
                ),
            ],
            "acceptedNames": names,
            "storedVersions": [
                each.get("name") for each in items(spec, "versions") if each.get("storage")
            ],
        }

    def faults(self, obj: Json, old: Json | None, world: World) -> Iterator[FieldFault]:  # noqa: ARG002  the protocol has them
        """Yield what the API would refuse."""
        spec = part(obj, "spec")
        names = part(spec, "names")
        yield from present_faults("spec.group", spec.get("group"))
        yield from present_faults("spec.names.kind", names.get("kind"))
        yield from present_faults("spec.names.plural", names.get("plural"))
        yield from present_faults("spec.versions", items(spec, "versions"))
        if spec.get("scope") not in ("Namespaced", "Cluster"):
            yield unsupported("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
        wanted = f"{names.get('plural')}.{spec.get('group')}"
        if obj["metadata"].get("name") != wanted:
            yield invalid(
                "metadata.name",
                obj["metadata"].get("name"),
                'must be spec.names.plural+"."+spec.group',
            )


def custom_resources(definition: Json) -> Iterator[Resource]:
    """Yield the resource of each served version of a CustomResourceDefinition."""
    spec = definition["spec"]
    names = spec["names"]
    for version in spec["versions"]:
        if not version.get("served", True):
            continue
        schema: Json = part(part(version, "schema"), "openAPIV3Schema")
        yield Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            singular=names["singular"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            short_names=tuple(items(names, "shortNames")),
            categories=tuple(items(names, "categories")),
            has_status="status" in part(version, "subresources"),
            has_generation=True,
            is_custom=True,
            unconditional_update=False,
            selectable=tuple(
                (each["jsonPath"].lstrip("."), tuple(each["jsonPath"].lstrip(".").split(".")))
                for each in items(version, "selectableFields")
            ),
            columns=_columns(items(version, "additionalPrinterColumns")),
            merging=merging_of(schema),
            rules=StructuralRules(schema),
        )


def _columns(told: list[Json]) -> tuple[Column, ...]:
    if not told:
        return (NAME, AGE)
    return (NAME, *(_column(each) for each in told))


def _column(told: Json) -> Column:
    path, kind = told["jsonPath"], told["type"]

    def cell(obj: Json, now: datetime) -> object:
        found = find(obj, path)
        if not found:
            return None
        if kind == "date":
            return since(found[0], now)
        return found[0] if kind in ("integer", "number", "boolean") else ",".join(map(_text, found))

    return Column(told["name"], cell, type=kind, priority=told.get("priority", 0))


def _text(value: object) -> str:
    """Return a value as kubectl shows it: lists and objects as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _condition(kind: str, reason: str, message: str, now: str) -> Json:
    return {
        "type": kind,
        "status": "True",
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


CRD = Resource(
    group="apiextensions.k8s.io",
    version="v1",
    plural="customresourcedefinitions",
    singular="customresourcedefinition",
    kind="CustomResourceDefinition",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    has_status=True,
    has_generation=True,
    empty=b'{"spec":{"group":"","names":{"plural":"","kind":""},"scope":"","versions":null},'
    b'"status":{"conditions":null,"acceptedNames":{"plural":"","kind":""},"storedVersions":null}}',
    columns=(
        NAME,
        Column("Created At", lambda obj, _: obj["metadata"].get("creationTimestamp", "")),
    ),
    rules=CrdRules(),
)
