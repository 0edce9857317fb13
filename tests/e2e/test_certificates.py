"""Certificates by themselves, end to end: an Ingress asks, a real CA looks, clients see HTTPS."""

import ssl
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.e2e.authority import Authority
from tests.e2e.ca import Ca, ca_in, leaf_of, wishing
from tests.e2e.client import Target, ask, is_served, steady
from tests.e2e.cluster import INGRESSES, SECRETS, Cluster
from tests.e2e.conftest import WEB_PODS
from tests.e2e.objects import Json, endpoints, ingress, ingress_class, service
from tests.e2e.program import Onehop, running, write_config
from tests.e2e.program import onehop as command
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]

ISSUED_S = 30.0
MARK = "app.kubernetes.io/managed-by"


@pytest.fixture
async def ca(pods: None, tmp_path: Path) -> AsyncGenerator[Ca]:
    """A CA that looks at the shared address."""
    assert pods is None
    async with ca_in(tmp_path / "ca") as one:
        yield one


@pytest.fixture
async def trust(ca: Ca) -> ssl.SSLContext:
    """A client that trusts it."""
    return await ca.trust()


@pytest.fixture
def acme_config(config: Json, ca: Ca) -> Json:
    """What onehop is told in these tests."""
    return config | {"acme": ca.config()}


@pytest.fixture
async def issuing(cluster: Cluster, acme_config: Json, tmp_path: Path) -> AsyncGenerator[Onehop]:
    """A running onehop that knows the CA."""
    assert cluster.kubeconfig.exists()
    async with running(tmp_path / "a", acme_config) as program:
        yield program


async def served(host: str, trust: ssl.SSLContext) -> None:
    await until(partial(is_served, host, trust), f"{host} has HTTPS", timeout_s=ISSUED_S)


async def test_an_ingress_gets_a_certificate(
    cluster: Cluster, issuing: Onehop, trust: ssl.SSLContext
) -> None:
    """One annotation is enough: the Secret is made, marked as ours, shown, and the owner told."""
    cluster.put(wishing("one", "one.example.com", "www.one.example.com"))

    await served("one.example.com", trust)
    await until(lambda: cluster.said("one", "CertificateIssued"), "the owner is told")
    await until(lambda: issuing.logged("certificate_issued"), "it is logged")
    secret = cluster.read(SECRETS, "one-tls")

    assert secret["type"] == "kubernetes.io/tls"
    assert secret["metadata"]["labels"][MARK] == "onehop"
    assert (await ask("one.example.com")).status == 200  # by HTTP, and no redirect was asked for
    assert len(issuing.logged("certificate_issued")) == 1


async def test_a_secret_of_somebody_else_is_never_touched(
    cluster: Cluster, issuing: Onehop
) -> None:
    """It is shown as it is, and the owner is told why nothing is ordered."""
    authority = Authority()
    theirs = authority.secret("one-tls", "one.example.com")
    cluster.put(theirs)
    before = cluster.read(SECRETS, "one-tls")
    cluster.put(wishing("one", "one.example.com"))

    await served("one.example.com", authority.client())
    await until(lambda: "not ours" in cluster.said("one"), "the owner is told")

    assert cluster.read(SECRETS, "one-tls") == before
    assert not issuing.logged("certificate_issued")


async def test_a_deleted_secret_is_ordered_anew(
    cluster: Cluster, issuing: Onehop, trust: ssl.SSLContext
) -> None:
    """At once, and clients see the last good certificate meanwhile."""
    cluster.put(wishing("one", "one.example.com"))
    await served("one.example.com", trust)
    first = leaf_of(cluster.read(SECRETS, "one-tls")).serial_number
    cluster.remove(SECRETS, "one-tls")

    def is_new() -> bool:
        found = cluster.find(SECRETS, "one-tls")
        return found is not None and leaf_of(found).serial_number != first

    await until(is_new, "another certificate is there", timeout_s=ISSUED_S)
    await served("one.example.com", trust)

    assert issuing.process.returncode is None


async def test_a_renewal_fails_no_request(
    cluster: Cluster, issuing: Onehop, trust: ssl.SSLContext
) -> None:
    """Asked for by hand: a new key and a new certificate, while clients go on."""
    cluster.put(wishing("one", "one.example.com"))
    await served("one.example.com", trust)
    first = leaf_of(cluster.read(SECRETS, "one-tls"))
    async with steady(Target("one.example.com", tls=trust)) as requests:
        said = await command(
            "cert", "renew", "one.example.com", "--config", str(issuing.config_file)
        )

        def renewed() -> bool:
            return leaf_of(cluster.read(SECRETS, "one-tls")).serial_number != first.serial_number

        await until(renewed, "it is renewed", timeout_s=ISSUED_S)
        await requests.some_more(20)

    assert said.code == 0, said.err
    assert leaf_of(cluster.read(SECRETS, "one-tls")).public_key() != first.public_key()


async def test_a_restart_orders_nothing(
    cluster: Cluster, acme_config: Json, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    """What is in the Secrets is all that has to be known."""
    async with running(tmp_path / "a", acme_config) as first:
        cluster.put(wishing("one", "one.example.com"))
        await served("one.example.com", trust)
        await until(lambda: first.logged("certificate_issued"), "it is issued")
        serial = leaf_of(cluster.read(SECRETS, "one-tls")).serial_number
    async with running(tmp_path / "a", acme_config) as second:
        cluster.put(wishing("two", "two.example.com"))
        await served("two.example.com", trust)
        await until(lambda: len(second.logged("certificate_issued")) == 2, "it says so")

        assert [line["object"] for line in second.logged("certificate_issued")] == [
            "Secret/shop/one-tls",  # by the first: they share a log
            "Secret/shop/two-tls",
        ]
        assert leaf_of(cluster.read(SECRETS, "one-tls")).serial_number == serial


async def test_tenants_keep_their_challenge_paths(
    cluster: Cluster, issuing: Onehop, trust: ssl.SSLContext
) -> None:
    """A tenant may route all of /.well-known/, redirect it, or close it: live tokens are ours."""
    mine = wishing("one", "one.example.com", allow_sources="198.51.100.0/24")
    greedy = mine["spec"]["rules"][0]["http"]["paths"]
    greedy.append(greedy[0] | {"path": "/.well-known/acme-challenge/"})
    cluster.put(mine, wishing("two", "two.example.com", ssl_redirect="true"))

    await until(lambda: len(issuing.logged("certificate_issued")) == 2, "both are issued")
    await served("two.example.com", trust)
    closed = await ask("one.example.com", path="/.well-known/acme-challenge/unknown")

    assert closed.status == 403


async def test_tls_alpn_proves_a_host_without_http(
    cluster: Cluster, config: Json, ca: Ca, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    """And clients of other hosts notice nothing of it."""
    solver = {"solvers": [{"type": "tls-alpn-01"}]}
    async with running(tmp_path / "a", config | {"acme": ca.config(**solver)}):
        cluster.put(wishing("one", "one.example.com"))
        await served("one.example.com", trust)
        async with steady(Target("one.example.com", tls=trust)) as requests:
            cluster.put(wishing("two", "two.example.com"))
            await served("two.example.com", trust)
            await requests.some_more()


async def test_a_folder_of_manifests_gets_certificates_too(
    config: Json, ca: Ca, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    """Keys are kept below the state directory, over restarts."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    objects = [ingress_class(), service(), endpoints("web", WEB_PODS["web-1"])]
    objects.append(wishing("one", "one.example.com"))
    (folder / "shop.yaml").write_text(yaml.safe_dump_all(objects))
    settings = config | {"acme": ca.config(), "cluster": {"manifests": str(folder)}}
    async with running(tmp_path / "a", settings) as first:
        await served("one.example.com", trust)
        await until(lambda: first.logged("certificate_issued"), "it is issued")
    async with running(tmp_path / "a", settings) as second:
        await served("one.example.com", trust)

        assert len(second.logged("certificate_issued")) == 1  # by the first: they share a log


async def test_a_failing_name_does_not_hold_up_others(
    cluster: Cluster, issuing: Onehop, ca: Ca, trust: ssl.SSLContext
) -> None:
    """The CA finds one host elsewhere; its owner is told, the other is served."""
    await ca.pebble.set_dns("add-a", host="lost.example.com", addresses=["192.0.2.99"])
    cluster.put(wishing("lost", "lost.example.com"), wishing("one", "one.example.com"))

    await served("one.example.com", trust)
    await until(
        lambda: cluster.said("lost", "CertificateNotIssued"),
        "the owner is told",
        timeout_s=ISSUED_S,
    )

    await until(lambda: issuing.logged("certificate_issued"), "one is issued")
    assert [line["object"] for line in issuing.logged("certificate_issued")] == [
        "Secret/shop/one-tls"
    ]


async def test_an_ingress_of_another_class_orders_nothing(
    cluster: Cluster, issuing: Onehop, trust: ssl.SSLContext
) -> None:
    """Nor does one that does not ask."""
    quiet = ingress("quiet", "quiet.example.com", secret="quiet-tls")
    foreign = wishing("foreign", "foreign.example.com")
    foreign["spec"]["ingressClassName"] = "nginx"
    cluster.put(quiet, foreign, wishing("one", "one.example.com"))

    await served("one.example.com", trust)
    await until(lambda: cluster.addresses(INGRESSES, "quiet"), "the quiet one is served")

    await until(lambda: issuing.logged("certificate_issued"), "one is issued")
    assert len(issuing.logged("certificate_issued")) == 1
    assert cluster.find(SECRETS, "foreign-tls") is None


async def test_a_check_before_the_start_asks_the_ca(
    cluster: Cluster, acme_config: Json, tmp_path: Path
) -> None:
    """And says what is wrong where it does not answer, before anything depends on it."""
    cluster.put(wishing("one", "one.example.com"))
    deaf = acme_config["acme"]["issuers"][0] | {"name": "deaf", "directory": "https://127.0.0.1:9"}
    acme_config["acme"]["issuers"].append(deaf)
    path, _ = write_config(tmp_path / "a", acme_config)

    said = await command("check", "--config", str(path))

    assert said.code == 1
    (good,) = (line for line in said.out.splitlines() if "issuer pebble" in line)
    (bad,) = (line for line in said.out.splitlines() if "issuer deaf" in line)
    assert "answers" in good
    assert "Connect call failed" in bad


async def test_another_host_goes_on_where_the_leader_stopped(
    cluster: Cluster, acme_config: Json, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    """Both answer the CA, one orders; it is stopped in the midst, and the other one issues."""
    second_config = acme_config | {"listen": {"metrics": "127.0.0.1:9081"}}
    async with running(tmp_path / "a", acme_config) as first:
        await until(lambda: first.logged("leading"), "the first leads")
        async with running(tmp_path / "b", second_config) as second:
            cluster.put(wishing("one", "one.example.com"))
            await served("one.example.com", trust)
            cluster.put(*(wishing(f"h{n}", f"h{n}.example.com") for n in range(20)))
            await until(lambda: cluster.find(SECRETS, "h0-tls"), "some are issued")
            await first.stop()
            cluster.put(wishing("h20", "h20.example.com"))

            def all_there() -> bool:
                return all(cluster.find(SECRETS, f"h{n}-tls") for n in range(21))

            await until(all_there, "all are issued", timeout_s=60.0)
            await served("h20.example.com", trust)

            assert second.logged("leading")
