"""`onehop cert` beside an onehop that orders from the test CA; without root."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from onehop.lab.ca import Ca, CaOptions, running_ca
from tests.e2e.loopback import HTTP, HTTPS, VIP, Folder, folder_in
from tests.e2e.objects import Json, ingress
from tests.e2e.program import Ended, Onehop, onehop, running
from tests.e2e.waiting import until

pytestmark = [pytest.mark.envoy, pytest.mark.usefixtures("quiet")]

ISSUED_S = 30.0


class World(NamedTuple):
    """A folder, a CA that looks at the shared address, and an onehop between them."""

    folder: Folder
    ca: Ca
    program: Onehop

    async def cert(self, *arguments: str) -> Ended:
        """Run a command of `onehop cert`."""
        return await onehop("cert", *arguments, "--config", str(self.program.config_file))

    async def listed(self) -> dict[str, Any]:
        """Return what is said of each Secret."""
        said = json.loads((await self.cert("list", "-o", "json")).out)
        return {each["secret"]: each for each in said["certificates"]}

    async def is_valid(self, secret: str) -> bool:
        """Tell whether a Secret holds what its Ingress asks for."""
        found = (await self.listed()).get(secret)
        return found is not None and found["standing"] == "valid"


@pytest.fixture
async def world(quiet: None, tmp_path: Path) -> AsyncGenerator[World]:
    assert quiet is None
    options = CaOptions(target=VIP, http_port=HTTP, tls_port=HTTPS)
    async with running_ca(options) as ca, folder_in(tmp_path) as folder:
        root = tmp_path / "ca.pem"
        root.write_text(ca.root_pem)
        issuer = {"name": "internal", "directory": ca.directory, "caFile": str(root)}
        config = folder.config() | {"acme": {"issuers": [issuer], "preflight": False}}
        async with running(tmp_path / "a", config) as program:
            yield World(folder, ca, program)


def _asking(name: str, *hosts: str) -> Json:
    one = ingress(name, hosts[0], secret=f"{name}-tls")
    one["metadata"]["annotations"] = {"onehop.dev/acme": "true"}
    one["spec"]["tls"] = [{"hosts": list(hosts), "secretName": f"{name}-tls"}]
    return one


async def _until_valid(world: World, secret: str) -> None:
    async def is_valid() -> bool:
        return await world.is_valid(secret)

    await until(is_valid, f"{secret} is valid", timeout_s=ISSUED_S)


async def test_an_ordered_certificate_can_be_followed(world: World) -> None:
    """In the list, in the story of its host, in the status, in the explanation of a URL."""
    world.folder.write("one.yaml", _asking("one", "one.example.com", "www.one.example.com"))
    await _until_valid(world, "shop/one-tls")

    report = (await world.listed())["shop/one-tls"]
    why = await world.cert("why", "www.one.example.com")
    config = ("--config", str(world.program.config_file))
    status = await onehop("status", *config)
    explained = await onehop("explain", "https://one.example.com/", *config)

    assert report["issuer"] == "internal"
    assert report["next"].endswith("(the CA's window, RFC 9773)")
    assert report["shown"]["names"] == ["one.example.com", "www.one.example.com"]
    assert (why.code, "clients see a valid certificate" in why.out) == (0, True)
    assert "1 valid; next to end shop/one-tls" in status.out
    assert "ordered from internal (valid)" in explained.out


async def test_a_renewal_brings_another_certificate(world: World) -> None:
    """By the host, though the old one is good; issuing lets it be."""
    world.folder.write("one.yaml", _asking("one", "one.example.com"))
    await _until_valid(world, "shop/one-tls")
    before = (await world.listed())["shop/one-tls"]["shown"]["fingerprint"]

    async def is_new() -> bool:
        shown = (await world.listed())["shop/one-tls"]["shown"]
        return bool(shown["fingerprint"] != before)

    spared = await world.cert("issue", "one.example.com")
    renewed = await world.cert("renew", "one.example.com")
    await until(is_new, "another certificate is shown", timeout_s=ISSUED_S)

    assert (spared.code, spared.out) == (0, "")
    assert (renewed.code, renewed.out.splitlines()[0]) == (0, "shop/one-tls: begun")


async def test_a_wish_that_cannot_be_had_says_why(world: World) -> None:
    """Exit code 1, the reason in plain words, and nothing else suffers."""
    world.folder.write("one.yaml", _asking("one", "one.example.com"))
    world.folder.write("wild.yaml", _asking("wild", "*.wild.example.com"))
    await _until_valid(world, "shop/one-tls")

    why = await world.cert("why", "a.wild.example.com")
    listed = await world.cert("list")

    assert why.code == listed.code == 1
    assert "has no DNS solver" in why.out
    assert "shop/wild-tls" in listed.out
