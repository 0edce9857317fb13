"""What a GatewayClass says that we can do, and what objects are told that ask for more."""

import importlib
from pathlib import Path

import pytest

from onehop.cluster.gateway_verdict import GatewayClassVerdict, GatewayVerdict, ParentsVerdict
from onehop.compile.compiler import Compiler
from onehop.compile.gateway.feature import NEEDS
from onehop.control.abilities import DATA_PLANES, lacks_of, shortcomings_of
from onehop.driver.capability import Extent
from onehop.model.capability import Capability, Lack
from onehop.model.ident import ObjectRef
from tests.compile_gateway.planes import SHOWN_BY
from tests.compile_gateway.shown import SHOWN
from tests.compile_gateway.world import (
    compiled,
    gateway,
    route,
    secret,
    service,
    stream_route,
)
from tests.contract.scene import CASES

CLASS = ObjectRef("GatewayClass", "", "onehop")


_ROOT = Path(__file__).parents[2]


def claimed(compiler: Compiler) -> tuple[str, ...]:
    verdict = compiler.verdict(CLASS)
    assert isinstance(verdict, GatewayClassVerdict)
    return verdict.features


@pytest.mark.parametrize("driver", [*DATA_PLANES, "haproxy+nftables"])
def test_a_feature_is_claimed_where_nothing_is_lacking_that_it_needs(driver: str) -> None:
    """Done in full, or in a part of which the driver says why it suffices."""
    lacks = {each for each, support in shortcomings_of(driver).items() if not support.suffices}
    expected = tuple(name for name, needs in NEEDS.items() if not lacks & set(needs))

    assert claimed(compiled(driver=driver)) == expected


def test_envoy_has_all_features() -> None:
    """And a data plane of which nothing is said: tests have those."""
    assert claimed(compiled(driver="envoy")) == claimed(compiled()) == tuple(NEEDS)


def test_only_what_is_done_in_part_can_suffice() -> None:
    """Who does nothing of it has no reason to give."""
    for lacks in DATA_PLANES.values():
        for capability, support in lacks.items():
            assert not support.suffices or support.extent is Extent.PARTLY, capability


def test_features_stand_in_order_and_once() -> None:
    """GatewayClassStatus.SupportedFeatures: "in ascending alphabetical order"."""
    assert list(NEEDS) == sorted(set(NEEDS))


def test_every_feature_that_is_claimed_is_shown_to_work() -> None:
    """GEP-2162: what is listed passes, and so each name has a story or a test of its own."""
    assert set(SHOWN) == set(NEEDS)
    for feature, shown in SHOWN.items():
        assert shown, feature
        for each in shown:
            file, _, name = each.partition("::")
            if not name:
                assert (_ROOT / "tests/scenarios" / file / "input.yaml").exists(), each
            else:
                text = (_ROOT / file).read_text(encoding="utf-8")
                assert f"def {name}(" in text, each


def test_tests_of_traffic_run_on_every_data_plane_that_claims_what_they_show() -> None:
    """Each is bound to features (`shows`), and to those at least that name it here."""
    for feature, shown in SHOWN.items():
        for each in shown:
            file, _, name = each.partition("::")
            module = file.removesuffix(".py").replace("/", ".")
            if module.endswith(("_traffic", "_tls")):
                importlib.import_module(module)
                assert feature in SHOWN_BY[f"{module}::{name}"], (feature, each)


def test_what_is_lacking_is_refused_in_words() -> None:
    """By the contract of drivers: each capability that a feature needs has a case there."""
    importlib.import_module("tests.contract.test_driver_capabilities")
    needed = {capability for needs in NEEDS.values() for capability in needs}

    assert needed <= CASES.keys()


def test_the_class_says_what_the_data_plane_can_do_that_serves_now() -> None:
    """After `onehop switch` nothing is read anew: the compiler is told, and settles."""
    compiler = compiled(driver="envoy")
    before = claimed(compiler)
    compiler.set_lacks(lacks_of("vtm"))
    outcome = compiler.settle()
    after = claimed(compiler)
    compiler.set_lacks({})
    compiler.settle()

    assert CLASS in outcome.subjects
    assert set(after) < set(before)
    assert claimed(compiler) == before


def test_the_kernel_adds_udp_to_a_proxy_without_it() -> None:
    """With its weights, which the core of UDPRoutes has; and so they are claimed."""
    alone, beside = lacks_of("haproxy"), lacks_of("haproxy+nftables")

    assert alone.keys() - beside.keys() == {Capability.UDP, Capability.WEIGHTED_FLOWS}
    added = set(claimed(compiled(driver="haproxy+nftables")))
    assert added - set(claimed(compiled(driver="haproxy"))) == {"UDPRoute"}


_SHOWN = "tls: {certificateRefs: [{name: own}]}"
_LISTENERS = (
    f"name: a, port: 443, protocol: HTTPS, hostname: a.example, {_SHOWN}",
    f"name: b, port: 443, protocol: HTTPS, hostname: b.example, {_SHOWN}",
    f"name: ends, port: 8443, protocol: TLS, {_SHOWN}",
    "name: passes, port: 9443, protocol: TLS, tls: {mode: Passthrough}",
    "name: tcp, port: 5432, protocol: TCP",
    "name: udp, port: 53, protocol: UDP",
)
_REFUSED = {
    Capability.TLS_STREAMS: ("ends", "UnsupportedValue", "tls.mode Terminate: it cannot"),
    Capability.TLS_PASSTHROUGH: ("passes", "UnsupportedValue", "tls.mode Passthrough: it cannot"),
    Capability.UDP: ("udp", "UnsupportedProtocol", "protocol UDP: it cannot"),
}


@pytest.mark.parametrize("capability", [*_REFUSED, Capability.MISDIRECTED])
def test_a_listener_is_refused_for_what_it_asks_and_nothing_else(capability: Capability) -> None:
    """One shortcoming, one listener; where handshakes cannot be looked at, hosts are served."""
    own = secret("own", "a.example", "b.example")
    site = route("site", "- backendRefs: [{name: web, port: 80}]")
    compiler = compiled(gateway(*_LISTENERS), own, site, service("web", 80))
    compiler.set_lacks({capability: Lack("it cannot")})
    compiler.settle()
    verdict = compiler.verdict(ObjectRef("Gateway", "shop", "public"))

    assert isinstance(verdict, GatewayVerdict)
    refused = [
        (each.name, each.sayings[0].reason, each.sayings[0].message)
        for each in verdict.listeners
        if each.sayings[0].reason != "Accepted"
    ]
    expected = _REFUSED.get(capability)
    assert refused == ([expected] if expected else [])
    is_looked_at = any(host.made_for for host in compiler.model().hosts)
    assert is_looked_at is (capability is not Capability.MISDIRECTED)


@pytest.mark.parametrize(
    ("kind", "protocol", "capability"),
    [
        ("TCPRoute", "TCP", Capability.WEIGHTED_STREAMS),
        ("UDPRoute", "UDP", Capability.WEIGHTED_FLOWS),
    ],
)
def test_a_route_with_several_backends_is_refused_where_they_get_no_shares(
    kind: str, protocol: str, capability: Capability
) -> None:
    """With the driver's own words; a share of a missing capability of the other kind is none."""
    two = "backendRefs: [{name: web, port: 80}, {name: web, port: 80}]"
    shared = stream_route(kind, "web", listener="any").replace(
        "backendRefs: [{name: web, port: 80}]", two
    )
    listener = f"name: any, port: 5432, protocol: {protocol}"
    compiler = compiled(gateway(listener), shared, service("web", 80, protocol=protocol))
    subject = ObjectRef(kind, "shop", "web")
    others = {Capability.WEIGHTED_STREAMS, Capability.WEIGHTED_FLOWS} - {capability}
    compiler.set_lacks(dict.fromkeys(others, Lack("it cannot")))
    compiler.settle()
    good = compiler.verdict(subject)
    compiler.set_lacks({capability: Lack("it cannot; leave it out")})
    compiler.settle()
    bad = compiler.verdict(subject)

    assert isinstance(good, ParentsVerdict)
    assert isinstance(bad, ParentsVerdict)
    assert good.parents[0].sayings[0].reason == "Accepted"
    assert bad.parents[0].sayings[0].reason == "UnsupportedValue"
    assert bad.parents[0].sayings[0].message == "several backendRefs: it cannot; leave it out"
    assert not compiler.model().listeners


def test_what_is_done_in_part_is_not_claimed_and_not_refused() -> None:
    """A `Lack` that is not whole is for the class alone."""
    passes = "name: passes, port: 443, protocol: TLS, tls: {mode: Passthrough}"
    compiler = compiled(gateway(passes))
    compiler.set_lacks({Capability.TLS_PASSTHROUGH: Lack("not all", is_whole=False)})
    compiler.settle()
    verdict = compiler.verdict(ObjectRef("Gateway", "shop", "public"))

    assert isinstance(verdict, GatewayVerdict)
    assert verdict.listeners[0].sayings[0].reason == "Accepted"
    assert not {"TLSRoute", "TLSRouteModeMixed"} & set(claimed(compiler))
