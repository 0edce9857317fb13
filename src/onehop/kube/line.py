"""Splitting a watch stream into lines, however long they are.

A slice of a hundred endpoints is a line of 25 kB and arrives in pieces; asyncio's `readline` has a
limit and rescans what it has, so we keep the pieces and join them once, when the line is whole.
"""

from typing import Final

from onehop.base.errors import KubeUnavailable

LONGEST_LINE_BYTES: Final = 64 * 1024 * 1024
"""etcd refuses objects above 1.5 MB; what is longer than this is no watch event."""


class LineSplitter:
    """Cuts a stream of chunks into lines; an unfinished line waits for its rest."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that this chunk completes, without their ends; empty ones are dropped.

        Raises:
            KubeUnavailable: the line does not end; whoever is talking, it is not an API server.
        """
        lines = chunk.split(b"\n")
        tail = lines.pop()
        if lines:
            lines[0] = b"".join([*self._pieces, lines[0]])
            self._pieces = []
            self._size_bytes = 0
        if tail:
            self._pieces.append(tail)
            self._size_bytes += len(tail)
        if self._size_bytes > LONGEST_LINE_BYTES:
            raise KubeUnavailable(f"watch: a line of more than {LONGEST_LINE_BYTES} bytes")
        return [line for line in lines if line.strip()]
