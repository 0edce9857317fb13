"""What is wrong between us and the API, said as Problems.

A batch's problems replace everything its source said before, so the parts of a source hand theirs
in here, and the whole goes out when it differs.
"""

from typing import Final

from onehop.base.errors import KubeForbidden, KubeNotFound, OnehopError
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity
from onehop.source.source import Batch, Sink

LIST: Final = "List"
"""The kind of the subject of a Problem about a whole list."""


class Troubles:
    """Collects the problems of a source's parts."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._parts: dict[ObjectRef, tuple[Problem, ...]] = {}

    def put(self, part: ObjectRef, problems: tuple[Problem, ...]) -> None:
        """Replace what this part said before, and tell the sink if that changed anything."""
        if self._parts.get(part, ()) == problems:
            return
        self._parts[part] = problems
        everything = sorted(problem for part in self._parts.values() for problem in part)
        self._sink.changed(Batch(problems=tuple(everything)))


def failed(subject: ObjectRef, error: OnehopError) -> Problem:
    """Return the problem of a list or a watch that the API does not serve."""
    match error:
        case KubeForbidden():
            reason = Reason.API_FORBIDDEN
            advice = "Grant get, list and watch; what is known is kept"
        case KubeNotFound():
            reason = Reason.RESOURCE_MISSING
            advice = "This server does not serve the resource; it is asked again every minute"
        case _:
            reason = Reason.API_UNAVAILABLE
            advice = "What is known is kept, and we keep asking"
    return Problem(
        subject=subject, reason=reason, message=f"{error}. {advice}.", severity=Severity.WARNING
    )


def doubted(subject: ObjectRef, reason: str) -> Problem:
    """Return the problem of a list that is not believed."""
    return Problem(
        subject=subject,
        reason=Reason.LIST_NOT_BELIEVED,
        message=f"{reason}.",
        severity=Severity.WARNING,
    )


def unreadable(subject: ObjectRef, message: str) -> Problem:
    """Return the problem of an object that does not have its kind's form."""
    return Problem(
        subject=subject,
        reason=Reason.INVALID_OBJECT,
        message=f"{message}. Its last readable form stays in use.",
    )
