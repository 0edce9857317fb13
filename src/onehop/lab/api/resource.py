"""What the server knows about one resource, as one value.

A kind's whole behaviour (names, defaults, validation, columns, how its lists merge) is one
`Resource`; the files of `onehop.lab.api.kind` each make one or a few of them, and a
CustomResourceDefinition makes one while the server runs. Nothing else in this package asks
"which kind is it?".
"""

import random
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Protocol

import msgspec

from onehop.lab.api.allocation import Allocation
from onehop.lab.api.refusal import FieldFault, Json, no_such_path

Key = tuple[str, str]
"""Namespace ("" for the cluster) and name."""


class ListRule(msgspec.Struct, frozen=True):
    """How one list of an object merges, by the field names that lead to it.

    Attributes:
        path: field names without list positions, for example `("spec", "ports")`.
        keys: what identifies an item in server-side apply, each with the default of an absent
            key; empty for a list that is replaced whole.
        patch_key: what identifies an item in a strategic merge patch; "" where the list holds
            plain values that merge as a set, None where the list is replaced whole.
        is_set: plain values that server-side apply owns one by one.
    """

    path: tuple[str, ...]
    keys: tuple[tuple[str, str | None], ...] = ()
    patch_key: str | None = None
    is_set: bool = False


METADATA_LISTS = (
    ListRule(("metadata", "finalizers"), patch_key="", is_set=True),
    ListRule(("metadata", "ownerReferences"), keys=(("uid", None),), patch_key="uid"),
)


class Merging(msgspec.Struct, frozen=True):
    """How the parts of an object merge; what is not named here is the usual case.

    The usual case: maps merge field by field, lists are replaced whole.

    Attributes:
        lists: the lists that are not replaced whole.
        atomic: maps that are replaced whole, as label selectors are.
    """

    lists: tuple[ListRule, ...] = METADATA_LISTS
    atomic: frozenset[tuple[str, ...]] = frozenset()

    def rule(self, path: tuple[str, ...]) -> ListRule | None:
        """Return the rule of the list at `path`, or None when it is replaced whole."""
        return next((rule for rule in self.lists if rule.path == path), None)


class Column(msgspec.Struct, frozen=True):
    """One column of what `kubectl get` prints.

    Attributes:
        cell: from the object and the time to what the column shows.
        priority: 0 is always shown, 1 only with `-o wide`.
    """

    name: str
    cell: Callable[[Json, datetime], object]
    type: str = "string"
    priority: int = 0


class World(msgspec.Struct, frozen=True):
    """What a kind's rules may see besides the object: time, chance, what is taken."""

    now: datetime
    rng: random.Random
    allocation: Allocation
    objects: Callable[[str], Iterable[Json]]
    """All objects of a resource, by its name such as `ingressclasses.networking.k8s.io`."""


class Rules(Protocol):
    """A kind's own defaults and checks."""

    def default(self, obj: Json, old: Json | None, world: World) -> None:
        """Fill in, in place, what the author left out; `old` is None when it is being created."""
        ...

    def faults(self, obj: Json, old: Json | None, world: World) -> Iterator[FieldFault]:
        """Yield what is wrong with the object, after its defaults were filled in."""
        ...

    def committed(self, key: Key, obj: Json | None, world: World) -> None:
        """Take note that the object was written, or deleted (None)."""
        ...


class NoRules:
    """The rules of a kind that has none."""

    def default(self, obj: Json, old: Json | None, world: World) -> None:
        """Leave the object as it is."""

    def faults(self, obj: Json, old: Json | None, world: World) -> Iterator[FieldFault]:  # noqa: ARG002  the protocol has them
        """Find nothing wrong."""
        return iter(())

    def committed(self, key: Key, obj: Json | None, world: World) -> None:
        """Take no note."""


def no_grace(obj: Json) -> int:  # noqa: ARG001  the signature of `Resource.grace_s`
    """Return 0: most kinds go at once."""
    return 0


class Conversion(msgspec.Struct, frozen=True):
    """How a version of a resource that is stored in another form becomes that form and back."""

    to_storage: Callable[[Json], Json]
    from_storage: Callable[[Json], Json]


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One served version of one resource.

    Attributes:
        group: "" for the core group.
        status_on_create: whether a status sent with a create is kept (only a Node's is).
        has_generation: whether `metadata.generation` counts changes of the wish. A Service, a
            Node and a Namespace have none.
        is_custom: defined by a CustomResourceDefinition: its list items name their kind, and it
            knows no strategic merge patch.
        unconditional_update: whether PUT works without a resourceVersion.
        selectable: further field selectors, each with the field names that lead to the value.
        empty: what a bookmark of the kind holds besides its metadata: the zero value of Go's
            struct, which shows in the JSON.
        grace_s: from an object to the seconds that a delete leaves it unless told otherwise, 0 for
            none ever; somebody (a Pod's kubelet) then deletes it for good, with no grace.
        stored_as: the name of the resource whose objects these are too; "" for its own.
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    has_status: bool = False
    status_on_create: bool = False
    has_generation: bool = False
    is_custom: bool = False
    unconditional_update: bool = True
    selectable: tuple[tuple[str, tuple[str, ...]], ...] = ()
    empty: bytes = b"{}"
    columns: tuple[Column, ...] = ()
    merging: Merging = Merging()
    rules: Rules = NoRules()
    conversion: Conversion | None = None
    grace_s: Callable[[Json], int] = no_grace
    stored_as: str = ""

    @property
    def name(self) -> str:
        """The name whatever the version: `services`, `ingresses.networking.k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """What `apiVersion` says."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def head(self) -> bytes:
        """The first bytes of the object's JSON: kind and apiVersion, with the comma."""
        return f'{{"kind":"{self.kind}","apiVersion":"{self.api_version}",'.encode()


class Registry:
    """The resources this server serves; later ones replace earlier ones of the same version."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        for resource in resources:
            self.add(resource)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_path.values())

    def add(self, resource: Resource) -> None:
        """Serve a resource from now on."""
        self._by_path[resource.group, resource.version, resource.plural] = resource

    def remove(self, group: str, plural: str) -> None:
        """Serve no version of a resource any longer."""
        for path in [path for path in self._by_path if (path[0], path[2]) == (group, plural)]:
            del self._by_path[path]

    def at(self, group: str, version: str, plural: str) -> Resource:
        """Return the resource of a URL; refuse with 404 when it is not served."""
        try:
            return self._by_path[group, version, plural]
        except KeyError:
            raise no_such_path() from None

    def named(self, name: str) -> Resource:
        """Return the first served version of `services` or `ingresses.networking.k8s.io`.

        A bare plural of another group works too, as it does in kubectl.
        """
        for resource in self:
            if resource.name == name:
                return resource
        for resource in self:
            if resource.plural == name:
                return resource
        raise no_such_path()

    def of(self, obj: Json) -> Resource:
        """Return the resource of an object, by its apiVersion and kind."""
        wanted: tuple[Any, Any] = (obj.get("apiVersion"), obj.get("kind"))
        for resource in self:
            if (resource.api_version, resource.kind) == wanted:
                return resource
        raise no_such_path()
