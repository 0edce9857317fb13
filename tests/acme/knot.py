"""A real name server that takes updates signed by a key."""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Final

from tests.acme.pebble import free_ports, running

_KNOT: Final = """
server:
    listen: 127.0.0.1@{port}
    rundir: {folder}
database:
    storage: {folder}/db
key:
  - id: onehop
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: ours
    key: onehop
    action: update
zone:
  - domain: example.com
    storage: {folder}
    zonefile-sync: -1
    acl: ours
"""
TSIG: Final = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="


@contextlib.contextmanager
def running_knot(folder: Path) -> Generator[int]:
    """Run Knot DNS with one zone that a key may update; yields its port."""
    (port,) = free_ports(1)
    records = ("@ 60 SOA ns hostmaster 1 60 60 600 60", "@ 60 NS ns", "ns A 127.0.0.1")
    (folder / "example.com.zone").write_text("\n".join(("$ORIGIN example.com.", *records, "")))
    (folder / "db").mkdir()
    (folder / "knot.conf").write_text(_KNOT.format(port=port, folder=folder, secret=TSIG))
    with running(("knotd", "-c", str(folder / "knot.conf")), {}, port):
        yield port
