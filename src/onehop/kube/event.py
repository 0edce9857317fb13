"""Decoding watch events: a light envelope first, then only as much of the object as is needed.

A bookmark carries an almost empty object that the kind's struct would refuse, a deletion needs no
more than the name, and an object that does not decode must not harm the others on the stream.
"""

from collections.abc import Iterable
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from onehop.base.errors import KubeUnavailable, OnehopError
from onehop.kube.fault import fault_of, read_status

T = TypeVar("T")


class Head(msgspec.Struct, frozen=True, rename="camel"):
    """What tells one state of one object from every other.

    Attributes:
        resource_version: opaque but for comparison within one kind, where it is a growing decimal
            (KEP-5504).
    """

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class Written(msgspec.Struct, Generic[T], frozen=True):
    """ADDED or MODIFIED; after a reconnect the difference between the two means nothing."""

    head: Head
    item: T


class Removed(msgspec.Struct, frozen=True):
    """DELETED; the head's resourceVersion is that of the deletion."""

    head: Head


class Progress(msgspec.Struct, frozen=True):
    """BOOKMARK: nothing changed up to here (KEP-956)."""

    resource_version: str


class Unreadable(msgspec.Struct, frozen=True):
    """An object was written that does not have the form its kind promises."""

    head: Head
    message: str


Event: TypeAlias = Written[T] | Removed | Progress | Unreadable


class _HeadOnly(msgspec.Struct, frozen=True):
    metadata: Head = Head()


class _Envelope(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_HEAD: Final = msgspec.json.Decoder(_HeadOnly)


class ItemDecoder(Generic[T]):
    """Decodes the objects of one type."""

    def __init__(self, struct: type[T]) -> None:
        self._item = msgspec.json.Decoder(struct)

    def head(self, raw: bytes | msgspec.Raw) -> Head:
        """Return the object's head, skipping all the rest of it."""
        return _HEAD.decode(raw).metadata

    def item(self, raw: bytes | msgspec.Raw) -> T:
        """Return the object; msgspec.ValidationError names the field that is not as promised."""
        return self._item.decode(raw)

    def events(self, lines: Iterable[bytes]) -> tuple[tuple[Event[T], ...], OnehopError | None]:
        """Return what the lines of a watch say up to the first fault, and that fault."""
        events: list[Event[T]] = []
        for line in lines:
            try:
                events.append(self.event(line))
            except OnehopError as fault:
                return tuple(events), fault
        return tuple(events), None

    def event(self, line: bytes) -> Event[T]:
        """Return what one line of a watch says.

        Raises:
            KubeUnavailable: the line is cut or no event, or an ERROR of the server's own trouble.
            KubeGone: the ERROR that asks us to list again.
        """
        try:
            envelope = _ENVELOPE.decode(line)
            if envelope.type == "ERROR":
                status = read_status(envelope.object)
                raise fault_of("watch", status.code or 500, status, {})
            head = self.head(envelope.object)
        except msgspec.DecodeError as error:
            raise KubeUnavailable(f"watch: a line is not an event: {error}") from error
        match envelope.type:
            case "ADDED" | "MODIFIED":
                try:
                    return Written(head, self.item(envelope.object))
                except msgspec.ValidationError as error:
                    return Unreadable(head, str(error))
            case "DELETED":
                return Removed(head)
            case "BOOKMARK":
                return Progress(head.resource_version)
            case unknown:
                raise KubeUnavailable(f"watch: an event of unknown type {unknown[:40]!r}")
