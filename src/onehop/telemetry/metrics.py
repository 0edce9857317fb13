"""Metrics: a fixed set of series whose number does not grow with the cluster.

Labels take their values from closed sets (kinds, tables, reasons): never a host, a Pod or a
namespace, which is what made peers' scrapes cost more than their traffic.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """The program's own series, in a registry of their own."""

    def __init__(self, *, version: str, driver: str) -> None:
        self.registry = CollectorRegistry()
        Gauge(
            "onehop_build_info", "What runs here", ["version", "driver"], registry=self.registry
        ).labels(version, driver).set(1)
        self.settle_seconds = self._histogram("settle_seconds", "One pass over the spreadsheet")
        self.apply_seconds = self._histogram("apply_seconds", "A plan, until its last ack")
        self.applies = self._counter("applies", "Plans carried out", "outcome")
        self.refused = self._gauge("refused_rows", "Rows the data plane would not take", "table")
        self.endpoint_updates = self._counter("endpoint_updates", "Pools sent by the fast lane")
        self.served = self._gauge("served_rows", "Rows the data plane serves", "table")
        self.withheld = self._gauge(
            "withheld_removals", "Removals that wait for confirmation", "table"
        )
        self.problems = self._gauge("problems", "Faults in cluster objects", "reason")
        self.objects = self._gauge("objects", "Cluster objects known", "kind")
        self.is_synced = self._gauge("is_synced", "1 after every first list")
        self.is_leader = self._gauge("is_leader", "1 while this process writes status")
        self.loop_lag_seconds = self._gauge(
            "event_loop_lag_seconds", "The longest the event loop was late in the last minute"
        )

    def render(self) -> bytes:
        """Return all series in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"onehop_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"onehop_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"onehop_{name}", text, buckets=_SECONDS, registry=self.registry)
