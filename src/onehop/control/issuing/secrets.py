"""The few things that are done with Secrets, and how they are done over the API.

Every change names what was seen before it (resourceVersion), so that nothing that somebody else
wrote is ever written over: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import base64
import contextlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from onehop.base.errors import KubeConflict, KubeNotFound, TransientError
from onehop.cluster.kind import Kind
from onehop.cluster.meta import Meta
from onehop.cluster.secret import Secret
from onehop.control.issuing.fault import plain_faults
from onehop.control.issuing.mark import selector_of
from onehop.kube import Change, Client, Collection, Right, Selection, collection_of
from onehop.model.ident import ObjectRef


class SecretChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change in a Secret; what is not named stays.

    Attributes:
        data: None takes an entry away.
    """

    data: Mapping[str, bytes | None] = {}
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}


class SecretStore(Protocol):
    """Where Secrets are. Everything raises TransientError for what the world does wrong."""

    async def find(self, secret: ObjectRef) -> Secret | None:
        """Return a Secret as it is now, or None if there is none."""
        ...

    async def create(self, secret: Secret) -> Secret:
        """Create a Secret, and return it as it is kept; it is on stable storage then.

        Raises:
            KubeConflict: there is one already.
        """
        ...

    async def change(self, seen: Meta, change: SecretChange) -> Secret:
        """Change a Secret if nobody did since it was seen; on stable storage as above.

        Raises:
            KubeConflict: somebody did, or it is gone.
        """
        ...

    async def delete(self, seen: Meta) -> None:
        """Delete a Secret if nobody changed it since it was seen; one that is gone is no fault.

        Raises:
            KubeConflict: somebody did.
        """
        ...

    async def marked(self, namespace: str, component: str) -> tuple[Meta, ...]:
        """Return which Secrets of a namespace we created for something."""
        ...


def secret_ref(namespace: str, name: str) -> ObjectRef:
    """Return the name by which everybody else knows a Secret."""
    return ObjectRef(Kind.SECRET, namespace, name)


class ApiSecrets:
    """The Secrets of a cluster; implements `SecretStore`.

    Args:
        client: of the cluster.
        may_write: asked before each write, and not once for many: a leader that slept wakes up as
            none, and its writes must not arrive.
    """

    def __init__(self, client: Client, may_write: Callable[[], bool] = lambda: True) -> None:
        self._client = client
        self._may_write = may_write

    async def find(self, secret: ObjectRef) -> Secret | None:
        """Return a Secret as it is now."""
        with plain_faults(_right("get", secret.namespace)):
            return await self._client.find(_SECRETS, secret.namespace, secret.name)

    async def create(self, secret: Secret) -> Secret:
        """Create a Secret."""
        namespace = secret.metadata.namespace
        body = {
            "apiVersion": _SECRETS.api_version,
            "kind": _SECRETS.kind,
            **msgspec.to_builtins(secret),
        }
        with plain_faults(_right("create", namespace)):
            self._check_lead()
            return await self._client.create(_SECRETS, namespace, body)

    async def change(self, seen: Meta, change: SecretChange) -> Secret:
        """Change a Secret at its resourceVersion."""
        patch = {
            "metadata": {"labels": dict(change.labels), "annotations": dict(change.annotations)},
            "data": {
                key: None if value is None else base64.b64encode(value).decode("ascii")
                for key, value in change.data.items()
            },
        }
        with plain_faults(_right("patch", seen.namespace)):
            self._check_lead()
            try:
                return await self._client.merge_patch(
                    _SECRETS,
                    seen.namespace,
                    seen.name,
                    Change(patch=patch, resource_version=seen.resource_version),
                )
            except KubeNotFound as err:
                raise KubeConflict(str(err)) from err

    async def delete(self, seen: Meta) -> None:
        """Delete a Secret at its resourceVersion."""
        with plain_faults(_right("delete", seen.namespace)):
            self._check_lead()
            try:
                await self._client.delete(
                    _SECRETS, seen.namespace, seen.name, resource_version=seen.resource_version
                )
            except KubeNotFound:
                return

    async def marked(self, namespace: str, component: str) -> tuple[Meta, ...]:
        """List by label; of what comes, only the metadata is decoded."""
        found: list[Meta] = []
        selection = Selection(namespace=namespace, labels=selector_of(component))
        with plain_faults(_right("list", namespace)):
            async with contextlib.aclosing(self._client.pages(_HEADS, selection)) as pages:
                async for page in pages:
                    found += (msgspec.json.decode(raw, type=_Head).metadata for raw in page.items)
        return tuple(found)

    def _check_lead(self) -> None:
        if not self._may_write():
            raise TransientError("this host does not lead any more; the one that does goes on")


class _Head(msgspec.Struct, frozen=True):
    metadata: Meta


_SECRETS: Final = collection_of(Secret)
_HEADS: Final = Collection(kind="Secret", api_version="v1", plural="secrets", struct=_Head)


def _right(verb: str, namespace: str) -> Right:
    return Right(verb=verb, resource="secrets", namespace=namespace)
