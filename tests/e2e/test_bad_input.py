"""One bad object harms only itself, and says why where its owner looks."""

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.e2e.client import Target, ask, status_of, steady
from tests.e2e.cluster import SERVICES, Cluster
from tests.e2e.loopback import SITE, Folder, folder_in
from tests.e2e.objects import (
    HOST,
    Json,
    balancer,
    endpoints,
    ingress,
    namespace,
    service,
)
from tests.e2e.program import Onehop, running
from tests.e2e.waiting import until


class Bad(NamedTuple):
    """Something wrong in the cluster.

    Attributes:
        objects: what somebody applies.
        told: whose events tell of it.
        words: what the message has in it.
        host: what is asked for afterwards...
        status: ...and the answer.
    """

    objects: tuple[Json, ...]
    told: str
    words: tuple[str, ...]
    host: str = HOST
    status: int = 200


def _backend(name: str, address: str) -> tuple[Json, ...]:
    """Return an application whose Pod has an address that no Pod may have."""
    host = f"{name}.example.com"
    return service(name), endpoints(name, address), ingress(name, host, backend=name)


_OPAQUE: Final[Json] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "opaque", "namespace": "shop"},
    "type": "Opaque",
    "data": {"password": "aHVudGVyMg=="},
}

BAD: Final[Mapping[str, Bad]] = {
    "a malformed annotation": Bad(
        (ingress("annotated", "annotated.example.com", request_timeout="soon"),),
        "annotated",
        ("onehop.dev/request-timeout", "soon"),
        "annotated.example.com",
    ),
    "a Secret of the wrong type": Bad(
        (_OPAQUE, ingress("opaque", "opaque.example.com", secret="opaque")),
        "opaque",
        ("shop/opaque", "kubernetes.io/tls"),
        "opaque.example.com",
    ),
    "a Service that is not there": Bad(
        (ingress("orphan", "orphan.example.com", backend="nobody"),),
        "orphan",
        ("nobody",),
        "orphan.example.com",
        503,
    ),
    "a backend on loopback": Bad(
        _backend("loop", "127.0.0.1"), "loop-1", ("127.0.0.1",), "loop.example.com", 503
    ),
    "a backend that is a metadata server": Bad(
        _backend("meta", "169.254.169.254"), "meta-1", ("169.254.169.254",), "meta.example.com", 503
    ),
    "a backend that is our own address": Bad(
        _backend("circle", "192.0.2.10"), "circle-1", ("192.0.2.10",), "circle.example.com", 503
    ),
    "an ExternalName": Bad(
        (
            service("alias", type="ExternalName", externalName="localhost"),
            ingress("alias", "alias.example.com", backend="alias"),
        ),
        "alias",
        ("ExternalName",),
        "alias.example.com",
        503,
    ),
    "an address outside the pools": Bad(
        (balancer("outside", {"port": 81}, loadBalancerIP="198.51.100.7"),),
        "outside",
        ("198.51.100.7",),
    ),
    "a host of another namespace": Bad(
        (
            namespace("z-other"),
            service("web", space="z-other"),
            endpoints("web", "10.244.1.2", space="z-other"),
            ingress("thief", HOST, space="z-other"),
        ),
        "thief",
        (HOST, "shop/shop"),
    ),
}


@pytest.mark.root
@pytest.mark.envoy
async def test_a_bad_object_is_told_of_and_harms_nobody_else(
    cluster: Cluster, shop: Onehop
) -> None:
    """One after the other, under steady requests to a good one; they all stay as they are."""
    async with steady() as requests:
        for name, bad in BAD.items():
            cluster.put(*bad.objects)

            def is_told(bad: Bad = bad) -> bool:
                said = cluster.said(bad.told)
                return all(word in said for word in bad.words)

            await until(is_told, f"somebody is told of {name}: {bad.words}")

            async def is_as_said(bad: Bad = bad) -> bool:
                return await status_of(bad.host) == bad.status

            await until(is_as_said, f"{bad.host} answers {bad.status} after {name}")
        told = {problem.subject.name for problem in (await shop.snapshot()).problems}

    assert set(requests.pods) == {"web-1"}
    assert {bad.told for bad in BAD.values()} <= told
    assert (await shop.snapshot()).data_plane["restarts"] == "0"


@pytest.mark.root
@pytest.mark.envoy
@pytest.mark.usefixtures("onehop")
async def test_a_pool_without_addresses_left_is_told_to_who_came_last(cluster: Cluster) -> None:
    """Ten get one; the eleventh is told, and gets the first that becomes free."""
    names = [f"lb-{number:02}" for number in range(11)]
    cluster.put(*(balancer(name, {"port": 81}) for name in names))
    await until(lambda: "public" in cluster.said("lb-10"), "the last is told which pool is empty")
    await until(
        lambda: all(cluster.addresses(SERVICES, name) for name in names[:10]),
        "the others have addresses",
    )
    given = [cluster.addresses(SERVICES, name) for name in names]
    cluster.remove(SERVICES, "lb-03")
    await until(lambda: cluster.addresses(SERVICES, "lb-10"), "the last gets what became free")

    assert given[10] == []
    assert sorted(address for one in given for address in one) == [
        f"192.0.2.{n}" for n in range(20, 30)
    ]
    assert cluster.addresses(SERVICES, "lb-10") == given[3]


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncGenerator[Folder]:
    async with folder_in(tmp_path) as one:
        yield one


@pytest.mark.envoy
async def test_a_broken_file_keeps_its_last_good_form_and_names_the_line(
    folder: Folder, tmp_path: Path
) -> None:
    """The shop goes on being served from it; other files go on being read."""
    async with running(tmp_path / "a", folder.config()) as program:
        site = Target(HOST, SITE)
        async with steady(site) as requests:
            good = (folder.path / "shop.yaml").read_text()
            folder.write_text("shop.yaml", good + "---\nkind: Service\n  metadata: {\n")

            async def complaint() -> str:
                problems = (await program.snapshot()).problems
                return "".join(str(p) for p in problems if "shop.yaml" in str(p))

            said = await until(complaint, "the file is complained of")
            folder.write("two.yaml", ingress("two", "two.example.com"))

            async def two_is_served() -> bool:
                return (await ask("two.example.com", at=SITE)).status == 200

            await until(two_is_served, "another file is read")
            await requests.some_more()
            folder.write_text("shop.yaml", good)

            async def is_content() -> bool:
                return not (await program.snapshot()).problems

            await until(is_content, "the mended file is taken")

    line = good.count("\n") + 3
    assert str(line) in said
    assert program.removals() == 0
