"""What others did to what is ours, for whoever wants to know: counted, told, and not too often."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from onehop.driver.nftables.monitor import Meddling

_QUIET_S: Final = 60.0
_FIRST_S, _LONGEST_S = 0.25, 30.0
_FULL, _ROOM = 0.9, 0.8

log = structlog.get_logger(__name__)


class Drift:
    """Counts what has drifted, and how long to wait before it is repaired once more.

    Args:
        now: a clock that never goes back, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._ended_at = float("-inf")
        self._wait_s = 0.0
        self._last = ""
        self._is_full = False
        self.counts: Counter[str] = Counter()
        """How often, by what has drifted: few words."""

    def note(self, meddling: Meddling) -> None:
        """Tell what others have changed, if they have."""
        if not meddling.changed:
            return
        self.counts.update({str(what): 1 for what in meddling.changed})
        changed = {str(what): count for what, count in sorted(meddling.changed.items())}
        by = ", ".join(meddling.by) or "somebody"
        self._last = f"{', '.join(changed)} by {by}"
        log.warning("nftables_drift", changed=changed, by=by, repairing=True)

    def note_forwarding(self, hindrances: Mapping[int, str]) -> None:
        """Tell what this host no longer passes on, or that it does again."""
        if hindrances:
            self.counts["forwarding"] += 1
            self._last = ", ".join(hindrances.values())
            log.error("host_passes_no_packets_on", reasons=list(hindrances.values()))
        else:
            log.info("host_passes_packets_on")

    def note_conntrack(self, share: float) -> None:
        """Tell when the table of connections gets full, and when there is room again."""
        if share >= _FULL and not self._is_full:
            log.error(
                "conntrack_nearly_full",
                percent=round(100 * share),
                advice="what is beyond is dropped: raise net.netfilter.nf_conntrack_max",
            )
        self._is_full = share >= _FULL or (self._is_full and share > _ROOM)

    def wait_s(self) -> float:
        """Return how long to wait before a repair: not at all, but for those who do not give up.

        Two programs that both want to have their way would keep each other busy for ever.
        """
        is_again = self._now() - self._ended_at < _QUIET_S
        self._wait_s = min(max(_FIRST_S, 2 * self._wait_s), _LONGEST_S) if is_again else 0.0
        self._ended_at = self._now() + self._wait_s
        return self._wait_s

    def describe(self) -> dict[str, str]:
        """Return what to show; nothing as long as nothing has drifted."""
        if not self.counts:
            return {}
        return {"drifts": str(self.counts.total()), "last_drift": self._last}
