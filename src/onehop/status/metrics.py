"""What a writer counts; `telemetry` gives it names."""

from collections import Counter
from enum import StrEnum

import msgspec


class WriteKind(StrEnum):
    """What was written, or read in order to write."""

    FINALIZER = "finalizer"
    STATUS = "status"
    EVENT = "event"
    READ = "read"


class WriteOutcome(StrEnum):
    """What came of a request."""

    DONE = "done"
    FAILED = "failed"
    """The API server did not answer, or asked us to come back."""
    CONFLICT = "conflict"
    GONE = "gone"
    FORBIDDEN = "forbidden"
    REJECTED = "rejected"
    FENCED = "fenced"
    """Not sent: we are no longer the leader."""


class WriterMetrics(msgspec.Struct):
    """Counts since the start, by closed sets of labels.

    Attributes:
        requests: by kind and outcome.
        repairs: times somebody else's change to what is ours was undone.
        dropped_events: events beyond what one object may have.
        missing_rights: rights the API server denies us at present, as in `patch services/status`.
    """

    requests: Counter[tuple[WriteKind, WriteOutcome]] = msgspec.field(default_factory=Counter)
    repairs: int = 0
    dropped_events: int = 0
    missing_rights: frozenset[str] = frozenset()

    def count(self, kind: WriteKind, outcome: WriteOutcome) -> None:
        """Count a request."""
        self.requests[kind, outcome] += 1
