"""How much we may ask of an API server, and how patient we are."""

import msgspec


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast we may ask.

    Attributes:
        concurrency: objects in work at the same time.
        per_s: requests, in the long run.
        burst: requests at once after a pause.
    """

    concurrency: int
    per_s: float
    burst: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one writer.

    Attributes:
        writes: requests about objects; a thousand at once are a first start or a fail-over.
        events: requests about events, apart, so that no address ever waits behind a text.
        request_s: a request takes no longer. Shorter than the time between the end of our
            leadership and the start of another's (15 - 10 s, kube.ElectionTimes): what was begun
            as the leader is over before somebody else begins.
        patience_s: how long the data plane may take before "not yet" is worth a write.
        first_retry_s: the wait after a first failure; each further one doubles it.
        longest_retry_s: no wait is longer (cloud-provider, maxRetryDelay), unless the server asks.
        denied_retry_s: the wait after a 403: rights come back when a person grants them.
        event_burst: events about one object at once (client-go, defaultSpamBurst).
        event_every_s: a further one after so long (client-go, defaultSpamQPS).
        lead_poll_s: how often one that waits for the lead looks whether it has it.
        repair_first_s: the wait between two repairs of what somebody else changes; it doubles.
    """

    writes: Pace = Pace(concurrency=16, per_s=500.0, burst=1000)
    events: Pace = Pace(concurrency=4, per_s=100.0, burst=500)
    request_s: float = 4.0
    patience_s: float = 2.0
    first_retry_s: float = 1.0
    longest_retry_s: float = 300.0
    denied_retry_s: float = 60.0
    event_burst: int = 25
    event_every_s: float = 300.0
    lead_poll_s: float = 1.0
    repair_first_s: float = 1.0

    def retry_s(self, failures: int, chance: float) -> float:
        """Return the wait after so many failures in a row: half to all of the doubled one.

        Args:
            failures: at least 1.
            chance: in [0, 1), so that objects that failed together do not come back together.
        """
        return self._doubled(self.first_retry_s, failures) * (0.5 + chance / 2)

    def repair_s(self, repairs: int) -> float:
        """Return the wait after so many repairs in a row, at least 1."""
        return self._doubled(self.repair_first_s, repairs)

    def _doubled(self, first_s: float, times: int) -> float:
        return min(first_s * 2.0 ** min(times - 1, 32), self.longest_retry_s)
