"""Where the files are that HAProxy reads."""

from pathlib import Path
from typing import Final

import msgspec

MAPS: Final = ("exact", "prefix", "host", "check", "way", "switch")
"""Two kinds of paths, names of hosts, hosts whose clients are checked, ways of connections by SNI,
and what is said to all; none points at what comes later."""


class Place(msgspec.Struct, frozen=True):
    """A folder, and the names in it; rendering is pure, so nothing here looks at the disk."""

    folder: Path

    def map(self, name: str) -> str:
        """Return the path of one of `MAPS`."""
        return f"{self.folder}/{name}.map"

    def list(self, name: str) -> str:
        """Return the path of a list of certificates (`crt-list`)."""
        return f"{self.folder}/{name}.list"

    def pem(self, name: str) -> str:
        """Return the path of a certificate with its key, or of a CA."""
        return f"{self.folder}/{name}.pem"

    def socket(self, name: str) -> str:
        """Return the path of a socket between two frontends."""
        return f"{self.folder}/{name}.sock"
