"""What becomes of a Gateway's certificate by ACME, and of port 80, as things come and go."""

from typing import Any, Final

import msgspec
import pytest

from onehop.cluster import Gateway, Secret, ref_of
from onehop.cluster.gateway_verdict import GatewayVerdict
from onehop.cluster.meta import Meta
from onehop.compile.challenge import HttpChallenge, encode_challenges
from onehop.compile.compiler import Compiler
from onehop.compile.options import AddressPool, IssuerOption, Options
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef
from onehop.model.model import Table
from tests.compile.pem import chain_pem, key_pem
from tests.compile_gateway.world import CLASS, objects

VIP: Final = IpAddr("203.0.113.10")
ANSWERS: Final = ObjectRef("Secret", "onehop-system", "onehop-acme-answers")
OPTIONS: Final = Options(
    address_pools=(AddressPool(name="public", ranges=((VIP, VIP),)),),
    issuers=(IssuerOption(name="letsencrypt"),),
    answers=ANSWERS,
)
EDGE: Final = ObjectRef("Gateway", "shop", "edge")
HTTPS: Final = (
    "name: https, port: 443, protocol: HTTPS, hostname: shop.example.com,"
    " tls: {certificateRefs: [{name: shop}]}"
)
LIVE: Final = HttpChallenge(host="shop.example.com", token="live", body="live.thumbprint")


def gateway(name: str, listener: str, acme: str = "false") -> Gateway:
    """Return a Gateway that shares the one address with all others."""
    notes = f"{{onehop.dev/share-address: a, onehop.dev/acme: '{acme}'}}"
    [found] = objects(f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop, annotations: {notes}}}
spec: {{gatewayClassName: onehop, listeners: [{{{listener}}}]}}
""")
    assert isinstance(found, Gateway)
    return found


@pytest.fixture
def compiler() -> Compiler:
    """What follows from one Gateway that asks, without port 80, while a CA looks."""
    compiler = Compiler(OPTIONS)
    meta = Meta(name=ANSWERS.name, namespace=ANSWERS.namespace)
    answers = Secret(metadata=meta, data=encode_challenges((LIVE,)))
    for item in (*objects(CLASS), answers, gateway("edge", HTTPS, "true")):
        compiler.put(item)
    compiler.settle()
    return compiler


def ports(compiler: Compiler) -> dict[int, str]:
    """Return the listeners by port."""
    return {each.port: each.id for each in compiler.model().listeners}


def answering(compiler: Compiler) -> list[str]:
    """Return the virtual hosts in which the CA finds its answer."""
    return [host.id for host in compiler.model().hosts if host.routes]


def programmed(compiler: Compiler) -> Any:
    verdict = compiler.verdict(EDGE)
    assert isinstance(verdict, GatewayVerdict)
    [listener] = verdict.listeners
    return listener.obstacle.reason if listener.obstacle is not None else listener.needs


def test_port_80_goes_to_whoever_comes_for_it(compiler: Compiler) -> None:
    """In one change with the answer, and back when its owner goes."""
    assert ports(compiler) == {80: f"acme@{VIP}", 443: f"gateway/shop/edge:443@{VIP}"}
    assert answering(compiler) == ["acme/*"]
    plain = gateway("plain", "name: http, port: 80, protocol: HTTP")

    compiler.put(plain)
    change = compiler.settle().change

    assert ports(compiler)[80] == f"gateway/shop/plain:80@{VIP}"
    assert answering(compiler) == ["gateway/shop/plain:80/*"]
    assert (Table.LISTENER, f"acme@{VIP}") in {(key.table, key.id) for key in change.removals}

    compiler.remove(ref_of(plain))
    compiler.settle()

    assert ports(compiler)[80] == f"acme@{VIP}"
    assert answering(compiler) == ["acme/*"]


def test_port_80_is_closed_when_nobody_asks_any_more(compiler: Compiler) -> None:
    """What is left listens on 443 alone; nothing is ordered, and nobody waits."""
    assert programmed(compiler) == "Pending"

    compiler.put(gateway("edge", HTTPS))
    outcome = compiler.settle()

    assert outcome.demands
    assert compiler.demands() == ()
    assert ports(compiler).keys() == {443}
    assert answering(compiler) == []
    assert programmed(compiler) == "Invalid"


def test_a_certificate_that_comes_is_all_that_a_listener_waits_for(compiler: Compiler) -> None:
    """It is shown, the listener is programmed, and the wish for it stays, to be renewed."""
    data = {"tls.crt": chain_pem("shop", names=("shop.example.com",)), "tls.key": key_pem("shop")}
    secret = Secret(
        metadata=Meta(name="shop", namespace="shop"), type="kubernetes.io/tls", data=data
    )

    compiler.put(secret)
    outcome = compiler.settle()

    assert EDGE in outcome.subjects
    assert programmed(compiler) == (f"gateway/shop/edge:443@{VIP}",)
    assert [each.hostname for each in compiler.model().server_names] == ["shop.example.com"]
    assert [demand.wishers for demand in compiler.demands()] == [(EDGE,)]
    assert compiler.problems_of(EDGE) == ()


def test_a_gateway_that_goes_leaves_nothing(compiler: Compiler) -> None:
    """No wish, no port, no answer; what its Secret holds is nobody's to delete."""
    compiler.remove(EDGE)
    compiler.settle()

    model = compiler.model()
    assert (model.listeners, model.hosts, model.vips) == ((), (), ())
    assert compiler.demands() == ()
    assert compiler.challenges() == frozenset()


def test_without_an_issuer_that_looks_there_port_80_stays_closed() -> None:
    """An issuer with DNS alone asks nothing of the Gateway."""
    issuer = IssuerOption(name="letsencrypt", has_dns=True, has_http=False)
    compiler = Compiler(msgspec.structs.replace(OPTIONS, issuers=(issuer,)))
    for item in (*objects(CLASS), gateway("edge", HTTPS, "true")):
        compiler.put(item)
    compiler.settle()

    assert [demand.hosts for demand in compiler.demands()] == [("shop.example.com",)]
    assert ports(compiler).keys() == {443}
