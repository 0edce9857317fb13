"""Names and certificates, end to end: what is looked up before an order, and proofs by DNS."""

import ssl
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from tests.acme.knot import TSIG, running_knot
from tests.e2e.ca import Ca, ca_in, leaf_of, wishing
from tests.e2e.client import is_served
from tests.e2e.cluster import SECRETS, Cluster
from tests.e2e.objects import Json
from tests.e2e.program import Onehop, running
from tests.e2e.program import onehop as command
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]

ISSUED_S = 30.0
ELSEWHERE = "192.0.2.99"


@pytest.fixture
async def ca(pods: None, tmp_path: Path) -> AsyncGenerator[Ca]:
    """A CA; its DNS is what this network asks, by /etc/resolv.conf's usual port."""
    assert pods is None
    async with ca_in(tmp_path / "ca", dns_port=53) as one:
        yield one


@pytest.fixture
async def looking(cluster: Cluster, config: Json, ca: Ca, tmp_path: Path) -> AsyncGenerator[Onehop]:
    """A onehop that looks at hosts before it orders, with a resolv.conf of its own."""
    assert cluster.kubeconfig.exists()
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions attempts:1 timeout:2\n")
    mounted = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
    within = ("unshare", "--mount", "sh", "-c", mounted, "sh")
    settings = config | {"acme": ca.config() | {"preflight": True}}
    async with running(tmp_path / "a", settings, within=within) as program:
        yield program


async def test_nothing_is_ordered_for_a_host_that_leads_elsewhere(
    cluster: Cluster, looking: Onehop, ca: Ca
) -> None:
    """The owner reads where it leads, and once it is mended there is a certificate."""
    await ca.pebble.set_dns("add-a", host="lost.example.com", addresses=[ELSEWHERE])
    cluster.put(wishing("lost", "lost.example.com"), wishing("one", "one.example.com"))
    trust = await ca.trust()

    await until(
        partial(is_served, "one.example.com", trust), "the good one is served", timeout_s=ISSUED_S
    )
    await until(lambda: ELSEWHERE in cluster.said("lost", "CertificateNotIssued"), "it is told")
    why = await command("cert", "why", "lost.example.com", "--config", str(looking.config_file))
    await ca.pebble.set_dns("clear-a", host="lost.example.com")
    await command("cert", "issue", "lost.example.com", "--config", str(looking.config_file))
    await until(
        partial(is_served, "lost.example.com", trust), "the mended one is", timeout_s=ISSUED_S
    )

    assert why.code == 1
    assert ELSEWHERE in why.out
    # A refusal by the CA would have been logged: it was never asked for the lost one.
    assert not looking.logged("certificate_postponed")


async def test_a_wildcard_is_proven_by_dns(
    cluster: Cluster, pods: None, config: Json, tmp_path: Path
) -> None:
    """By updates to a real name server, signed with the key that a file holds."""
    assert pods is None
    folder = tmp_path / "knot"
    folder.mkdir()
    (tmp_path / "tsig").write_text(f"{TSIG}\n")
    with running_knot(folder) as port:
        solver = {
            "type": "rfc2136",
            "server": "127.0.0.1",
            "port": port,
            "tsigName": "onehop",
            "tsigSecretFile": str(tmp_path / "tsig"),
        }
        async with ca_in(tmp_path / "ca", dns_server=f"127.0.0.1:{port}") as ca:
            trust = await ca.trust()
            settings = config | {"acme": ca.config(solvers=[solver])}
            async with running(tmp_path / "a", settings):
                cluster.put(wishing("any", "*.example.com"))
                await _served("deep.example.com", trust)

    names = leaf_of(cluster.read(SECRETS, "any-tls")).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["*.example.com"]


async def _served(host: str, trust: ssl.SSLContext) -> None:
    await until(partial(is_served, host, trust), f"{host} has HTTPS", timeout_s=ISSUED_S)
