"""Roads by Gateways: to a host, to a route, to a Service behind both."""

from pathlib import Path

import pytest

from onehop.cluster import HTTPRoute
from onehop.cluster.meta import Meta
from onehop.compile.compiler import Compiler
from onehop.compile.options import AddressPool, Options
from onehop.control.explain.explanation import Explanation, OutcomeKind, Refusal, Road
from onehop.control.explain.facts import Facts
from onehop.control.explain.journey import explain
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef
from onehop.source.manifests_folder import load_manifests
from tests.explain.known import as_tree, facts_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "gateway"
VIP = IpAddr("203.0.113.20")
OPTIONS = Options(
    shared=(IpAddr("203.0.113.10"),),
    address_pools=(AddressPool(name="public", ranges=((VIP, IpAddr("203.0.113.29")),)),),
)


def compiler_of_example() -> Compiler:
    """Return a compiler that has examples/gateway, without its certificate."""
    compiler = Compiler(OPTIONS)
    objects, _ = load_manifests(EXAMPLE)
    for item in objects:
        compiler.put(item)
    compiler.settle()
    return compiler


@pytest.fixture
def facts() -> Facts:
    """What is known where examples/gateway is served."""
    return facts_of(compiler_of_example())


def explained(facts: Facts, target: str) -> Explanation:
    answer = explain(facts, target)
    assert isinstance(answer, Explanation), answer
    assert as_tree(answer)
    return answer


def places(roads: tuple[Road, ...]) -> list[tuple[str, int, str | None]]:
    """Return address, port and rule's owner of each road."""
    return [
        (road.vip.address, road.listener.port, road.route.owner if road.route else None)
        for road in roads
    ]


def test_a_name_leads_to_the_gateway_that_has_it(facts: Facts) -> None:
    """Not to the shared address of Ingresses, which does not know it."""
    answer = explained(facts, "http://shop.example.com/")

    assert places(answer.roads) == [(VIP, 80, "HTTPRoute/shop/to-https")]
    assert answer.roads[0].outcome.kind is OutcomeKind.REDIRECT


def test_the_rule_that_takes_a_request_is_told_from_those_that_ask_for_more(facts: Facts) -> None:
    """A plain GET has no headers; whose rule would take it with one is said."""
    (road,) = explained(facts, "https://shop.example.com/reports/today").roads

    assert road.route is not None
    assert (road.route.path, road.route.owner) == ("/reports", "HTTPRoute/shop/shop")
    assert [(lost.rule, lost.why) for lost in road.route.lost] == [
        ("shop.example.com/ (prefix)", "only with header x-version: next"),
        ("shop.example.com/ (prefix)", "less exact, or younger"),
    ]
    assert road.outcome.says == "passed on, its path becoming /"


def test_a_name_that_nobody_has_is_asked_of_the_shared_address(facts: Facts) -> None:
    """As before: 404, and names that are like it."""
    answer = explained(facts, "http://shopp.example.com/")

    assert {road.vip.address for road in answer.roads} == {"203.0.113.10"}
    assert "shop.example.com" in answer.advice[0].do


def test_a_gateways_address_is_explained_without_a_name(facts: Facts) -> None:
    """A request without a host of the Gateway is answered 404 there."""
    (road,) = explained(facts, f"http://{VIP}/").roads

    assert road.vip.owners == ("Gateway/infra/public",)
    assert road.outcome.says == "404, no rule takes it"


def test_the_roads_of_a_route_are_its_matches(facts: Facts) -> None:
    """Each by host and listener, with its backends and their shares."""
    roads = explained(facts, "httproute/shop/shop").roads

    assert set(places(roads)) == {(VIP, 443, "HTTPRoute/shop/shop")}
    shares = [[(b.pool, b.share_percent) for b in road.outcome.branches] for road in roads]
    assert sorted(shares) == [
        [("reports/reports:80", 100.0)],
        [("shop/shop-next:80", 100.0)],
        [("shop/shop:80", 90.0), ("shop/shop-next:80", 10.0)],
    ]


def test_a_service_behind_a_route_has_roads(facts: Facts) -> None:
    """Though it is of type ClusterIP and no Ingress leads to it."""
    roads = explained(facts, "service/shop/shop").roads

    assert places(roads) == [
        (VIP, 443, "HTTPRoute/shop/shop"),
        (VIP, 443, "HTTPRoute/shop/own-host"),
    ]


def test_the_share_of_a_missing_backend_is_told() -> None:
    """Its requests are answered 500; of what is left, the shares add up to less than all."""
    compiler = compiler_of_example()
    compiler.remove(ObjectRef("Service", "shop", "shop-next"))
    compiler.settle()

    roads = explained(facts_of(compiler), "httproute/shop/shop").roads

    says = {road.outcome.says for road in roads}
    assert "passed on; 10 % answered 500, for a backend is missing" in says
    assert "500, this route has no backend" in says


def test_a_route_that_is_not_accepted_says_by_whom_and_why() -> None:
    """In the words of its status."""
    compiler = compiler_of_example()
    compiler.remove(ObjectRef("Namespace", "", "shop"))  # its label let the routes in
    compiler.settle()

    answer = explained(facts_of(compiler), "httproute/shop/shop")

    assert answer.roads == ()
    assert (answer.unserved or "").startswith("HTTPRoute/shop/shop is not accepted by public: ")


def test_a_route_of_nobody_says_so() -> None:
    """Without a parentRef to a Gateway of ours there is nothing to look at."""
    compiler = compiler_of_example()
    compiler.put(HTTPRoute(metadata=Meta(name="alone", namespace="shop")))
    compiler.settle()

    answer = explained(facts_of(compiler), "httproute/shop/alone")

    assert answer.unserved == "HTTPRoute/shop/alone has no parentRef to a Gateway of ours"


def test_a_mistyped_route_is_asked_back(facts: Facts) -> None:
    """With names that are like it."""
    answer = explain(facts, "httproute/shop/shopp")

    assert isinstance(answer, Refusal)
    assert "httproute/shop/shop" in answer.near
