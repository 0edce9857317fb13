"""Where the files are that HAProxy reads."""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

MAPS: Final = ("case", "made", "route", "check", "way", "switch")
"""Routes by what was chosen, for whom connections are made, routes by host and path, hosts whose
clients are checked, ways of connections by SNI, and what is said to all; none points at what comes
later."""


class Place(msgspec.Struct, frozen=True):
    """A folder, and the names in it; rendering is pure, so nothing here looks at the disk.

    Attributes:
        is_shared: whether a HAProxy of somebody else reads it, who may have chosen `chroot` and
            `user`: its workers reach no file after they have started.
    """

    folder: Path
    is_shared: bool = False

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
        """Return the address of a socket between two frontends.

        In the abstract namespace there is no file to be reached, and no mode that keeps others out.
        """
        if not self.is_shared:
            return f"unix@{self.folder}/{name}.sock"
        mark = hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]
        return f"abns@onehop-{mark}-{name}"
