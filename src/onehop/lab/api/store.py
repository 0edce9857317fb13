"""The state of the in-memory API: every object, every verb, no I/O.

Synchronous and deterministic: time and chance are arguments. One revision counter orders all
writes of all resources, as etcd's does; it is every object's resourceVersion.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from onehop.lab.api.allocation import Allocation
from onehop.lab.api.apply import Wish, Writer, apply, track
from onehop.lab.api.history import Change, Collection, EventType, Watch
from onehop.lab.api.kind import builtin_resources
from onehop.lab.api.kind.crd import CRD, custom_resources
from onehop.lab.api.kind.namespace import NAMESPACE, terminating
from onehop.lab.api.option import PLAIN, Deleted, WriteOptions
from onehop.lab.api.page import (
    ListQuery,
    Page,
    WatchQuery,
    check_watch,
    cut_page,
    expired_continue,
    revision_of,
    snapshot_of,
    too_large,
)
from onehop.lab.api.patching import PatchType, patch_object
from onehop.lab.api.refusal import (
    Json,
    Refused,
    already_exists,
    bad_request,
    invalid,
    not_found,
    unprocessable,
)
from onehop.lab.api.resource import Key, Registry, Resource, World
from onehop.lab.api.selector import Selection
from onehop.lab.api.stored import Stored, encode_stored
from onehop.lab.api.write import (
    check_preconditions,
    created,
    is_ending,
    is_held,
    marked_deleted,
    normal_form,
    updated,
)

FIRST_NAMESPACES = ("default", "kube-system")


class Store:
    """Every object of one pretended cluster.

    Attributes:
        registry: what is served; more can be added while running.
        revision: the resourceVersion of the newest write.
        now: the clock.
        delivers: asked once for each change (with its resource's name) whether the running
            watches are told; tests lose events here.
    """

    def __init__(
        self,
        *,
        resources: Iterable[Resource] | None = None,
        history: int = 4096,
        first_revision: int = 1,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
    ) -> None:
        self.registry = Registry(builtin_resources() if resources is None else resources)
        self.revision = first_revision
        self._history = history
        self.now = now
        self._rng = rng or random.Random()  # noqa: S311  names and ports, nothing secret
        self._allocation = Allocation()
        self._collections: dict[str, Collection] = {}
        self._terminating: set[str] = set()
        self.delivers: Callable[[str, Change], bool] = _always
        self._first_revision = first_revision
        for name in FIRST_NAMESPACES:
            self.create(NAMESPACE, "", {"metadata": {"name": name}})

    def collection(self, resource: Resource) -> Collection:
        """Return the objects of a resource; all its versions share them."""
        name = resource.stored_as or resource.name
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(self._history)
            found.compacted = self._first_revision - 1
        return found

    # --- reading ---

    def get(self, resource: Resource, key: Key) -> Stored:
        """Return an object; refuse with 404 when there is none."""
        stored = self.collection(resource).get(key)
        if stored is None:
            raise not_found(key[1], plural=resource.plural, group=resource.group)
        return stored

    def list_page(self, resource: Resource, query: ListQuery = ListQuery()) -> Page:  # noqa: B008  frozen
        """Return a page of objects, all of them as they were at one revision."""
        revision = snapshot_of(query, self.revision)
        collection = self.collection(resource)
        if query.continue_token and revision < collection.compacted:
            raise expired_continue(query.continue_token, revision)
        return cut_page(collection.at(revision, self.revision), query, revision)

    def watch(self, resource: Resource, query: WatchQuery, wake: Callable[[], None]) -> Watch:
        """Begin a watch; what it starts with is already pending in it.

        Args:
            resource: which objects.
            query: where it begins.
            wake: called when something is pending, or when the watch is closed; must not block.

        Raises:
            Refused: 410 when the log does not reach back to the revision asked for.
        """
        check_watch(query)
        collection = self.collection(resource)
        begins_with_state = query.send_initial or (
            query.send_initial is None and query.resource_version in ("", "0")
        )
        if query.state_at is not None:
            past = collection.at(query.state_at, self.revision)
            first = [Change(each.revision, None, each) for each in past]
            first += collection.changes_since(query.state_at)
        elif begins_with_state:
            asked = revision_of(query.resource_version or "0")
            if asked > self.revision:
                raise too_large(asked, self.revision)
            first = [Change(each.revision, None, each) for each in collection.all()]
        elif query.resource_version in ("", "0"):
            first = []
        else:
            first = collection.changes_since(revision_of(query.resource_version))
        watch = Watch(collection, query.selection, wake)
        for change in first:
            watch.offer(change)
        collection.watches.add(watch)
        return watch

    def objects(self, name: str) -> Iterator[Json]:
        """Yield every object of a resource such as `services`, each a dict of the caller's own."""
        resource = self.registry.named(name)
        for stored in self.collection(resource).all():
            yield stored.object(resource)

    # --- writing ---

    def create(
        self, resource: Resource, namespace: str, obj: Json, options: WriteOptions = PLAIN
    ) -> Stored:
        """Store a new object."""
        wanted = normal_form(obj, resource, namespace)
        if wanted["metadata"].pop("resourceVersion", None):
            raise bad_request("resourceVersion should not be set on objects to be created")
        wanted["metadata"].pop("managedFields", None)
        return self._create(resource, namespace, wanted, options)

    def update(
        self, resource: Resource, key: Key, obj: Json, options: WriteOptions = PLAIN
    ) -> Stored:
        """Replace an object, or with `subresource="status"` its status."""
        old = self.get(resource, key)
        new = normal_form(obj, resource, key[0])
        if not resource.unconditional_update and not new["metadata"].get("resourceVersion"):
            fault = invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise unprocessable(key[1], [fault], kind=resource.kind, group=resource.group)
        return self._replace(resource, old, new, options, operation="Update")

    def patch(
        self,
        resource: Resource,
        key: Key,
        kind: PatchType,
        body: Any,
        options: WriteOptions = PLAIN,
    ) -> Stored:
        """Change an object by a patch; an apply creates what is not there."""
        if kind is PatchType.APPLY:
            return self._apply(resource, key, body, options)
        old = self.get(resource, key)
        patched = patch_object(old.object(resource), kind, body, resource)
        new = normal_form(patched, resource, key[0])
        return self._replace(resource, old, new, options, operation="Update")

    def delete(self, resource: Resource, key: Key, options: WriteOptions = PLAIN) -> Deleted:
        """Delete an object; one with finalizers is only marked, and goes when they are gone.

        So is a Pod that is running, until its kubelet deletes it once more without grace.
        """
        old = self.get(resource, key)
        before = old.decode()
        check_preconditions(
            before, resource, uid=options.uid, resource_version=options.resource_version
        )
        grace_s = resource.grace_s(before)
        if grace_s and options.grace_s is not None:
            grace_s = options.grace_s
        is_gone = not is_held(before) and grace_s == 0
        if options.dry_run:
            return Deleted(old, is_gone=is_gone)
        if resource.name == NAMESPACE.name:
            return self._delete_namespace(old, before)
        if is_gone:
            return Deleted(self._remove(resource, old), is_gone=True)
        is_marked = "deletionTimestamp" in before["metadata"]
        if is_marked and before["metadata"].get("deletionGracePeriodSeconds", 0) <= grace_s:
            return Deleted(old, is_gone=False)
        marked = marked_deleted(before, self._world(), grace_s=grace_s)
        return Deleted(self._commit(resource, old, marked), is_gone=False)

    def delete_collection(
        self, resource: Resource, selection: Selection, options: WriteOptions = PLAIN
    ) -> list[Stored]:
        """Delete every object of a selection, and return them as they were."""
        meant = [each for each in self.collection(resource).all() if selection.accepts(each)]
        for stored in meant:
            self.delete(resource, stored.key, options)
        return meant

    # --- for tests ---

    def compact(self) -> None:
        """Forget the past of every resource: watches and pages of older revisions answer 410."""
        for collection in self._collections.values():
            collection.forget(self.revision)

    def cut_watches(self, name: str = "") -> int:
        """Cut off the open watches of a resource, "" for all; return how many there were."""
        meant = [each for each in self._collections if name in ("", each)]
        return sum(self._collections[each].cut() for each in meant)

    # --- inside ---

    def _world(self) -> World:
        return World(self.now(), self._rng, self._allocation, self.objects)

    def _create(
        self, resource: Resource, namespace: str, wanted: Json, options: WriteOptions
    ) -> Stored:
        if resource.namespaced:
            self._require_namespace(namespace)
        world = self._world()
        new = created(wanted, resource, world)
        key = (namespace if resource.namespaced else "", new["metadata"]["name"])
        if self.collection(resource).get(key) is not None:
            raise already_exists(key[1], plural=resource.plural, group=resource.group)
        if options.dry_run:
            return encode_stored(key, new, 0)
        return self._commit(resource, None, new, key=key)

    def _replace(
        self,
        resource: Resource,
        old: Stored,
        wanted: Json,
        options: WriteOptions,
        *,
        operation: str,
    ) -> Stored:
        before = old.decode()
        metadata = wanted["metadata"]
        check_preconditions(
            before,
            resource,
            uid=metadata.get("uid"),
            resource_version=metadata.get("resourceVersion"),
        )
        world = self._world()
        new = updated(wanted, before, resource, world, subresource=options.subresource)
        if operation == "Update":
            writer = Writer(options.manager, operation, resource.api_version, options.subresource)
            new = track(before, new, resource=resource, writer=writer, now=world.now)
        new["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        if is_ending(before) and not is_held(new):
            is_last = resource.name != NAMESPACE.name or self._is_empty(old.key[1])
            if is_last and not options.dry_run:
                return self._remove(resource, old)
        if new == before:  # nothing changes: no revision, no event, as in etcd3/store.go
            return old
        if options.dry_run:
            return encode_stored(old.key, new, old.revision)
        return self._commit(resource, old, new)

    def _apply(self, resource: Resource, key: Key, body: Any, options: WriteOptions) -> Stored:
        wish = normal_form(body, resource, key[0])
        if wish["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        wish["metadata"].setdefault("name", key[1])
        old = self.collection(resource).get(key)
        if old is None and options.subresource:
            raise not_found(key[1], plural=resource.plural, group=resource.group)
        writer = Writer(options.manager, "Apply", resource.api_version, options.subresource)
        merged = apply(
            old.decode() if old else None,
            Wish(_within(wish, resource, options.subresource), writer, options.force, self.now()),
            resource,
        )
        if old is None:
            return self._create(resource, key[0], merged, options)
        return self._replace(resource, old, merged, options, operation="Apply")

    def _commit(
        self, resource: Resource, old: Stored | None, new: Json, *, key: Key | None = None
    ) -> Stored:
        key = old.key if old is not None else key
        assert key is not None  # noqa: S101  one of the two is given
        self.revision += 1
        stored = encode_stored(key, new, self.revision)
        self._publish(resource, Change(self.revision, old, stored))
        resource.rules.committed(key, new, self._world())
        if resource.name == CRD.name:
            self.registry.remove(new["spec"]["group"], new["spec"]["names"]["plural"])
            for defined in custom_resources(new):
                self.registry.add(defined)
        return stored

    def _remove(self, resource: Resource, old: Stored) -> Stored:
        self.revision += 1
        change = Change(self.revision, old, None)
        self._publish(resource, change)
        resource.rules.committed(old.key, None, self._world())
        if resource.name == CRD.name:
            self._withdraw(old)
        if old.key[0] in self._terminating:
            self._finish_namespace(old.key[0])
        return change.shown(EventType.DELETED)

    def _publish(self, resource: Resource, change: Change) -> None:
        is_told = self.delivers(resource.stored_as or resource.name, change)
        self.collection(resource).commit(change, is_told=is_told)

    def _withdraw(self, definition: Stored) -> None:
        for resource in custom_resources(definition.decode()):
            for stored in self.collection(resource).all():
                self._remove(resource, stored)
            self.collection(resource).cut()
            self.registry.remove(resource.group, resource.plural)

    def _require_namespace(self, name: str) -> None:
        if self.collection(NAMESPACE).get(("", name)) is None:
            raise not_found(name, plural=NAMESPACE.plural, group="")
        if name in self._terminating:
            message = (
                f"unable to create new content in namespace {name} because it is being terminated"
            )
            raise Refused(403, "Forbidden", message)

    def _delete_namespace(self, old: Stored, before: Json) -> Deleted:
        """Empty a namespace, and delete it when nothing is left in it.

        In a real cluster that is the work of kube-controller-manager; without it no namespace
        would ever go.
        """
        name = old.key[1]
        if "deletionTimestamp" not in before["metadata"]:
            self._terminating.add(name)
            self._commit(NAMESPACE, old, terminating(marked_deleted(before, self._world())))
        for resource in {each.name: each for each in self.registry if each.namespaced}.values():
            self.delete_collection(resource, Selection(namespace=name))
        self._finish_namespace(name)
        left = self.collection(NAMESPACE).get(("", name))
        return Deleted(left or old, is_gone=left is None)

    def _finish_namespace(self, name: str) -> None:
        stored = self.collection(NAMESPACE).get(("", name))
        if stored is None or not self._is_empty(name) or is_held(stored.decode()):
            return
        self._terminating.discard(name)
        self._remove(NAMESPACE, stored)

    def _is_empty(self, namespace: str) -> bool:
        return not any(
            stored.key[0] == namespace
            for collection in self._collections.values()
            for stored in collection.all()
        )


def _always(resource: str, change: Change) -> bool:  # noqa: ARG001  the signature of `delivers`
    return True


def _within(wish: Json, resource: Resource, subresource: str) -> Json:
    """Return the part of an applied object that its endpoint takes."""
    if subresource:
        return {name: wish[name] for name in ("metadata", subresource) if name in wish}
    if resource.has_status:
        return {name: each for name, each in wish.items() if name != "status"}
    return wish
