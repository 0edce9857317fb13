"""What a GatewayClass says that we can do."""

from pathlib import Path

import msgspec

from onehop.cluster.gateway_verdict import GatewayClassVerdict, GatewayVerdict, ParentsVerdict
from onehop.compile.compiler import Compiler
from onehop.compile.gateway.gatewayclass import FEATURES, MODEST_FEATURES
from onehop.model.ident import ObjectRef
from tests.compile_gateway.shown import SHOWN
from tests.compile_gateway.world import (
    OPTIONS,
    compiled,
    gateway,
    route,
    secret,
    service,
    stream_route,
)

CLASS = ObjectRef("GatewayClass", "", "onehop")


_ROOT = Path(__file__).parents[2]


def claimed(compiler: Compiler) -> tuple[str, ...]:
    verdict = compiler.verdict(CLASS)
    assert isinstance(verdict, GatewayClassVerdict)
    return verdict.features


def test_features_are_claimed_by_what_the_data_plane_can() -> None:
    """A feature that is claimed is one that works: HAProxy and vTM have no header matches."""
    modest = msgspec.structs.replace(OPTIONS, serves_all_of_routes=False)

    assert claimed(compiled()) == FEATURES
    assert claimed(compiled(options=modest)) == MODEST_FEATURES


def test_features_stand_in_order_and_once() -> None:
    """GatewayClassStatus.SupportedFeatures: "in ascending alphabetical order"."""
    assert list(FEATURES) == sorted(set(FEATURES))
    assert list(MODEST_FEATURES) == sorted(set(MODEST_FEATURES))
    assert set(MODEST_FEATURES) < set(FEATURES)


def test_every_feature_that_is_claimed_is_shown_to_work() -> None:
    """GEP-2162: what is listed passes, and so each name has a story or a test of its own."""
    assert set(SHOWN) == set(FEATURES)
    for feature, shown in SHOWN.items():
        assert shown, feature
        for each in shown:
            file, _, name = each.partition("::")
            if not name:
                assert (_ROOT / "tests/scenarios" / file / "input.yaml").exists(), each
            else:
                text = (_ROOT / file).read_text(encoding="utf-8")
                assert f"def {name}(" in text, each


def test_a_modest_data_plane_is_asked_for_nothing_that_it_would_do_by_halves() -> None:
    """No TLS that goes on as a stream, no connections by weight, no look at handshakes."""
    modest = msgspec.structs.replace(OPTIONS, serves_all_of_routes=False)
    shown = "tls: {certificateRefs: [{name: own}]}"
    listeners = (
        f"name: a, port: 443, protocol: HTTPS, hostname: a.example, {shown}",
        f"name: b, port: 443, protocol: HTTPS, hostname: b.example, {shown}",
        f"name: ends, port: 8443, protocol: TLS, {shown}",
        "name: tcp, port: 5432, protocol: TCP",
    )
    two = "backendRefs: [{name: web, port: 80}, {name: web, port: 80}]"
    shared = stream_route("TCPRoute", "web", listener="tcp").replace(
        "backendRefs: [{name: web, port: 80}]", two
    )
    own = secret("own", "a.example", "b.example")
    site = route("site", "- backendRefs: [{name: web, port: 80}]")
    compiler = compiled(gateway(*listeners), own, site, shared, service("web", 80), options=modest)

    of_gateway = compiler.verdict(ObjectRef("Gateway", "shop", "public"))
    of_route = compiler.verdict(ObjectRef("TCPRoute", "shop", "web"))

    assert isinstance(of_gateway, GatewayVerdict)
    assert {each.name: each.sayings[0].reason for each in of_gateway.listeners} == {
        "a": "Accepted",
        "b": "Accepted",
        "ends": "UnsupportedValue",
        "tcp": "Accepted",
    }
    assert isinstance(of_route, ParentsVerdict)
    assert of_route.parents[0].sayings[0].reason == "UnsupportedValue"
    assert [listener.port for listener in compiler.model().listeners] == [443]
    assert not any(host.made_for for host in compiler.model().hosts)
