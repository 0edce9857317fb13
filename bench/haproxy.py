"""What HAProxy says of itself, asked by its own sockets: the product's word is not taken for it.

The master's socket answers by itself, and passes on what is for the worker that serves now (`@1`):
https://docs.haproxy.org/2.6/management.html#9.4
"""

import socket
from collections import defaultdict
from pathlib import Path
from typing import Final

from bench.child import until

_TIMEOUT_S: Final = 10.0
_AT_ONCE_S: Final = 0.02
_COLUMNS: Final = 19
"""Of `show servers state`, up to the port."""


class Master:
    """The master of a product's HAProxy.

    Args:
        state: the product's state directory.
    """

    def __init__(self, state: Path) -> None:
        self._socket = state / "haproxy" / "master.sock"

    def ask(self, command: str) -> str:
        """Return the answer to a command; while it executes itself anew, it is waited for.

        Raises:
            ChildFailed: there is none.
        """
        answers: list[str] = []

        def is_answered() -> bool:
            answers.extend(self._try(command, _TIMEOUT_S))
            return bool(answers)

        until(is_answered, _TIMEOUT_S, "HAProxy's master", every_s=0.005)
        return answers[0]

    def reloads(self) -> int:
        """Return how often it has been told to load its configuration anew."""
        return _reloads(self.ask("show proc"))

    def reloads_if_known(self) -> int | None:
        """Return the same without waiting; None while it is being reloaded."""
        answers = self._try("show proc", _AT_ONCE_S)
        return _reloads(answers[0]) if answers else None

    def worker(self) -> int:
        """Return the process that takes new connections."""
        rows = _table(self.ask("show proc"))
        return next(int(words[0]) for words in rows if words[1] == "worker")

    def servers(self) -> dict[str, frozenset[str]]:
        """Return the servers that get new work, by backend; a backend without any is left out.

        Those in maintenance or draining (`srv_admin_state`), or of weight 0, get none:
        https://docs.haproxy.org/2.6/management.html#9.3-show%20servers%20state
        """
        found: dict[str, set[str]] = defaultdict(set)
        for line in self.ask("@1 show servers state").splitlines():
            words = line.split()
            if len(words) < _COLUMNS or line.startswith("#"):
                continue
            address, admin_state, weight, port = words[4], words[6], words[7], words[18]
            if admin_state == "0" and weight != "0":
                found[words[1]].add(f"{address}:{port}")
        return {backend: frozenset(servers) for backend, servers in found.items()}

    def _try(self, command: str, timeout_s: float) -> list[str]:
        """Return the answer, or nothing if there is none."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout_s)
                connection.connect(str(self._socket))
                connection.sendall(f"{command}\n".encode())
                connection.shutdown(socket.SHUT_WR)  # it waits for more commands otherwise
                answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        except OSError:
            return []
        return [answer] if answer.strip() else []


def _reloads(processes: str) -> int:
    return next(int(words[2]) for words in _table(processes) if words[1] == "master")


def _table(processes: str) -> list[list[str]]:
    """Return the rows of `show proc`, those that serve before the old ones."""
    lines = (line.split() for line in processes.splitlines())
    return [words for words in lines if len(words) > 2 and words[0].isdigit()]
