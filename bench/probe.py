"""Asking one host again and again over one connection, as cheaply as a socket allows."""

import socket
from types import TracebackType
from typing import Final, NamedTuple, Self

_TIMEOUT_S: Final = 5.0
_READ_BYTES: Final = 65536


class Answer(NamedTuple):
    """A response; status 0 is a connection that failed or an answer that was none."""

    status: int
    body: bytes


NOTHING: Final = Answer(0, b"")


class Probe:
    """A keep-alive connection to one address; made when needed, made anew when it breaks."""

    def __init__(self, address: str, port: int = 80) -> None:
        self._to = (address, port)
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next question opens one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, host: str, path: str = "/") -> Answer:
        """Ask, and wait for the whole answer."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._to, _TIMEOUT_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return self._read(self._socket)
        except (OSError, ValueError):
            self.close()
            return NOTHING

    def _read(self, connection: socket.socket) -> Answer:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _more(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        length = content_length(head)
        while len(body) < length:
            body += _more(connection)
        if b"connection: close" in head.lower():
            self.close()
        return Answer(int(head[9:12]), body)


def content_length(head: bytes) -> int:
    """Return what a response's head says of its body; 0 when it says nothing."""
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(_READ_BYTES)
    if not data:
        raise ConnectionError("the other side has closed")
    return data


def status_of(address: str, host: str, path: str = "/") -> int:
    """Return what a request on a new connection is answered; 0 when it is not."""
    with Probe(address) as probe:
        return probe.ask(host, path).status
