"""TLS passthrough and HTTP/3, end to end."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from onehop.lab.pod import Answer
from tests.driver_envoy.http3 import h3_connected
from tests.e2e.authority import Authority, serial_of
from tests.e2e.client import SHARED, Target, is_served, steady
from tests.e2e.cluster import Cluster
from tests.e2e.objects import Json, endpoints, ingress, service
from tests.e2e.program import Onehop, running
from tests.e2e.test_tls import shown_serial
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]

OURS, THEIRS = "ours.example.com", "theirs.example.com"
POD = "10.244.1.9"


@contextlib.asynccontextmanager
async def tls_pod(secret: Json, folder: Path) -> AsyncGenerator[None]:
    """A Pod that ends TLS itself, and answers every request."""
    body = msgspec.json.encode(Answer(app="theirs", pod="theirs-1", host="", path="", saw=""))
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    pair = folder / "pod.pem"
    pair.write_bytes(b"".join(base64.b64decode(secret["data"][k]) for k in ("tls.crt", "tls.key")))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, POD, 8443, ssl=context)
    async with server:
        yield


async def plain_status(host: str) -> int:
    """Return how plain HTTP is answered, without going where it points."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(SHARED, 80)
        writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        line = await reader.readline()
    writer.close()
    return int(line.split()[1])


def pod_objects(**annotations: str) -> tuple[Json, ...]:
    """Return a Service of that Pod, and an Ingress for it."""
    port = {"name": "https", "port": 80, "targetPort": 8443}
    return (
        service("theirs", ports=[port]),
        endpoints("theirs", POD, ports=({"name": "https", "port": 8443},)),
        ingress("theirs", THEIRS, backend="theirs", **annotations),
    )


async def test_a_host_is_passed_through_beside_one_that_ends_here(
    cluster: Cluster, shop: Onehop, tmp_path: Path
) -> None:
    """The Pod's certificate is seen; the other host misses no request, whatever comes or goes."""
    authority = Authority()
    client = authority.client()
    ours, theirs = authority.secret("tls", OURS), authority.secret("unused", THEIRS)
    cluster.put(ours, ingress("ours", OURS, secret="tls"))
    await until(lambda: is_served(OURS, client), "ours is served")
    async with tls_pod(theirs, tmp_path), steady(Target(OURS, tls=client)) as requests:
        cluster.put(*pod_objects(tls_passthrough="true", hsts="max-age=1"))
        await until(lambda: is_served(THEIRS, client), "theirs is served")
        shown = [await shown_serial(host, client) for host in (OURS, THEIRS)]

        async def redirects() -> bool:
            return await plain_status(THEIRS) == 308

        await until(redirects, "plain HTTP leads to HTTPS")  # routes come after listeners
        await until(lambda: "onehop.dev/hsts" in cluster.said("theirs"), "what is in vain is told")
        await requests.some_more()
        cluster.remove("ingresses", "theirs")

        async def is_gone() -> bool:
            try:
                return not await is_served(THEIRS, client)
            except OSError:
                return True

        await until(is_gone, "theirs is gone")
        await requests.some_more()

    assert shown == [serial_of(ours), serial_of(theirs)]
    await until(shop.removals, "it is logged")


async def test_a_host_is_served_by_http3(cluster: Cluster, config: Json, tmp_path: Path) -> None:
    """Over UDP on the same address and port, by the certificate that TCP shows as well."""
    authority = Authority()
    client = authority.client()
    async with running(tmp_path / "a", {**config, "tls": {"http3": True}}):
        cluster.put(authority.secret("tls", OURS), ingress("ours", OURS, secret="tls"))
        await until(lambda: is_served(OURS, client), "ours is served")

        async def is_served_by_udp() -> bool:
            with contextlib.suppress(ConnectionError):
                async with h3_connected(443, OURS, authority.pem, address=SHARED) as speaker:
                    return (await speaker.ask(OURS)).status == 200
            return False

        await until(is_served_by_udp, "ours is served by HTTP/3")
