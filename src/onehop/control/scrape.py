"""State as metrics: read at the moment of a scrape, so that nobody has to keep gauges in step."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isinf

import msgspec
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from onehop.cluster import Kind
from onehop.control.overview import NetworkSnapshot
from onehop.driver.remote import RemoteCounts
from onehop.source.counts import ReflectorCounts
from onehop.status import WriterMetrics

Counts = Mapping[str, float]
"""Values by the one label they carry."""

_ORDERED = "Certificates that this process sees to, while it leads"
_ENDS = "End of a certificate that is shown, in seconds since 1970"


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """What the program is like now.

    Attributes:
        served: rows by table, as are `withheld` and `refused`.
        problems: by reason.
        staples: certificates that name an OCSP responder, by what it says.
        issuing: certificates that are ordered here, by what is being done.
        planes: data planes that run, by name: more than one while one takes over.
        switches: from one data plane to another, by what became of them.
        reloads: of the data plane, if it needs any, by the kind of reason.
        drifts: what others have changed behind our back, by data plane and by what it was.
        connections: of the kernel's part, by what became of them.
        remote: what speaking to the data plane has come to, if it is another machine.
        certificates: the end of each one that is shown, in seconds since the epoch, by Secret.
    """

    is_synced: bool
    is_ready: bool
    is_leader: bool
    served: Counts
    withheld: Counts
    refused: Counts
    problems: Counts
    loop_lag_s: float
    network: NetworkSnapshot
    staples: Counts = {}
    issuing: Counts = {}
    planes: Counts = {}
    switches: Counts = {}
    reloads: Counts = {}
    drifts: Mapping[str, Counts] = {}
    connections: Counts = {}
    remote: RemoteCounts | None = None
    certificates: Counts = {}


class Scrape(Collector):
    """Yields metric families with bounded labels, but for the ends of certificates.

    Args:
        gauges: called at each scrape.
        reflectors: counts by kind; empty for a folder of manifests.
        writer: counts of the status writer, or None where nothing is written.
    """

    def __init__(
        self,
        gauges: Callable[[], Gauges],
        reflectors: Mapping[Kind, ReflectorCounts],
        writer: WriterMetrics | None,
    ) -> None:
        self._gauges = gauges
        self._reflectors = reflectors
        self._writer = writer

    def collect(self) -> Iterable[Metric]:
        """Yield everything."""
        yield from self._program(self._gauges())
        yield from self._source()
        if self._writer is not None:
            yield from _status(self._writer)

    def describe(self) -> Iterable[Metric]:
        """Yield nothing: the program need not exist yet when this is registered."""
        return ()

    def _program(self, now: Gauges) -> Iterator[Metric]:
        yield _gauge("is_synced", "1 after every first list", now.is_synced)
        yield _gauge("is_ready", "1 after the first acknowledgement", now.is_ready)
        yield _gauge("is_leader", "1 while this process writes status", now.is_leader)
        yield _by("served_rows", "Rows the data plane serves", "table", now.served)
        yield _by("withheld_removals", "Removals that wait for `confirm`", "table", now.withheld)
        yield _by("refused_rows", "Rows the data plane would not take", "table", now.refused)
        yield _by("data_planes", "Data planes that run", "driver", now.planes)
        yield _counter("data_plane_switches", "Switches to another", "outcome", now.switches)
        yield _counter(
            "data_plane_reloads", "Reloads that had a reason of a kind", "reason", now.reloads
        )
        yield _drifts(now.drifts)
        yield _counter("kernel_connections", "Of layer 4", "outcome", now.connections)
        if now.remote is not None:
            yield from _remote(now.remote)
        yield _by("problems", "Faults in cluster objects", "reason", now.problems)
        yield _by("staples", "Certificates by what their CA says", "state", now.staples)
        yield _by("acme_certificates", _ORDERED, "phase", now.issuing)
        yield _by("certificate_expiry_seconds", _ENDS, "secret", now.certificates)
        yield from _network(now.network)
        yield _gauge("event_loop_lag_seconds", "Worst in the last minute or two", now.loop_lag_s)

    def _source(self) -> Iterator[Metric]:
        lists = CounterMetricFamily(
            "onehop_source_lists", "Lists, by what became of them", labels=["kind", "outcome"]
        )
        ends = CounterMetricFamily(
            "onehop_source_watch_ends", "Watches that ended", labels=["kind", "reason"]
        )
        events = CounterMetricFamily(
            "onehop_source_events", "Watch events, bookmarks included", labels=["kind"]
        )
        silence = GaugeMetricFamily(
            "onehop_source_silence_seconds", "Since anything was heard", labels=["kind"]
        )
        now = time.monotonic()
        for kind, counts in self._reflectors.items():
            for outcome, count in counts.lists.items():
                lists.add_metric([kind, outcome], count)
            for reason, count in counts.watch_ends.items():
                ends.add_metric([kind, reason], count)
            events.add_metric([kind], counts.events)
            if counts.is_listed:
                silence.add_metric([kind], counts.silence_s(now))
        yield from (lists, ends, events, silence)


def _counter(name: str, text: str, label: str, counts: Counts) -> Metric:
    family = CounterMetricFamily(f"onehop_{name}", text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _drifts(found: Mapping[str, Counts]) -> Metric:
    family = CounterMetricFamily(
        "onehop_data_plane_drifts", "Changes by others, repaired", labels=["driver", "kind"]
    )
    for driver, kinds in sorted(found.items()):
        for kind, count in sorted(kinds.items()):
            family.add_metric([driver, kind], count)
    return family


def _remote(counts: RemoteCounts) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "onehop_unit_calls", "Calls to the unit, by what became of them", labels=["outcome"]
    )
    for outcome, count in sorted(counts.calls.items()):
        calls.add_metric([outcome], count)
    yield calls
    yield CounterMetricFamily("onehop_unit_writes", "Calls to change it", value=counts.writes)
    yield HistogramMetricFamily(
        "onehop_unit_endpoint_lag_seconds",
        "From a change of endpoints until the unit has it",
        buckets=[("+Inf" if isinf(le) else str(le), count) for le, count in counts.lag.items()],
        sum_value=counts.lag_s,
    )
    yield _gauge("unit_is_connected", "1 while some member answers", counts.is_connected)
    yield _gauge("unit_refused_objects", "Objects the unit refuses", counts.refused)
    yield _gauge("unit_withheld_objects", "Leftovers not deleted unseen", counts.withheld)


def _network(network: NetworkSnapshot) -> Iterator[Metric]:
    yield _by("endpoints", "Members of pools by how they are reached", "path", network.endpoints)
    yield _gauge("is_draining", "1 while all VIPs are withdrawn", network.is_draining)
    if not network.bird:
        return
    states = Counter(session.state for session in network.sessions)
    routes = {
        "learnt": sum(session.learnt for session in network.sessions),
        "refused": sum(session.refused for session in network.sessions),
        "told": sum(session.told for session in network.sessions),
    }
    yield _by("bgp_sessions", "Sessions by state (RFC 4271)", "state", states)
    yield _by("bgp_routes", "Routes over all sessions", "what", routes)
    yield _by("route_findings", "Routes that are not as they shall be", "kind", network.findings)
    yield _gauge(
        "announced_vips", "Addresses that routers upstream hear of", len(network.announced)
    )


def _status(writer: WriterMetrics) -> Iterator[Metric]:
    writes = CounterMetricFamily(
        "onehop_status_requests", "Requests that write back", labels=["kind", "outcome"]
    )
    for (kind, outcome), count in writer.requests.items():
        writes.add_metric([kind, outcome], count)
    yield writes
    yield CounterMetricFamily(
        "onehop_status_repairs", "Foreign changes to our status undone", value=writer.repairs
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"onehop_{name}", text, value=float(value))


def _by(name: str, text: str, label: str, counts: Counts) -> Metric:
    family = GaugeMetricFamily(f"onehop_{name}", text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
