"""TLS to endpoints: who they must be, and who we are; a real HAProxy."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from onehop.driver.haproxy.binary import find_haproxy
from onehop.driver.haproxy.runtime import Runtime
from onehop.driver.haproxy.tls import pair_of
from onehop.model.certificate import Certificate
from onehop.model.endpoint import Endpoint
from onehop.model.model import Row
from onehop.model.pool import AltName, BackendTls, Pool
from tests.contract.test_driver_tls import PASSED, POD, loaded, pod_with_tls
from tests.driver_envoy.world import (
    Backend,
    endpoint,
    forward,
    free_port,
    get,
    host,
    identity,
    listener,
    members,
    pool,
    route,
    tcp_server,
    until,
)
from tests.driver_haproxy.world import LONG_S, haproxy

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


OURS, RENEWED = (identity(name, f"{name}.example") for name in ("first", "second"))
LIFETIMES: tuple[Certificate, ...] = (
    OURS.certificate,
    msgspec.structs.replace(RENEWED.certificate, id=OURS.certificate.id),
)
SHOWN = pool("shown", tls=BackendTls(client=OURS.certificate.id))


@asynccontextmanager
async def asking() -> AsyncGenerator[Endpoint]:
    """Serve an endpoint that answers with the name in the certificate that it is shown."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    loaded(context, POD)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=OURS.chain_pem + RENEWED.chain_pem)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        ((_, name),) = writer.get_extra_info("peercert")["subjectAltName"]
        head = f"HTTP/1.1 200 X\r\ncontent-length: {len(name)}\r\nconnection: close\r\n\r\n"
        writer.write(f"{head}{name}".encode())
        await writer.drain()

    async with tcp_server(answer, tls=context) as port:
        yield endpoint(port)


async def test_a_certificate_for_endpoints_comes_is_renewed_and_goes_without_a_reload() -> None:
    """While it is not there nobody connects; endpoints come meanwhile, and stay where they are."""
    port, first, second = free_port(), *LIFETIMES
    async with asking() as one, asking() as two, haproxy() as world:
        rows = (listener(port), SHOWN, host("a", route(forward(SHOWN))))
        for endpoints, certificates, answer in (
            ((one,), (), 503),
            ((one,), (first,), "first.example"),
            ((one, two), (second,), "second.example"),
            ((two,), (), 503),
            ((two,), (second,), "second.example"),
            ((one,), (first,), "first.example"),
        ):
            await world.serve(*rows, members(SHOWN, *endpoints), *certificates)
            got = await get(port, "a")
            assert answer in {got.status, got.body}
            assert world.driver.reloads == 1, world.driver.last_reload


async def test_what_endpoints_are_shown_is_there_after_a_reload() -> None:
    """Servers that come after it have it as well; what was told by hand is put right."""
    port, first, second = free_port(), *LIFETIMES
    async with asking() as one, haproxy(watch_s=0.05) as world:
        rows = (listener(port), SHOWN, host("a", route(forward(SHOWN))), second)
        await world.serve(*rows)
        await world.serve(*rows, listener(free_port()))
        await world.serve(*rows, listener(free_port()), members(SHOWN, one))
        assert (await get(port, "a")).body == "second.example"

        (file,) = world.driver.options.state_dir.glob("i-*.pem")
        runtime = Runtime(world.driver.options.state_dir / f"run-{world.driver.reloads + 1}.sock")
        await runtime.ask(f"set ssl cert {file} <<\n{pair_of(first)}")
        assert "Success" in await runtime.ask(f"commit ssl cert {file}")

        async def is_right() -> bool:
            return bool(world.driver.drifts) and (await get(port, "a")).body == "second.example"

        await until(is_right, LONG_S)
