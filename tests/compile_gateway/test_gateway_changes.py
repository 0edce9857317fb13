"""What becomes of Gateways and routes when something that they lean on changes."""

import msgspec

from onehop.cluster import ConfigMap, Gateway, ref_of
from onehop.cluster.gateway_verdict import (
    GatewayVerdict,
    ListenerSetVerdict,
    ParentsVerdict,
    Truth,
)
from onehop.cluster.meta import Meta
from onehop.compile.compiler import Compiler
from onehop.model.ident import ObjectRef
from onehop.model.route import Forward, Respond, VirtualHost
from tests.compile.pem import chain_pem
from tests.compile_gateway.world import compiled, gateway, listener_set, objects, route, service

HTTP = "name: http, port: 80, protocol: HTTP"
WEB = "- backendRefs: [{name: web, port: 80}]"
FOREIGN = "- backendRefs: [{name: web, namespace: shop, port: 80}]"
GRANT = """
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: routes, namespace: shop}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: team}]
  to: [{group: '', kind: Service}]
"""


def sayings(compiler: Compiler, ref: ObjectRef) -> dict[str, tuple[Truth, str]]:
    """Return status and reason of the conditions of a route's one parent, by type."""
    verdict = compiler.verdict(ref)
    assert isinstance(verdict, ParentsVerdict)
    [parent] = verdict.parents
    return {each.type: (each.status, each.reason) for each in parent.sayings}


def test_a_grant_that_is_taken_back_counts_no_more() -> None:
    """GEP-709: what it allowed is refused from then on, and allowed again with the next one."""
    open_gateway = gateway(f"{HTTP}, allowedRoutes: {{namespaces: {{from: All}}}}")
    foreign = route("web", FOREIGN, parent="name: public, namespace: shop").replace(
        "name: web, namespace: shop}", "name: web, namespace: team}", 1
    )
    [grant] = objects(GRANT)
    ref = ObjectRef("HTTPRoute", "team", "web")
    compiler = compiled(open_gateway, service("web", 8080), foreign, GRANT)
    [host] = compiler.model().hosts
    assert isinstance(host.routes[0].action, Forward)

    compiler.remove(ref_of(grant))
    outcome = compiler.settle()

    [host] = compiler.model().hosts
    assert isinstance(host.routes[0].action, Respond)
    assert host.routes[0].action.status == 500
    assert sayings(compiler, ref)["ResolvedRefs"] == (Truth.FALSE, "RefNotPermitted")
    assert ref in outcome.subjects

    compiler.put(grant)
    compiler.settle()
    assert sayings(compiler, ref)["ResolvedRefs"] == (Truth.TRUE, "ResolvedRefs")


def test_a_route_takes_the_hosts_that_one_of_the_other_kind_had() -> None:
    """GRPCRouteSpec.Hostnames: one of the two is accepted, and once it is gone, the other one."""
    calls = route("calls", WEB, kind="GRPCRoute", hostnames="a.example")
    site = route("web", WEB, hostnames="'*.example'")
    ref = ObjectRef("HTTPRoute", "shop", "web")
    compiler = compiled(gateway(HTTP), service("web", 8080), calls, site)
    [host] = compiler.model().hosts
    assert host.hostname == "a.example"
    assert sayings(compiler, ref)["Accepted"] == (Truth.FALSE, "Conflicted")

    compiler.remove(ObjectRef("GRPCRoute", "shop", "calls"))
    outcome = compiler.settle()

    [host] = compiler.model().hosts
    assert host.hostname == "*.example"
    assert sayings(compiler, ref)["Accepted"] == (Truth.TRUE, "Accepted")
    assert ref in outcome.subjects


def test_a_gateway_that_changes_class_lets_go_of_everything() -> None:
    """Its rows, its verdict, and the address that it had."""
    compiler = compiled(gateway(HTTP), service("web", 8080), route("web", WEB))
    [item] = objects(gateway(HTTP))
    assert isinstance(item, Gateway)
    theirs = msgspec.structs.replace(item.spec, gateway_class_name="theirs")

    compiler.put(msgspec.structs.replace(item, spec=theirs))
    compiler.settle()

    model = compiler.model()
    assert (model.vips, model.listeners, model.hosts, model.pools) == ((), (), (), ())
    assert compiler.verdict(ref_of(item)) is None
    assert compiler.held() == ()


def test_a_listener_that_goes_leaves_its_routes_without_a_parent() -> None:
    """The route hears it, and is no longer counted."""
    two = gateway(HTTP, "name: more, port: 8080, protocol: HTTP")
    named = route("web", WEB, parent="name: public, sectionName: more")
    compiler = compiled(two, service("web", 8080), named)
    ref = ObjectRef("HTTPRoute", "shop", "web")
    assert sayings(compiler, ref)["Accepted"] == (Truth.TRUE, "Accepted")

    for item in objects(gateway(HTTP)):
        compiler.put(item)
    compiler.settle()

    assert sayings(compiler, ref)["Accepted"] == (Truth.FALSE, "NoMatchingParent")
    verdict = compiler.verdict(ObjectRef("Gateway", "shop", "public"))
    assert isinstance(verdict, GatewayVerdict)
    assert [each.attached_routes for each in verdict.listeners] == [0]
    assert [listener.port for listener in compiler.model().listeners] == [80]


def test_a_route_that_is_deleted_leaves_nothing() -> None:
    """Its host and its pool go, for nobody else asks for them."""
    compiler = compiled(gateway(HTTP), service("web", 8080), route("web", WEB))

    compiler.remove(ObjectRef("HTTPRoute", "shop", "web"))
    compiler.settle()

    assert compiler.model().hosts == ()
    assert compiler.model().pools == ()
    assert compiler.verdict(ObjectRef("HTTPRoute", "shop", "web")) is None


def test_a_listener_set_takes_its_place_once_the_older_one_is_gone() -> None:
    """GEP-1713: "once this ListenerSet is not conflicted anymore ... the traffic ... flow"."""
    shared = "name: a, port: 80, protocol: HTTP, hostname: a.example"
    older = listener_set("older", shared)
    younger = listener_set("younger", shared, created="2026-01-02T00:00:00Z")
    ref = ObjectRef("ListenerSet", "shop", "younger")
    on_it = route("web", WEB, parent="kind: ListenerSet, name: younger")
    owner = gateway("name: b, port: 80, protocol: HTTP, hostname: b.example")
    lets_in = owner + "  allowedListeners: {namespaces: {from: Same}}"
    compiler = compiled(lets_in, older, younger, on_it, service("web", 8080))
    assert accepted(compiler, ref) == (Truth.FALSE, "ListenersNotValid")
    assert not host_of(compiler, "a.example").routes
    assert sayings(compiler, ObjectRef("HTTPRoute", "shop", "web"))["Accepted"][0] is Truth.TRUE

    compiler.remove(ObjectRef("ListenerSet", "shop", "older"))
    compiler.settle()

    assert accepted(compiler, ref) == (Truth.TRUE, "Accepted")
    assert host_of(compiler, "a.example").routes


def test_a_listener_set_that_is_let_in_no_more_takes_its_listeners_along() -> None:
    """Its hosts go, and the Gateway counts it no more; without any the field is not written."""
    allowing = gateway(HTTP) + "  allowedListeners: {namespaces: {from: Same}}"
    more = listener_set("more", "name: more, port: 81, protocol: HTTP")
    compiler = compiled(allowing, more)
    assert counted(compiler) == 1

    [closed] = objects(gateway(HTTP))
    compiler.put(closed)
    outcome = compiler.settle()

    assert [key.id for key in outcome.change.removals] == ["gateway/shop/public:81@127.0.0.3"]
    assert accepted(compiler, ObjectRef("ListenerSet", "shop", "more")) == (
        Truth.FALSE,
        "NotAllowed",
    )
    assert counted(compiler) == 0

    compiler.remove(ObjectRef("ListenerSet", "shop", "more"))
    compiler.settle()
    assert counted(compiler) is None


def accepted(compiler: Compiler, ref: ObjectRef) -> tuple[Truth, str]:
    """Return the condition of a ListenerSet."""
    verdict = compiler.verdict(ref)
    assert isinstance(verdict, ListenerSetVerdict)
    [saying] = verdict.sayings
    return saying.status, saying.reason


def counted(compiler: Compiler) -> int | None:
    """Return how many ListenerSets the Gateway says it has."""
    verdict = compiler.verdict(ObjectRef("Gateway", "shop", "public"))
    assert isinstance(verdict, GatewayVerdict)
    return verdict.attached_listener_sets


def host_of(compiler: Compiler, hostname: str) -> VirtualHost:
    """Return a host of the Model."""
    return next(host for host in compiler.model().hosts if host.hostname == hostname)


TLS_POLICY = """
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: web}]
  validation:
    hostname: web.example.com
    caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]
"""


def test_a_ca_is_read_only_while_a_route_needs_it() -> None:
    """A policy for a Service that nobody sends requests to reads nothing, and no status is ours."""
    ca, policy = ObjectRef("ConfigMap", "shop", "ca"), ObjectRef("BackendTLSPolicy", "shop", "web")
    compiler = compiled(gateway(HTTP), service("web", 8080), TLS_POLICY)
    assert compiler.wanted() == frozenset()
    assert compiler.verdict(policy) is None

    [item] = objects(route("web", WEB))
    compiler.put(item)
    compiler.settle()
    assert compiler.wanted() == {ca}
    assert sayings(compiler, policy)["Accepted"] == (Truth.FALSE, "NoValidCACertificate")

    compiler.remove(ref_of(item))
    compiler.settle()
    assert compiler.wanted() == frozenset()
    assert compiler.verdict(policy) is None


def test_a_ca_that_comes_and_goes_takes_the_endpoints_along() -> None:
    """No request goes unverified: with the ConfigMap they are served, and without it refused."""
    bundle = ConfigMap(
        metadata=Meta(name="ca", namespace="shop"),
        data={"ca.crt": chain_pem("ca.test").decode()},
    )
    policy = ObjectRef("BackendTLSPolicy", "shop", "web")
    compiler = compiled(gateway(HTTP), service("web", 8080), TLS_POLICY, route("web", WEB))
    assert compiler.model().pools == ()

    compiler.put(bundle)
    compiler.settle()
    [pool] = compiler.model().pools
    assert pool.tls is not None
    assert (pool.tls.is_verified, pool.tls.server_name) == (True, "web.example.com")
    assert sayings(compiler, policy)["Accepted"] == (Truth.TRUE, "Accepted")

    compiler.remove(ref_of(bundle))
    outcome = compiler.settle()
    assert compiler.model().pools == ()
    assert policy in outcome.subjects
