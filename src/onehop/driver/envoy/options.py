"""What the operator may say about the embedded Envoy."""

from pathlib import Path

import msgspec


class EnvoyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How Envoy is run; what it serves comes from the Model.

    Attributes:
        state_dir: holds the sockets and the bootstrap; made with mode 0700. Its path must be
            short: a Unix socket's path has room for 107 bytes.
        concurrency: worker threads; None is one for each CPU.
        access_log: a file, `-` for standard output, or None for no access log; JSON lines.
        max_heap_bytes: above 95 % of it Envoy takes no new requests, above 85 % it sheds idle
            connections; None is no limit.
        max_connections: downstream, over all listeners; what comes beyond is closed at once.
        drain_grace_s: how long requests in flight may go on after their listener or pool went.
        stop_grace_s: how long open connections may go on when onehop stops.
        start_timeout_s: how long Envoy may take to come up and connect.
        listener_retry_s: how often a refused listener is tried again: its port may be free now.
        log_level: of Envoy's own log: trace, debug, info, warning, error, critical, off.
    """

    state_dir: Path
    concurrency: int | None = None
    access_log: str | None = None
    max_heap_bytes: int | None = None
    max_connections: int = 50_000
    drain_grace_s: float = 15.0
    stop_grace_s: float = 5.0
    start_timeout_s: float = 15.0
    listener_retry_s: float = 5.0
    log_level: str = "warning"

    @property
    def xds_socket(self) -> Path:
        """Where Envoy asks us."""
        return self.state_dir / "xds.sock"

    @property
    def admin_socket(self) -> Path:
        """Where we ask Envoy."""
        return self.state_dir / "admin.sock"

    @property
    def bootstrap_file(self) -> Path:
        """What Envoy is started with."""
        return self.state_dir / "bootstrap.json"
