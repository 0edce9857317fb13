"""What is claimed of TLS."""

import datetime as dt
import ssl

import msgspec

from onehop.driver import Capability
from onehop.model.certificate import ServerName
from onehop.model.ident import RouterId
from onehop.model.listener import (
    ClientCheck,
    ForwardHttp,
    Passthrough,
    PortCheck,
    TlsChallenge,
    TlsPolicy,
)
from onehop.model.model import Row
from onehop.model.pool import BackendProtocol
from onehop.model.route import MadeFor, Respond, VirtualHost
from tests.contract.scene import INGRESS, Scene, entrance, named, proves
from tests.contract.test_driver_tls import (
    ACME,
    ENDED,
    PASSED,
    POD,
    SITE,
    body,
    chosen,
    pod_with_tls,
    shown,
    unchecking,
)
from tests.driver_envoy.http3 import h3_connected
from tests.driver_envoy.world import (
    ADDRESS,
    HTTPS,
    challenge,
    connected,
    endpoint,
    host,
    identity,
    members,
    pool,
    route,
    server_name,
    trusting,
    until,
)
from tests.stapling.ca import Ca, certificate_of
from tests.stapling.client import shown_status

STREAM = pool("stream", protocol=BackendProtocol.TCP)


def site(scene: Scene, **fields: object) -> tuple[Row, ...]:
    """Return a host with a certificate, and a listener that ends TLS."""
    handler = msgspec.structs.replace(ForwardHttp(router=HTTPS, tls=True), **fields)
    return (
        SITE.certificate,
        server_name(ENDED, SITE),
        entrance(scene, handler=handler),
        host(ENDED, route(Respond(status=200, body="site")), router=HTTPS),
    )


@proves(Capability.TLS)
async def the_name_decides_which_certificate_is_shown(scene: Scene) -> None:
    other = identity("other", "other.example")
    names = (other.certificate, server_name("other.example", other))
    await scene.serve(*site(scene), *names)
    port = scene.traffic()
    assert await body(port, ENDED, SITE) == "site"
    assert await shown(port, "other.example", SITE, other) == other.certificate.id


@proves(Capability.TLS_MODERN)
async def modern_is_version_1_3_alone(scene: Scene) -> None:
    await scene.serve(*site(scene, tls_policy=TlsPolicy.MODERN))
    port = scene.traffic()
    for version, works in ((ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, False)):
        context = trusting(SITE.chain_pem, alpn=("h2", "http/1.1"))
        context.maximum_version = version
        assert await chosen(port, ENDED, context) == ("h2" if works else None)


async def _checks_clients(scene: Scene, *, is_required: bool) -> None:
    own, alice = RouterId(f"{HTTPS}:{ENDED}"), identity("alice", "alice.client")
    mallory = identity("mallory", "mallory.client")
    check = ClientCheck(
        hostname=ENDED,
        router=own,
        ca_pem=alice.chain_pem,
        is_required=is_required,
        owner=INGRESS,
    )
    safe = host(ENDED, route(Respond(status=200, body="safe")), router=own)
    await scene.serve(*site(scene, client_checks=(check,)), safe)
    port = scene.traffic()
    assert await body(port, ENDED, SITE, shows=alice) == "safe"
    assert await body(port, ENDED, SITE, shows=mallory) is None
    assert await body(port, ENDED, SITE) == (None if is_required else "safe")


@proves(Capability.CLIENT_CERTIFICATES)
async def clients_must_show_a_good_certificate(scene: Scene) -> None:
    await _checks_clients(scene, is_required=True)


@proves(Capability.OPTIONAL_CLIENT_CERTIFICATES)
async def clients_may_show_a_good_certificate(scene: Scene) -> None:
    await _checks_clients(scene, is_required=False)


@proves(Capability.PORT_CLIENT_CERTIFICATES)
async def all_clients_of_a_port_must_show_a_good_certificate(scene: Scene) -> None:
    alice, mallory = identity("alice", "alice.client"), identity("mallory", "mallory.client")
    for is_required in (True, False):
        check = PortCheck(ca_pem=alice.chain_pem, is_required=is_required)
        await scene.serve(*site(scene, clients=check))
        port = scene.traffic()
        others = None if is_required else "site"
        assert await body(port, ENDED, SITE, shows=alice) == "site"
        assert await body(port, ENDED, SITE, shows=mallory) == others
        assert await body(port, ENDED, SITE) == others


@proves(Capability.TLS_PASSTHROUGH)
async def tls_of_a_host_goes_to_its_endpoint(scene: Scene) -> None:
    passed = Passthrough(hostname=PASSED, owner=INGRESS, pool=STREAM.id)
    async with pod_with_tls() as pod:
        rows = site(scene, passthroughs=(passed,))
        await scene.serve(STREAM, members(STREAM, pod.endpoint), *rows)
        port = scene.traffic()
        assert await body(port, PASSED, POD) == "pod"
        assert await body(port, ENDED, SITE) == "site"


@proves(Capability.TLS_STREAMS)
async def what_is_in_the_tls_of_a_host_goes_to_its_endpoint(scene: Scene) -> None:
    ended = Passthrough(hostname=PASSED, owner=INGRESS, pool=STREAM.id, ends_tls=True)
    async with named("inside") as inside:
        rows = site(scene, passthroughs=(ended,))
        shown_there = server_name(PASSED, SITE)
        await scene.serve(STREAM, members(STREAM, endpoint(inside)), *rows, shown_there)
        port = scene.traffic()
        async with connected(port, tls=unchecking(), sni=PASSED) as client:
            assert await client.reader.read(100) == b"inside"
        assert await body(port, ENDED, SITE) == "site"


@proves(Capability.MISDIRECTED)
async def a_request_for_a_host_of_another_connection_is_sent_away(scene: Scene) -> None:
    own = MadeFor(ENDED)
    rows = [
        msgspec.structs.replace(row, made_for=own) if isinstance(row, VirtualHost) else row
        for row in site(scene, splits_names=True)
    ]
    await scene.serve(*rows, server_name("*", SITE))
    port = scene.traffic()
    asked: dict[str, int] = {}
    for sni in (ENDED, "other.example"):
        async with connected(port, tls=unchecking(), sni=sni) as client:
            asked[sni] = (await client.ask(ENDED)).status
    assert asked == {ENDED: 200, "other.example": 421}


@proves(Capability.TLS_ALPN_CHALLENGE)
async def a_ca_sees_the_certificate_of_its_challenge(scene: Scene) -> None:
    proof = challenge(ENDED)
    asked = TlsChallenge(hostname=ENDED, certificate=proof.id)
    await scene.serve(*site(scene, challenges=(asked,)), proof)
    port, context = scene.traffic(), unchecking()
    context.set_alpn_protocols([ACME])
    async with connected(port, tls=context, sni=ENDED) as client:
        seen = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    assert seen == ssl.PEM_cert_to_DER_cert(proof.chain_pem)
    assert await body(port, ENDED, SITE) == "site"


@proves(Capability.OCSP_STAPLE)
async def the_answer_of_the_ca_is_shown_with_the_certificate(scene: Scene) -> None:
    ca = Ca()
    leaf = ca.leaf(ENDED)
    says = ca.says(leaf, dt.datetime.now(dt.UTC).replace(microsecond=0))
    certificate = msgspec.structs.replace(certificate_of(leaf, ca), ocsp=says)
    names = ServerName(router=HTTPS, hostname=ENDED, certificate=certificate.id)
    await scene.serve(*site(scene)[2:], certificate, names)
    assert await shown_status(ADDRESS, scene.traffic(), ENDED) == "good"


@proves(Capability.HTTP3)
async def a_host_answers_over_quic(scene: Scene) -> None:
    await scene.serve(*site(scene, http3=True))
    port = scene.traffic()

    async def is_served() -> bool:
        try:
            async with h3_connected(port, ENDED, SITE.chain_pem) as client:
                return (await client.ask(ENDED)).body == "site"
        except ConnectionError:
            return False

    await until(is_served, 60)
