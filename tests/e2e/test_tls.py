"""HTTPS end to end: by server name, with Secrets that come late, change, or are no good."""

import asyncio
import contextlib
import ssl

import pytest
from cryptography import x509

from tests.e2e.authority import Authority, key_lines, serial_of
from tests.e2e.client import SHARED, Target, ask, is_served, steady
from tests.e2e.cluster import Cluster
from tests.e2e.objects import Json, ingress
from tests.e2e.program import Onehop
from tests.e2e.program import onehop as command
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]

HOST = "secure.example.com"


async def shown_serial(host: str, context: ssl.SSLContext) -> int:
    """Return the serial number of the certificate that is shown to one who asks for a host."""
    async with asyncio.timeout(30):
        _, writer = await asyncio.open_connection(SHARED, 443, ssl=context, server_hostname=host)
        try:
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()
    return x509.load_der_x509_certificate(der).serial_number


async def test_the_secret_may_come_after_the_ingress(cluster: Cluster, onehop: Onehop) -> None:
    """HTTP is served and the missing Secret is told; then each host shows its own certificate."""
    authority = Authority()
    client = authority.client()
    one, two = (authority.secret(f"tls-{n}", f"{n}.example.com") for n in ("one", "two"))
    cluster.put(
        ingress("one", "one.example.com", secret="tls-one"),
        ingress("two", "two.example.com", secret="tls-two"),
        two,
    )
    await until(lambda: is_served("two.example.com", client), "the one that is there is served")
    await until(lambda: "shop/tls-one" in cluster.said("one"), "the missing one is told")
    plain = await ask("one.example.com")
    cluster.put(one)
    await until(lambda: is_served("one.example.com", client), "the late one is served")
    shown = [await shown_serial(f"{n}.example.com", client) for n in ("one", "two")]

    assert plain.status == 200
    assert shown == [serial_of(one), serial_of(two)]
    assert onehop.removals() == 0


async def test_a_rotation_fails_no_handshake(cluster: Cluster, shop: Onehop) -> None:
    """Ten certificates one after the other; new connections show the newest."""
    authority = Authority()
    client = authority.client()
    cluster.put(authority.secret("tls", HOST), ingress("secure", HOST, secret="tls"))
    await until(lambda: is_served(HOST, client), "it is served")
    async with steady(Target(HOST, tls=client)) as requests:
        for _ in range(10):
            newest = authority.secret("tls", HOST)
            cluster.put(newest)

            async def is_newest(wanted: int = serial_of(newest)) -> bool:
                return await shown_serial(HOST, client) == wanted

            await until(is_newest, "the newest is shown")
            await requests.some_more(4)

    assert shop.removals() == 0


@pytest.mark.parametrize("fault", ["no PEM", "another's key"])
async def test_a_bad_secret_keeps_the_last_good_certificate(
    cluster: Cluster, shop: Onehop, fault: str
) -> None:
    """Handshakes go on with the old one, and the Ingress's owner is told."""
    authority = Authority()
    client = authority.client()
    good, other = authority.secret("tls", HOST), authority.secret("tls", HOST)
    cluster.put(good, ingress("secure", HOST, secret="tls"))
    await until(lambda: is_served(HOST, client), "it is served")
    async with steady(Target(HOST, tls=client)) as requests:
        if fault == "no PEM":
            cluster.put(_with(good, "tls.crt", "aGVsbG8="))
        else:
            cluster.put(_with(good, "tls.key", other["data"]["tls.key"]))
        await until(lambda: "shop/tls" in cluster.said("secure"), "the owner is told")
        await requests.some_more()
        during = await shown_serial(HOST, client)
        cluster.put(other)

        async def is_newest() -> bool:
            return await shown_serial(HOST, client) == serial_of(other)

        await until(is_newest, "the next good one is shown")

    assert during == serial_of(good)
    assert shop.removals() == 0


def _with(secret: Json, key: str, value: str) -> Json:
    return secret | {"data": secret["data"] | {key: value}}


async def test_private_keys_are_shown_nowhere(cluster: Cluster, shop: Onehop) -> None:
    """Not in the log, status, metrics, render, plan or Envoy's config_dump; on disk for us only."""
    authority = Authority()
    client = authority.client()
    secret = authority.secret("tls", HOST)
    cluster.put(secret, ingress("secure", HOST, secret="tls"))
    await until(lambda: is_served(HOST, client), "it is served")
    cluster.put(_with(secret, "tls.key", authority.secret("tls", HOST)["data"]["tls.key"]))
    await until(lambda: "shop/tls" in cluster.said("secure"), "the owner is told")
    remembered = shop.state / "last-known-good"
    await until(remembered.exists, "the last known good is on disk")
    flags = ("--config", str(shop.config_file))
    outputs = [
        await command(*words, *flags)
        for words in (("status",), ("status", "-o", "json"), ("render",), ("plan",))
    ]
    outputs.append(await command("render", *flags, "model"))
    everything = "\n".join(
        [
            shop.log_file.read_text(),
            (await shop.get("/metrics"))[1],
            str(await shop.admin.config_dump()),
            cluster.said("secure"),
            *(done.out + done.err for done in outputs),
        ]
    )

    assert {done.code for done in outputs} == {0}
    assert not [line for line in key_lines(secret) if line in everything]
    assert secret["data"]["tls.key"][40:80] not in everything
    assert remembered.stat().st_mode & 0o077 == 0
    assert shop.state.stat().st_mode & 0o077 == 0
