"""The way to the API server: at a bounded rate, with the rights we have, only while we lead."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from onehop.base.errors import (
    KubeConflict,
    KubeForbidden,
    KubeNotFound,
    KubeUnavailable,
    OnehopError,
    RejectedError,
    TransientError,
)
from onehop.cluster.kind import KINDS, ClusterObject, Kind
from onehop.kube import Change, Client, Collection, Right
from onehop.model.ident import ObjectRef
from onehop.status.bucket import TokenBucket
from onehop.status.limits import Pace
from onehop.status.metrics import WriteKind, WriteOutcome, WriterMetrics
from onehop.status.rights import Rights

T = TypeVar("T")

TERMINATING: Final = "being terminated"
"""In the message of a 403 that is about a dying namespace, not about us (admission plugin
NamespaceLifecycle); its cause `NamespaceTerminating` does not get through to us."""


class NotLeading(OnehopError):  # noqa: N818  named like the condition an operator reads
    """Nothing was sent: another process may be the one that writes."""


def newest_version(kind: Kind) -> str:
    """Return the newest `apiVersion` that we know of a kind."""
    return KINDS[kind].api_version


class WriterPorts(msgspec.Struct, frozen=True, kw_only=True):
    """What writing back needs of the world.

    Attributes:
        object: the newest form of an object that the watch has brought, None when it is gone.
        is_leader: asked right before every request; must be False once the Lease has run out by
            our own clock, for nobody else can stop a process that was asleep.
        clock: seconds, monotonic.
        now: the time of day in UTC.
        random: a number in [0, 1).
        instance: this host's name, for events.
        api_version: in which version the cluster serves a kind: Gateway API may be an older one.
    """

    client: Client
    object: Callable[[ObjectRef], ClusterObject | None]
    is_leader: Callable[[], bool]
    clock: Callable[[], float]
    now: Callable[[], datetime]
    random: Callable[[], float]
    instance: str = ""
    api_version: Callable[[Kind], str] = newest_version


class Channel:
    """Sends requests; what the world does wrong is raised after it was counted."""

    def __init__(
        self,
        ports: WriterPorts,
        pace: Pace,
        *,
        timeout_s: float,
        rights: Rights,
        metrics: WriterMetrics,
    ) -> None:
        self._ports = ports
        self._timeout_s = timeout_s
        self._bucket = TokenBucket(rate_per_s=pace.per_s, burst=pace.burst, clock=ports.clock)
        self._rights = rights
        self._metrics = metrics

    async def find(self, collection: Collection[T], namespace: str, name: str) -> T | None:
        """Return an object as it is now, or None if the API server says that it is gone."""
        return await self._send(
            WriteKind.READ,
            _right("get", collection, namespace),
            lambda: self._ports.client.find(collection, namespace, name),
        )

    async def create(
        self, kind: WriteKind, collection: Collection[T], namespace: str, body: msgspec.Struct
    ) -> T:
        """Create an object; KubeConflict if it is there."""
        return await self._send(
            kind,
            _right("create", collection, namespace),
            lambda: self._ports.client.create(collection, namespace, body),
        )

    async def patch(
        self, kind: WriteKind, collection: Collection[T], ref: ObjectRef, change: Change
    ) -> T:
        """Change an object and return it as it is then.

        Raises:
            KubeConflict: it is no longer at the change's resourceVersion.
            KubeNotFound: it may be gone; `find` knows.
            Denied: the right to it is missing.
            NotLeading: it was not sent.
        """
        return await self._send(
            kind,
            _right("patch", collection, ref.namespace, change.subresource),
            lambda: self._ports.client.merge_patch(collection, ref.namespace, ref.name, change),
        )

    async def _send(self, kind: WriteKind, right: Right, send: Callable[[], Awaitable[T]]) -> T:
        self._rights.check(right)
        await asyncio.sleep(self._bucket.take())
        if not self._ports.is_leader():
            self._metrics.count(kind, WriteOutcome.FENCED)
            raise NotLeading("not the leader any more")
        try:
            answer = await self._in_time(send)
        except KubeForbidden as error:
            if TERMINATING in str(error):
                self._metrics.count(kind, WriteOutcome.GONE)
                raise KubeNotFound(str(error)) from error
            self._metrics.count(kind, WriteOutcome.FORBIDDEN)
            raise self._rights.deny(right, error) from error
        except (TransientError, RejectedError) as error:
            self._metrics.count(kind, _outcome_of(error))
            raise
        self._rights.grant(right)
        self._metrics.count(kind, WriteOutcome.DONE)
        return answer

    async def _in_time(self, send: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await send()
        except TimeoutError as error:
            raise KubeUnavailable(f"no answer within {self._timeout_s:g} s") from error


def _outcome_of(error: TransientError | RejectedError) -> WriteOutcome:
    match error:
        case TransientError():
            return WriteOutcome.FAILED
        case KubeConflict():
            return WriteOutcome.CONFLICT
        case KubeNotFound():
            return WriteOutcome.GONE
        case _:
            return WriteOutcome.REJECTED


def _right(verb: str, collection: Collection[Any], namespace: str, subresource: str = "") -> Right:
    return Right(
        verb=verb,
        group=collection.api_version.rpartition("/")[0],
        resource=collection.plural,
        subresource=subresource,
        namespace=namespace,
    )
