"""Namespace: where objects live, and what its deletion looks like."""

from onehop.lab.api.check import part
from onehop.lab.api.printing import AGE, NAME
from onehop.lab.api.refusal import Json
from onehop.lab.api.resource import Column, NoRules, Resource, World

NAME_LABEL = "kubernetes.io/metadata.name"
"""Set by the API on every Namespace, so that selectors can name one (KEP-2161)."""


class NamespaceRules(NoRules):
    """Defaults of a Namespace."""

    def default(self, obj: Json, old: Json | None, world: World) -> None:  # noqa: ARG002  the protocol has them
        """Label it with its name, and say that it is active."""
        metadata = obj["metadata"]
        metadata["labels"] = {**part(metadata, "labels"), NAME_LABEL: metadata.get("name", "")}
        obj.setdefault("spec", {"finalizers": ["kubernetes"]})
        obj.setdefault("status", {"phase": "Active"})


def terminating(namespace: Json) -> Json:
    """Return the Namespace as it is while its content is deleted."""
    return {**namespace, "status": {**part(namespace, "status"), "phase": "Terminating"}}


NAMESPACE = Resource(
    group="",
    version="v1",
    plural="namespaces",
    singular="namespace",
    kind="Namespace",
    namespaced=False,
    short_names=("ns",),
    has_status=True,
    selectable=(("status.phase", ("status", "phase")),),
    empty=b'{"spec":{},"status":{}}',
    columns=(NAME, Column("Status", lambda obj, _: part(obj, "status").get("phase", "")), AGE),
    rules=NamespaceRules(),
)
