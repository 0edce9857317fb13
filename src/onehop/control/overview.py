"""What the running program says of itself: to health checks, scrapes and `onehop status`."""

from typing import Protocol

import msgspec

from onehop.control.certificates.report import (
    CertificateList,
    CertificateSummary,
    HostStory,
    Renewal,
)
from onehop.control.explain.explanation import Answer
from onehop.model.problem import Problem


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A BGP session, as `onehop status` shows it.

    Attributes:
        role: `node`, `reflector` or `upstream`.
        state: `established`, `active`, `connect`, ... (RFC 4271, section 8.2.2).
        learnt, refused, told: routes.
        error: what it ended with last; empty if nothing.
    """

    name: str
    role: str
    address: str
    asn: int
    state: str
    learnt: int
    refused: int
    told: int
    error: str = ""

    @property
    def is_up(self) -> bool:
        """Tell whether routes are exchanged."""
        return self.state == "established"


class NetworkSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The ways to Pods, and to us.

    Attributes:
        endpoints: by rung.
        announced: VIPs that routers upstream hear of.
        bird: its version; empty where no BGP is spoken.
        findings: routes that are missing, hijacked or stale, by kind.
    """

    endpoints: dict[str, int]
    is_draining: bool = False
    announced: tuple[str, ...] = ()
    bird: str = ""
    sessions: tuple[Session, ...] = ()
    findings: dict[str, int] = {}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state at one moment.

    Attributes:
        served: rows the data plane has been given, by table.
        withheld: removals beyond the deletion budget that wait for `onehop confirm`, by table.
        data_plane: what the driver says of itself.
        switch: which switch to another data plane is under way, and how far; empty if none is.
        beside: what other data planes say that run now, by name: one that comes, those that end.
    """

    version: str
    driver: str
    source: str
    is_synced: bool
    is_ready: bool
    is_leader: bool
    served: dict[str, int]
    withheld: dict[str, int]
    problems: tuple[Problem, ...]
    data_plane: dict[str, str]
    switch: str = ""
    beside: dict[str, dict[str, str]] = {}
    network: NetworkSnapshot
    certificates: CertificateSummary = CertificateSummary()


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a wish for another data plane.

    Attributes:
        is_done: whether what the file asks for serves now.
        driver: what serves now.
        said: the outcome in words.
        restart: sections of the file that differ as well, and wait for a restart.
    """

    is_done: bool
    driver: str
    said: str
    restart: tuple[str, ...] = ()


class Overview(Protocol):
    """The running program, as its faces see it."""

    def is_ready(self) -> bool:
        """Tell whether all lists have been read and the data plane has taken the outcome."""
        ...

    def snapshot(self) -> Snapshot:
        """Return the present state."""
        ...

    def render_metrics(self) -> bytes:
        """Return all series in Prometheus' text format."""
        ...

    async def drain(self, *, is_draining: bool) -> None:
        """Send clients to other hosts, and then withdraw all VIPs; or take part again."""
        ...

    async def explain(self, target: str) -> Answer:
        """Return the way to a URL, a Service or an Ingress."""
        ...

    def certificates(self) -> CertificateList:
        """Return how each certificate is doing."""
        ...

    def why(self, host: str) -> HostStory:
        """Return how a host comes to its certificate, or why it does not."""
        ...

    def renew(self, names: tuple[str, ...], *, spares_valid: bool) -> Renewal:
        """Get new certificates now; see `control.certificates.renewal`."""
        ...

    async def switch(self, *, force: bool) -> Switched:
        """Serve by the data plane that the file names now."""
        ...

    def confirm(self) -> int:
        """Let go what the deletion gate keeps back; return how many removals that are."""
        ...
