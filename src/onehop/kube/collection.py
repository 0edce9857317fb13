"""Where the API serves the objects of one type.

Kubernetes API concepts, "Resource URIs":
https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
"""

from typing import Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

from onehop.cluster.kind import KINDS, ClusterObject

T = TypeVar("T")
C = TypeVar("C", bound=ClusterObject)


class Collection(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """All objects of one type.

    Attributes:
        kind: as in an object's `kind`.
        api_version: `v1` or `group/version`, as in an object's `apiVersion`.
        plural: the last element of its URL.
        struct: what an object decodes into.
    """

    kind: str
    api_version: str
    plural: str
    struct: type[T]
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of one object, of a namespace's objects, or of all of them."""
        root = "apis" if "/" in self.api_version else "api"
        parts = [root, *self.api_version.split("/")]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(quote(part, safe="") for part in parts)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which objects of a collection; the default means all of them.

    Attributes:
        name: that one object only. RBAC can grant list and watch of a single name when the request
            says `metadata.name=NAME` (Kubernetes, "Using RBAC": referring to resources).
        labels: a label selector as the API writes it, as in `app=web,tier!=test`.
    """

    namespace: str = ""
    name: str = ""
    labels: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The query parameters that select; the namespace is part of the path."""
        query = {"fieldSelector": f"metadata.name={self.name}"} if self.name else {}
        return query | ({"labelSelector": self.labels} if self.labels else {})


EVERYTHING: Final = Selection()


def collection_of(struct: type[C]) -> Collection[C]:
    """Return where the API serves one of the kinds that `cluster` decodes."""
    kind, resource = next(
        (kind, resource) for kind, resource in KINDS.items() if resource.struct is struct
    )
    return Collection(
        kind=kind,
        api_version=resource.api_version,
        plural=resource.plural,
        struct=struct,
        namespaced=resource.namespaced,
    )
