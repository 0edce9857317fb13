"""What the owner of an application sees: kubectl on one side, requests on the other."""

import pytest

from onehop.lab.pod import serve_tcp, serve_udp
from tests.e2e.client import SHARED, accepts, ask, echo, greeting, is_served, is_unknown, steady
from tests.e2e.cluster import INGRESSES, SERVICES, Cluster
from tests.e2e.conftest import WEB_PODS
from tests.e2e.objects import FINALIZER, SHOP, balancer, endpoints, ingress, service
from tests.e2e.program import Onehop
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]
needs_kubectl = pytest.mark.kubectl


@needs_kubectl
async def test_an_ingress_gets_its_address_answers_and_goes(
    cluster: Cluster, onehop: Onehop
) -> None:
    """Apply: the ADDRESS column fills and the host answers. Delete: 404."""
    kubectl = cluster.kubectl
    await kubectl.apply(ingress())
    await until(lambda: cluster.addresses(INGRESSES, "shop"), "the Ingress has an address")

    table = await kubectl("get", "ingress", "shop")
    answer = await ask(path="/orders")
    foreign = await ask("nobody.example.com")
    await kubectl("delete", "ingress", "shop")
    await until(is_unknown, "the deleted Ingress answers 404")
    assert table.split()[-3] == SHARED, table
    assert (answer.status, answer.pod) == (200, "web-1")
    assert foreign.status == 404

    async def is_empty() -> bool:
        return (await onehop.snapshot()).served.get("host", 0) == 0

    await until(is_empty, "no host is counted any more")


@needs_kubectl
@pytest.mark.usefixtures("shop")
async def test_rolling_the_endpoints_fails_no_request(cluster: Cluster) -> None:
    """Twenty rolls from one Pod to the other, as a Deployment does it; every request succeeds."""
    one, two = WEB_PODS.values()
    async with steady() as requests:
        await cluster.kubectl.apply(endpoints("web", one, two))
        await until(lambda: requests.pods["web-2"], "the second Pod is used")
        for going, staying in ((one, two), (two, one)) * 10:
            cluster.put(endpoints("web", staying, draining=(going,)))
            cluster.put(endpoints("web", staying))
            await requests.some_more(10)
        await cluster.kubectl.apply(endpoints("web", two))

        async def is_left() -> bool:
            before = requests.pods["web-1"]
            await requests.some_more(40)
            return requests.pods["web-1"] == before

        await until(is_left, "the first Pod is asked no more")


@needs_kubectl
@pytest.mark.usefixtures("onehop")
async def test_a_service_is_held_before_it_is_served_and_served_before_it_is_shown(
    cluster: Cluster,
) -> None:
    """Finalizer, then listener, then EXTERNAL-IP with ipMode Proxy; TCP and UDP answer."""
    queue = balancer(
        "queue",
        {"name": "amqp", "port": 5672, "protocol": "TCP"},
        {"name": "dns", "port": 5353, "protocol": "UDP"},
    )
    slices = endpoints(
        "queue",
        "10.244.1.3",
        ports=(
            {"name": "amqp", "port": 5672, "protocol": "TCP"},
            {"name": "dns", "port": 5353, "protocol": "UDP"},
        ),
    )
    async with (
        serve_tcp("queue-1", "10.244.1.3", 5672),
        serve_udp("dns-1", "10.244.1.3", 5353),
        cluster.watching(f"api/v1/namespaces/{SHOP}/services") as seen,
    ):
        await cluster.kubectl.apply(queue, slices)
        # Of the pool 192.0.2.20-29 the first address is free.
        await until(lambda: accepts("192.0.2.20", 5672), "the listener is there")
        held = cluster.read(SERVICES, "queue")["metadata"].get("finalizers", [])
        await until(lambda: cluster.addresses(SERVICES, "queue"), "the Service has an address")
        table = await cluster.kubectl("get", "service", "queue")
        line = await until(lambda: greeting("192.0.2.20", 5672), "TCP answers")
        datagram = await until(lambda: echo("192.0.2.20", 5353), "UDP answers")

    states = [event["object"] for event in seen if event["object"]["metadata"]["name"] == "queue"]
    first_held = next(n for n, s in enumerate(states) if s["metadata"].get("finalizers"))
    shown = [n for n, s in enumerate(states) if s["status"]["loadBalancer"].get("ingress")]
    entry = states[-1]["status"]["loadBalancer"]["ingress"][0]
    assert held == [FINALIZER]
    assert table.splitlines()[1].split()[3] == "192.0.2.20", table
    assert first_held < shown[0]
    assert (entry["ip"], entry["ipMode"]) == ("192.0.2.20", "Proxy")
    assert sorted((p["port"], p["protocol"]) for p in entry["ports"]) == [
        (5353, "UDP"),
        (5672, "TCP"),
    ]
    assert line.startswith("queue-1 saw")
    assert datagram.startswith("dns-1 saw")


@needs_kubectl
async def test_a_deleted_service_is_let_go_after_its_listener(
    cluster: Cluster, onehop: Onehop
) -> None:
    """The object vanishes, and by then nobody listens on its address any more."""
    async with serve_tcp("queue-1", "10.244.1.3", 5672):
        cluster.put(
            balancer("queue", {"port": 5672}),
            endpoints("queue", "10.244.1.3", ports=({"port": 5672},)),
        )
        await until(lambda: cluster.addresses(SERVICES, "queue"), "the Service has an address")
        async with cluster.watching(f"api/v1/namespaces/{SHOP}/services") as seen:
            await cluster.kubectl("delete", "service", "queue")
            still_there = await accepts("192.0.2.20", 5672)

    marked = [e["object"] for e in seen if e["object"]["metadata"].get("deletionTimestamp")]
    released = [s for s in marked if not s["metadata"].get("finalizers")]
    assert cluster.find(SERVICES, "queue") is None
    assert not still_there
    assert released or seen[-1]["type"] == "DELETED"
    assert (await onehop.snapshot()).served.get("vip", 0) == 1  # the shared one


@pytest.mark.usefixtures("onehop")
async def test_a_service_that_changes_its_type_is_released(cluster: Cluster) -> None:
    """No finalizer, no address in status and no listener stay behind; the address is free again."""
    async with serve_tcp("queue-1", "10.244.1.3", 5672):
        slices = endpoints("queue", "10.244.1.3", ports=({"port": 5672},))
        cluster.put(balancer("queue", {"port": 5672}), slices)
        await until(lambda: cluster.addresses(SERVICES, "queue"), "the Service has an address")
        live = cluster.read(SERVICES, "queue")
        live["spec"] = {"type": "ClusterIP", "ports": [{"port": 5672}]}
        del live["status"]
        cluster.put(live)

        await until(
            lambda: not cluster.read(SERVICES, "queue")["metadata"].get("finalizers"),
            "the finalizer is gone",
        )
        left = await accepts("192.0.2.20", 5672)
        await until(lambda: not cluster.addresses(SERVICES, "queue"), "the status is empty")
        cluster.put(
            balancer("other", {"port": 5672}),
            endpoints("other", "10.244.1.3", ports=({"port": 5672},)),
        )
        await until(lambda: cluster.addresses(SERVICES, "other"), "the other has an address")

    assert not left
    assert cluster.addresses(SERVICES, "other") == ["192.0.2.20"]


@pytest.mark.usefixtures("onehop")
async def test_a_services_life_is_told_in_the_events_people_script_on(cluster: Cluster) -> None:
    """EnsuringLoadBalancer, EnsuredLoadBalancer, DeletingLoadBalancer, DeletedLoadBalancer."""
    async with serve_tcp("queue-1", "10.244.1.3", 5672):
        cluster.put(
            balancer("queue", {"port": 5672}),
            endpoints("queue", "10.244.1.3", ports=({"port": 5672},)),
        )
        await until(lambda: cluster.events("queue", "EnsuredLoadBalancer"), "Ensured is said")
        cluster.remove(SERVICES, "queue")
        await until(lambda: cluster.events("queue", "DeletedLoadBalancer"), "Deleted is said")

    reasons = {event["reason"] for event in cluster.events("queue")}
    assert reasons == {
        "EnsuringLoadBalancer",
        "EnsuredLoadBalancer",
        "DeletingLoadBalancer",
        "DeletedLoadBalancer",
    }


@needs_kubectl
@pytest.mark.usefixtures("onehop")
async def test_an_unknown_annotation_is_told_and_changes_nothing_else(cluster: Cluster) -> None:
    """`kubectl describe` shows a Warning with its name, its value and what is allowed."""
    cluster.put(ingress(loadbalancing="least-request", balancing="fastest"))
    await until(lambda: "onehop.dev/loadbalancing:" in cluster.said("shop"), "the name is told")
    await until(lambda: "onehop.dev/balancing:" in cluster.said("shop"), "the value is told")
    await until(is_served, "the shop is served")

    described = await cluster.kubectl("describe", "ingress", "shop")
    answer = await ask()

    warnings = [line for line in described.splitlines() if line.split()[:1] == ["Warning"]]
    unknown = next(line for line in warnings if "onehop.dev/loadbalancing:" in line)
    wrong = next(line for line in warnings if "onehop.dev/balancing:" in line)
    assert "least-request" in unknown
    assert "fastest" in wrong
    for allowed in ("least-request", "round-robin", "hash"):
        assert allowed in wrong
    assert answer.status == 200


@pytest.mark.usefixtures("onehop")
async def test_foreign_objects_are_left_alone(cluster: Cluster) -> None:
    """Objects of other classes cost no write, and their hosts are not served."""
    foreign = ingress("foreign", "foreign.example.com")
    foreign["spec"]["ingressClassName"] = "nginx"
    service_of_others = service("theirs", type="LoadBalancer", loadBalancerClass="example.com/lb")
    cluster.put(foreign, service_of_others, service("classless", type="LoadBalancer"))
    cluster.put(ingress())
    await until(lambda: cluster.addresses(INGRESSES, "shop"), "ours has an address")

    assert (await ask("foreign.example.com")).status == 404
    assert cluster.requests.writes(resource="services") == 0
    assert cluster.requests.writes(resource="services/status") == 0
    assert cluster.requests.writes(resource="ingresses.networking.k8s.io/status") == 1
