"""What an edit touches: nothing on its way grows with the number of routes."""

from collections import Counter
from collections.abc import Hashable

import msgspec
import pytest

from onehop.cluster import HTTPRoute, ref_of
from onehop.compile.compiler import Compiler
from onehop.compile.sheet import Cell, Derived, Reader
from onehop.compile.tables import TABLES
from onehop.model.ident import ObjectRef
from tests.compile_gateway.world import compiled, gateway, listener_set, objects, route, service

ROUTES = 1_000
_WEB = "- backendRefs: [{name: web, port: 80}]"
_GATEWAY = ObjectRef("Gateway", "shop", "public")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many cells of each table were computed."""
    counts: Counter[str] = Counter()

    def count(table: Derived[Hashable, object]) -> None:
        compute = table.compute

        def counting(reader: Reader, key: Hashable) -> Cell[object]:
            counts[table.name] += 1
            return compute(reader, key)

        monkeypatch.setattr(table, "compute", counting)

    for table in TABLES:
        if isinstance(table, Derived):
            count(table)
    return counts


def busy_gateway(more: str = "") -> Compiler:
    """A Gateway with a thousand routes, each with a host of its own.

    `more` is what else its spec says.
    """
    routes = (route(f"r{number}", _WEB, hostnames=f"h{number}.example") for number in range(ROUTES))
    listener = "name: http, port: 80, protocol: HTTP"
    return compiled(gateway(listener) + more, service("web", 8080), *routes)


def one(text: str) -> HTTPRoute:
    [found] = objects(text)
    assert isinstance(found, HTTPRoute)
    return found


def test_an_edit_of_a_rule_touches_the_route_and_its_hosts(computed: Counter[str]) -> None:
    """Neither the other routes, nor the Gateway's verdict, nor what is counted for it."""
    compiler = busy_gateway()
    computed.clear()

    edited = "- matches: [{path: {value: /x}}]\n  backendRefs: [{name: web, port: 80}]"
    compiler.put(one(route("r7", edited, hostnames="h7.example")))
    outcome = compiler.settle()

    assert [row.id for row in outcome.change.upserts] == ["gateway/shop/public:80/h7.example"]
    assert not outcome.subjects
    assert computed == {
        "attachments": 1,
        "route-rules": 1,
        "route-pools": 1,
        "contenders": 1,
        "gateway-hosts": 1,
        "accepted-routes": 1,
        "route-verdicts": 1,
    }


def test_our_own_words_in_a_status_touch_nothing_else(computed: Counter[str]) -> None:
    """A status that was written comes back as an event, for every route."""
    compiler = busy_gateway()
    computed.clear()
    before = one(route("r7", _WEB, hostnames="h7.example"))
    meta = msgspec.structs.replace(before.metadata, resource_version="2")

    compiler.put(msgspec.structs.replace(before, metadata=meta))
    outcome = compiler.settle()

    assert not outcome.change
    assert not outcome.subjects
    assert computed.total() <= 3


def test_a_route_that_comes_is_counted_without_a_look_at_the_others(
    computed: Counter[str],
) -> None:
    """`attachedRoutes` grows by one, and so many cells look again as one route has."""
    compiler = busy_gateway()
    computed.clear()

    compiler.put(one(route("more", _WEB, hostnames="more.example")))
    outcome = compiler.settle()

    assert _GATEWAY in outcome.subjects
    assert "attached_routes=1001" in str(compiler.verdict(_GATEWAY))
    assert computed.total() <= 10


def test_a_route_that_goes_is_not_counted_any_more(computed: Counter[str]) -> None:
    """Its host goes with it."""
    compiler = busy_gateway()
    computed.clear()

    compiler.remove(ref_of(one(route("r7", _WEB))))
    outcome = compiler.settle()

    assert [key.id for key in outcome.change.removals] == ["gateway/shop/public:80/h7.example"]
    assert "attached_routes=999" in str(compiler.verdict(_GATEWAY))
    assert computed.total() <= 10


def test_a_listener_set_that_comes_leaves_the_routes_of_other_ports_alone(
    computed: Counter[str],
) -> None:
    """The Gateway's listeners are merged anew; a thousand routes are not attached anew."""
    compiler = busy_gateway("  allowedListeners: {namespaces: {from: Same}}")
    computed.clear()

    compiler.put(next(objects(listener_set("more", "name: http, port: 81, protocol: HTTP"))))
    outcome = compiler.settle()

    assert [row.id for row in outcome.change.upserts] == ["gateway/shop/public:81@127.0.0.3"]
    assert {_GATEWAY, ObjectRef("ListenerSet", "shop", "more")} <= outcome.subjects
    assert "attachments" not in computed
    assert computed.total() <= 15
