"""Fault switches: what a real API server does on its bad days, on demand.

A closed union of faults and one pure decision (`decide`); `onehop.lab.api.server` applies what is
decided, in one place. Over HTTP:

    GET    /onehop-lab/faults           what is armed
    POST   /onehop-lab/faults           {"fault": {"type": "emptyList"}, "resource": "services",
                                         "verbs": ["list"], "times": 3}
    DELETE /onehop-lab/faults[/ID]      disarm one, or all

`resource` is a name such as `ingresses.networking.k8s.io` or `*`; `verbs` defaults to those the
fault is about; `times` is how many requests (or events) it befalls, for ever when left out.
"""

from collections.abc import Callable
from typing import TypeAlias, assert_never

import msgspec

from onehop.lab.api.refusal import Json, Refused, expired

EVERYTHING = "*"
EVENT = "event"
"""The pseudo verb of a change that is about to be told to the watchers."""

_ALL = frozenset(
    {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
)


class _Fault(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """What the cases of the union share on the wire: a `type`, camelCase fields."""


class EmptyList(_Fault, frozen=True, tag="emptyList"):
    """Lists answer that there is nothing, at the newest resourceVersion."""


class ServerError(_Fault, frozen=True, tag="serverError"):
    """Requests answer 500 (or another code) InternalError."""

    code: int = 500


class Forbidden(_Fault, frozen=True, tag="forbidden"):
    """Requests answer 403, as with a role that was taken away."""


class Throttled(_Fault, frozen=True, tag="throttled"):
    """Requests answer 429 with Retry-After (API priority and fairness)."""

    retry_after_s: int = 1


class Gone(_Fault, frozen=True, tag="gone"):
    """Watches and continued lists answer 410.

    Attributes:
        as_http: a watch answers with HTTP status 410; else, as the real server's watch cache
            does, with 200 and an ERROR event.
    """

    as_http: bool = False


class Hang(_Fault, frozen=True, tag="hang"):
    """Requests are accepted and never answered; a watch, a running one too, goes silent.

    A running watch that has gone silent stays so. It only notices a fault armed for ever.
    """


class Truncated(_Fault, frozen=True, tag="truncated"):
    """Answers break off in the middle of their body, and the connection closes."""


class ShortList(_Fault, frozen=True, tag="shortList"):
    """A list page lacks its `continue`; a list without pages lacks its second half."""


class DroppedEvent(_Fault, frozen=True, tag="droppedEvent"):
    """The next change is told to no running watch."""


class StaleList(_Fault, frozen=True, tag="staleList"):
    """Lists, and the state a watch begins with, are some revisions behind (a lagging replica).

    Attributes:
        revisions: how many; no further than the log reaches back.
    """

    revisions: int = 10


class CutWatches(_Fault, frozen=True, tag="cutWatches"):
    """Every open watch is cut off now, in the middle of its stream; nothing stays armed."""


class Slow(_Fault, frozen=True, tag="slow"):
    """Answers come late; the state is that of the end of the delay."""

    delay_s: float = 1.0


Fault: TypeAlias = (
    EmptyList
    | ServerError
    | Forbidden
    | Throttled
    | Gone
    | Hang
    | Truncated
    | ShortList
    | DroppedEvent
    | StaleList
    | CutWatches
    | Slow
)


def refusal_of(fault: ServerError | Throttled | Gone) -> Refused:
    """Return the refusal that a fault amounts to."""
    match fault:
        case ServerError(code=code):
            return Refused(code, "InternalError", "Internal error occurred: a fault of the lab")
        case Throttled(retry_after_s=wait):
            message = "Too many requests, please try again later."
            return Refused(429, "TooManyRequests", message, retry_after_s=wait)
        case Gone():
            return expired("too old resource version: a fault of the lab")
        case _:
            assert_never(fault)


class Armed(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that waits for its requests.

    Attributes:
        left: how many more it befalls; None for ever.
    """

    id: int = 0
    fault: Fault
    resource: str = EVERYTHING
    verbs: frozenset[str] = frozenset()
    left: int | None = msgspec.field(default=None, name="times")


def usual_verbs(fault: Fault) -> frozenset[str]:
    """Return the verbs a fault is about when nothing else is said."""
    match fault:
        case EmptyList() | ShortList():
            return frozenset({"list"})
        case StaleList() | Gone():
            return frozenset({"list", "watch"})
        case DroppedEvent():
            return frozenset({EVENT})
        case CutWatches():
            return frozenset({"watch"})
        case Truncated():
            return frozenset({"get", "list"})
        case ServerError() | Forbidden() | Throttled() | Hang() | Slow():
            return _ALL
        case _:
            assert_never(fault)


def decide(
    armed: tuple[Armed, ...], verb: str, resource: str, *, is_continued: bool = False
) -> tuple[Fault | None, tuple[Armed, ...]]:
    """Return what befalls a request, and what is armed after it.

    Args:
        armed: in the order of arming; the first that matches befalls.
        verb: as RBAC names it, or `event`.
        resource: its name.
        is_continued: whether it is a list with a continue token.
    """
    for place, each in enumerate(armed):
        if not _matches(each, verb, resource, is_continued=is_continued):
            continue
        if each.left is None:
            return each.fault, armed
        left = (msgspec.structs.replace(each, left=each.left - 1),) if each.left > 1 else ()
        return each.fault, (*armed[:place], *left, *armed[place + 1 :])
    return None, armed


def _matches(armed: Armed, verb: str, resource: str, *, is_continued: bool) -> bool:
    if armed.resource not in (EVERYTHING, resource):
        return False
    if verb not in (armed.verbs or usual_verbs(armed.fault)):
        return False
    return not (isinstance(armed.fault, Gone) and verb == "list" and not is_continued)


class Faults:
    """The faults that are armed on one server."""

    def __init__(self, cut: Callable[[str], int]) -> None:
        self._armed: tuple[Armed, ...] = ()
        self._cut = cut
        self._last_id = 0

    @property
    def armed(self) -> tuple[Armed, ...]:
        """What is armed, in the order of arming."""
        return self._armed

    def arm(
        self,
        fault: Fault,
        resource: str = EVERYTHING,
        *,
        verbs: frozenset[str] | set[str] = frozenset(),
        times: int | None = None,
    ) -> int:
        """Arm a fault and return its id; `CutWatches` happens at once, and its id is 0."""
        if isinstance(fault, CutWatches):
            self._cut(resource)
            return 0
        self._last_id += 1
        one = Armed(
            id=self._last_id, fault=fault, resource=resource, verbs=frozenset(verbs), left=times
        )
        self._armed = (*self._armed, one)
        return one.id

    def arm_json(self, body: Json) -> Armed:
        """Arm what a request's body says; raises msgspec.ValidationError on a wrong one."""
        told = msgspec.convert(body, Armed)
        number = self.arm(told.fault, told.resource, verbs=told.verbs, times=told.left)
        return msgspec.structs.replace(told, id=number)

    def disarm(self, number: int | None = None) -> None:
        """Disarm one fault, or all of them."""
        self._armed = tuple(each for each in self._armed if number not in (None, each.id))

    def take(self, verb: str, resource: str, *, is_continued: bool = False) -> Fault | None:
        """Return what befalls a request, and count it."""
        fault, self._armed = decide(self._armed, verb, resource, is_continued=is_continued)
        return fault

    def silences(self, resource: str) -> bool:
        """Return whether the running watches of a resource have gone silent."""
        return any(
            isinstance(each.fault, Hang)
            and each.left is None
            and _matches(each, "watch", resource, is_continued=False)
            for each in self._armed
        )
