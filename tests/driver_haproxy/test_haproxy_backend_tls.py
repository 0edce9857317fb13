"""TLS to endpoints: who they must be; a real HAProxy."""

from pathlib import Path

import pytest

from onehop.driver.haproxy.binary import find_haproxy
from onehop.model.model import Row
from onehop.model.pool import AltName, BackendTls, Pool
from tests.contract.test_driver_tls import PASSED, POD, pod_with_tls
from tests.driver_envoy.world import (
    Backend,
    forward,
    free_port,
    get,
    host,
    listener,
    members,
    pool,
    route,
)
from tests.driver_haproxy.world import haproxy

pytestmark = pytest.mark.haproxy


def shown(name: str, tls: BackendTls, pod: Backend) -> tuple[Row, Row, Row]:
    """Return a host, its pool and its endpoint."""
    web: Pool = pool(name, tls=tls)
    return web, members(web, pod.endpoint), host(name, route(forward(web)))


def trusting(folder: Path, *cas: str) -> str:
    """Return a HAProxy for which the host trusts these CAs, in a mount namespace of its own."""
    trusted, program = folder / "certs", folder / "haproxy"
    trusted.mkdir()
    for number, each in enumerate(cas):
        (trusted / f"{number}.pem").write_text(each)
    program.write_text(
        "#!/bin/sh\n"
        f"exec unshare --mount sh -c 'mount --bind {trusted} /etc/ssl/certs"
        f' && exec {find_haproxy("haproxy")} "$@"\' sh "$@"\n'
    )
    program.chmod(0o755)
    return str(program)


@pytest.mark.root
async def test_endpoints_prove_themselves_by_a_ca_that_the_host_trusts(tmp_path: Path) -> None:
    """And by the name; one that comes later is held against the same CAs, without a reload."""
    binary = trusting(tmp_path, POD.chain_pem)
    port, name = free_port(), (AltName(PASSED),)
    good = BackendTls(trusts_system=True, server_name=PASSED)
    same = BackendTls(trusts_system=True, server_name=PASSED, names=name)
    bad = BackendTls(trusts_system=True, server_name="other.example")
    async with pod_with_tls() as pod, haproxy(binary=binary) as world:
        served = [shown("good", good, pod), shown("same", same, pod), shown("bad", bad, pod)]
        rows = (listener(port), *(row for each in served for row in each))
        await world.serve(*(row for row in rows if row not in {each[1] for each in served}))
        for _ in range(2):
            assert world.driver.reloads == 1
            await world.serve(*rows)
            assert [(await get(port, each)).status for each in ("good", "same", "bad")] == [
                *(200, 200),
                503,
            ]


@pytest.mark.root
async def test_where_the_host_trusts_nobody_no_endpoint_is(tmp_path: Path) -> None:
    """None is served unverified, and all else is served."""
    port, binary = free_port(), trusting(tmp_path)
    verified = BackendTls(trusts_system=True, server_name=PASSED)
    async with pod_with_tls() as pod, haproxy(binary=binary) as world:
        rows = (*shown("web", verified, pod), *shown("any", BackendTls(), pod))
        await world.serve(listener(port), *rows)
        assert (await get(port, "any")).status == 200
        assert (await get(port, "web")).status == 503
