"""What the operator may say about HAProxy."""

from pathlib import Path

import msgspec

from onehop.driver.haproxy.place import Place


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A HAProxy that somebody else runs, and that reads our folder beside files of theirs.

    Attributes:
        master: the socket on which its master takes commands (`-S`).
        uid: who may speak to its workers by the socket that we declare: us.
    """

    master: Path
    uid: int


class HaproxyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How HAProxy is run; what it serves comes from the Model.

    Attributes:
        state_dir: holds the configuration, maps, keys and sockets; made with mode 0700. Its path
            must be short: a Unix socket's path has room for 107 bytes.
        binary: what is started; found on PATH unless it is a path itself.
        threads: None is one for each CPU.
        max_connections: of clients, over all listeners; what comes beyond waits.
        old_worker_s: how long the connections of a replaced worker may go on, WebSockets too.
        stop_grace_s: how long open connections may go on when onehop stops.
        start_timeout_s: how long a worker may take to come up.
        answer_timeout_s: how long a worker may take to answer a command.
        watch_s: how often a part of what the worker has is compared with what it was told.
        files_after_s: how long after an edit the files say so, which nobody reads as a rule.
        listener_retry_s: how often a refused listener is tried again: its port may be free now.
        silent_s: how long something may be under way, unacknowledged, to an endpoint that has gone.
        is_privileged: whether HAProxy runs as root, and may bind addresses of either family that
            are not there yet.
        attached: None for a HAProxy of our own; `state_dir` is the folder that another one reads
            besides what else it reads.
    """

    state_dir: Path
    binary: str = "haproxy"
    threads: int | None = None
    max_connections: int = 50_000
    old_worker_s: float = 3600.0
    stop_grace_s: float = 5.0
    start_timeout_s: float = 15.0
    answer_timeout_s: float = 10.0
    watch_s: float = 2.0
    files_after_s: float = 1.0
    listener_retry_s: float = 5.0
    silent_s: float = 15.0
    is_privileged: bool = False
    attached: Attachment | None = None

    @property
    def place(self) -> Place:
        """Where files and sockets are."""
        return Place(self.state_dir, is_shared=self.attached is not None)

    @property
    def config_file(self) -> Path:
        """What HAProxy reads at its start and at each reload."""
        return self.state_dir / "haproxy.cfg"

    @property
    def master_socket(self) -> Path:
        """Where the master takes commands."""
        return self.state_dir / "master.sock"
