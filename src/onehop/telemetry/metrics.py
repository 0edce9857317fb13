"""Metrics: a set of series whose number does not grow with Pods, Services or hosts.

Labels take their values from closed sets (kinds, tables, reasons): never a host, a Pod or a
namespace, which is what made peers' scrapes cost more than their traffic. The one exception is the
end of each certificate (`onehop_certificate_expiry_seconds`): an alert is worth something only if
it says which.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """What is counted while it happens; what merely *is* gets read at a scrape (control.scrape)."""

    def __init__(self, *, version: str, driver: str) -> None:
        self.registry = CollectorRegistry()
        self._build = Gauge(
            "onehop_build_info", "What runs here", ["version", "driver"], registry=self.registry
        )
        self.runs(version, driver)
        self.settle_seconds = self._histogram("settle_seconds", "One pass over the spreadsheet")
        self.apply_seconds = self._histogram("apply_seconds", "A plan, until its last ack")
        self.applies = self._counter("applies", "Plans carried out", "outcome")
        self.path_moves = self._counter("path_moves", "Pods of a pool on one node, by rung", "to")
        self.endpoint_updates = self._counter("endpoint_updates", "Pools sent by the fast lane")

    def runs(self, version: str, driver: str) -> None:
        """Say what runs here now."""
        self._build.clear()
        self._build.labels(version, driver).set(1)

    def render(self) -> bytes:
        """Return all series in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"onehop_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"onehop_{name}", text, buckets=_SECONDS, registry=self.registry)
