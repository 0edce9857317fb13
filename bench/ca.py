"""The CA of the certificate rows: Pebble, at full speed, looking at the bench's own addresses.

The parts are those of the tests: `tests.acme.pebble` starts it, `tests.acme.proxy` stands before it
where a row wants to see, or to spoil, what it is asked.
"""

import contextlib
import ssl
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

from bench.namespace import PRODUCT_VIP
from tests.acme.pebble import Pebble, running_pebble
from tests.acme.proxy import Proxy, proxied

DIRECT: Final = "pebble"
SEEN: Final = "seen"
"""Issuers, as the product knows them: Pebble itself, and by way of a proxy that notes times."""

_ORDERED: Final = "POST /order-plz "


class Ca:
    """A running Pebble.

    Attributes:
        proxy: leads to it as well.
        ca_file: whom a client of both has to trust.
    """

    def __init__(self, pebble: Pebble, proxy: Proxy, folder: Path) -> None:
        self.pebble = pebble
        self.proxy = proxy
        self.log = folder / "pebble.log"
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_text(pebble.ca.ca_pem)

    def section(self) -> dict[str, Any]:
        """Return the `acme` section of a product's configuration.

        Nobody asks before an order whether a host's name leads to us: Pebble's names are not in the
        DNS that the machine uses.
        """
        directories = {DIRECT: self.pebble.directory, SEEN: self.proxy.directory}
        issuers = [
            {"name": name, "directory": directory, "caFile": str(self.ca_file)}
            for name, directory in directories.items()
        ]
        return {"issuers": issuers, "preflight": False}

    async def trust(self) -> ssl.SSLContext:
        """Return a client's context that trusts what this CA issues, and nothing else."""
        return ssl.create_default_context(cadata=await self.pebble.manage("roots/0"))

    async def lead(self, host: str, address: str) -> None:
        """Have the CA find a host at an address of its own."""
        await self.pebble.set_dns("add-a", host=host, addresses=[address])

    def orders(self) -> int:
        """Return how often newOrder was asked for, whatever was answered."""
        return self.log.read_text(errors="replace").count(_ORDERED)


@contextlib.asynccontextmanager
async def running_ca() -> AsyncGenerator[Ca]:
    """Run Pebble; it finds every host at the product unless told otherwise."""
    with tempfile.TemporaryDirectory(prefix="ohp-") as name:
        folder = Path(name)
        ports = {"httpPort": 80, "tlsPort": 443}
        with running_pebble(folder, config=ports, log=folder / "pebble.log") as pebble:
            await pebble.set_dns("set-default-ipv4", ip=PRODUCT_VIP)
            async with proxied(pebble) as proxy:
                yield Ca(pebble, proxy, folder)
