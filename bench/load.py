"""`python -m bench.load ADDRESS HOST PATH RATE SECONDS`: requests on a timetable (open loop).

A request leaves when it is due, whatever became of the others: on an idle connection, or on a new
one. Its latency counts from when it was due, so a stall is charged with all it delayed
(coordinated omission). Anything but a whole 200 is a failure; an answer may ask for the connection
to be closed, as that of a worker does that is replaced. Prints one line of JSON.
"""

import json
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from itertools import cycle
from typing import Final

from bench.probe import content_length
from bench.row import spread_ms

_TICK_S: Final = 0.001
_MOST_CONNECTIONS: Final = 512
_LAST_ANSWERS_S: Final = 5.0
UNSENT: Final = "all connections busy"


class _Connection:
    def __init__(self, address: str) -> None:
        self.socket = socket.create_connection((address, 80), _LAST_ANSWERS_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.data = b""


class OpenLoop:
    """One timetable of requests.

    Args:
        address: where to.
        requests: sent in turn.
        answered: is told of each whole 200.
        most: connections at once; a request that finds none is a failure.
    """

    def __init__(
        self,
        address: str,
        requests: Iterable[bytes],
        answered: Callable[[bytes], None],
        *,
        most: int = _MOST_CONNECTIONS,
    ) -> None:
        self._address = address
        self._requests = cycle(requests)
        self._answered = answered
        self._most = most
        self._idle: deque[_Connection] = deque()
        self._busy: dict[int, _Connection] = {}
        self._selector = selectors.DefaultSelector()
        self.latencies_s: list[float] = []
        self.failures: Counter[str] = Counter()

    def run(self, rate: float, lasts_s: float) -> None:
        """Send for so long, then wait for what is still on its way."""
        began = time.monotonic()
        count = int(rate * lasts_s)
        for number in range(count):
            due = began + number / rate
            while (left_s := due - time.monotonic()) > 0:
                self._receive(min(left_s, _TICK_S))
            self._send(due)
            self._receive(0)
        deadline = time.monotonic() + _LAST_ANSWERS_S
        while self._busy and time.monotonic() < deadline:
            self._receive(_TICK_S)
        self.failures["no answer"] += len(self._busy)

    def _send(self, due: float) -> None:
        request = next(self._requests)
        if not self._idle and len(self._busy) >= self._most:
            self.failures[UNSENT] += 1
            return
        try:
            connection = self._idle.popleft() if self._idle else _Connection(self._address)
            connection.due, connection.data = due, b""
            connection.socket.sendall(request)
        except OSError as error:
            self.failures[type(error).__name__] += 1
            return
        self._busy[connection.socket.fileno()] = connection
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _receive(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            connection: _Connection = key.data
            try:
                data = connection.socket.recv(65536)
            except OSError:
                data = b""
            connection.data += data
            if not data:
                self._finish(connection, "connection closed")
            elif self._is_whole(connection.data):
                self._finish(connection, "")

    @staticmethod
    def _is_whole(data: bytes) -> bool:
        head, blank, body = data.partition(b"\r\n\r\n")
        return bool(blank) and len(body) >= content_length(head)

    def _finish(self, connection: _Connection, failure: str) -> None:
        self._selector.unregister(connection.socket)
        del self._busy[connection.socket.fileno()]
        status = connection.data[9:12].decode(errors="replace")
        if failure or status != "200":
            self.failures[failure or status] += 1
            connection.socket.close()
            return
        self.latencies_s.append(time.monotonic() - connection.due)
        self._answered(connection.data)
        if b"\nconnection: close" in connection.data.partition(b"\r\n\r\n")[0].lower():
            connection.socket.close()
        else:
            self._idle.append(connection)


def request_for(host: str, path: str) -> bytes:
    """Return the request of a client of a host."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def main() -> None:
    """Run, and print what came of it."""
    address, host, path, rate, lasts_s = sys.argv[1:]
    backends: Counter[str] = Counter()

    def answered(data: bytes) -> None:
        backends[data.rpartition(b"\r\n")[2].decode()] += 1

    loop = OpenLoop(address, [request_for(host, path)], answered)
    loop.run(float(rate), float(lasts_s))
    print(
        json.dumps(
            {
                "requests": len(loop.latencies_s) + loop.failures.total(),
                "failures": dict(loop.failures),
                "backends": len(backends),
                **spread_ms(loop.latencies_s),
            }
        )
    )


if __name__ == "__main__":
    main()
