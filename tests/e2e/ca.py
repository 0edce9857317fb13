"""A real CA in the network of a test: Pebble, which looks at the shared address."""

import base64
import contextlib
import ssl
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from tests.acme.pebble import Pebble, running_pebble
from tests.e2e.client import SHARED
from tests.e2e.objects import Json, ingress

ISSUER: Final = "pebble"


class Ca:
    """Pebble, and what is asked of it here."""

    def __init__(self, pebble: Pebble, folder: Path) -> None:
        self.pebble = pebble
        self._ca_file = folder / "pebble-ca.pem"
        self._ca_file.write_text(pebble.ca.ca_pem)

    def issuer(self, **more: Any) -> Json:
        """Return the issuer as onehop.yaml says it."""
        return {
            "name": ISSUER,
            "directory": self.pebble.directory,
            "caFile": str(self._ca_file),
            **more,
        }

    def config(self, **issuer: Any) -> Json:
        """Return the `acme` section; there is no DNS here that a preflight could ask."""
        return {"issuers": [self.issuer(**issuer)], "preflight": False}

    async def trust(self) -> ssl.SSLContext:
        """Return a client's context that trusts what this CA issues."""
        root = await self.pebble.manage("roots/0")
        return ssl.create_default_context(cadata=root)


@contextlib.asynccontextmanager
async def ca_in(
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    dns_port: int | None = None,
    dns_server: str | None = None,
) -> AsyncGenerator[Ca]:
    """Run Pebble and its DNS, which says that every host leads to the shared address.

    With another DNS server, that one says where hosts lead.
    """
    ports = {"httpPort": 80, "tlsPort": 443}
    folder.mkdir(exist_ok=True)
    with running_pebble(
        folder, config=ports, env=env, dns_port=dns_port, dns_server=dns_server
    ) as pebble:
        if pebble.dns:
            await pebble.set_dns("set-default-ipv4", ip=SHARED)
        yield Ca(pebble, folder)


def wishing(name: str, *hosts: str, acme: str = "true", **more: Any) -> Json:
    """Return an Ingress that asks for a certificate in the Secret `NAME-tls`."""
    one = ingress(name, hosts[0], secret=f"{name}-tls", **more)
    one["metadata"].setdefault("annotations", {})["onehop.dev/acme"] = acme
    one["spec"]["tls"] = [{"hosts": list(hosts), "secretName": f"{name}-tls"}]
    return one


def leaf_of(secret: Json) -> x509.Certificate:
    """Return the certificate that a Secret holds."""
    return x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
