"""A node agent at work: packets in network namespaces go where kube-proxy would send them."""

import asyncio
import socket
import subprocess

import pytest

from onehop.lab.api import remove
from onehop.lab.controller import node_object
from onehop.lab.node import SECOND_HOP, counter_name, read_counters
from onehop.lab.node.table import NAME
from tests.lab_node.world import DEADLINE_S, OUTSIDE, Json, Lab, service

pytestmark = [pytest.mark.root, pytest.mark.slow]

NODE_PORT = "http://10.111.0.11:30080/"
NODE_PORT_6 = "http://[fd00:111::11]:30080/"


async def test_policy_cluster_goes_over_two_nodes_and_hides_the_client(world: Lab) -> None:
    """The Pod of the other node sees the first node; counters tell of the second hop."""
    world.put(service())
    world.controller()
    world.node(1)
    world.node(2)
    world.pod(2, 1)

    answer = await world.until_answered(NODE_PORT)
    answer6 = await world.until_answered(NODE_PORT_6)

    assert (answer["pod"], answer["saw"]) == ("web-1", "10.111.0.11")
    assert (answer6["pod"], answer6["saw"]) == ("web-1", "fd00:111::11")
    counters = await read_counters(("ip", "netns", "exec", world.prefix + "n1"))
    connections = counters[counter_name("connections", "shop/web/tcp/http")]
    # More may have begun before the route to the other node was there.
    assert connections.packets >= counters["masqueraded"].packets >= 2
    assert counters[SECOND_HOP].packets >= 2 * 5  # a request and its answer take at least five


@pytest.mark.parametrize(("network", "device"), [("static", "eth0"), ("vxlan", "flannel")])
async def test_pods_of_other_nodes_are_reached_without_bgp(
    world: Lab, network: str, device: str
) -> None:
    """By routes of the agent's, to the node itself or into an overlay; in both families."""
    for number in (1, 2):
        made = node_object(
            f"node{number}",
            addresses=[f"10.111.0.1{number}/24", f"fd00:111::1{number}/64"],
            pod_cidrs=[f"10.244.{number}.0/24", f"fd00:244:{number}::/64"],
        )
        world.put(made)
        world.node(number, network=network)
    world.put(service())
    world.controller()
    world.pod(2, 1)

    assert (await world.until_answered(NODE_PORT))["pod"] == "web-1"
    assert (await world.until_answered(NODE_PORT_6))["pod"] == "web-1"
    for family, prefix in (("-4", "10.244.2.0/24"), ("-6", "fd00:244:2::/64")):
        assert f"dev {device}" in world.ip("n1", family, "route", "show", prefix)


async def test_policy_local_keeps_the_client_and_drops_where_no_pod_is(world: Lab) -> None:
    """The healthCheckNodePorts say which node to use."""
    world.put(service(externalTrafficPolicy="Local", healthCheckNodePort=32000))
    world.controller()
    world.node(1)
    world.node(2)
    world.pod(1, 1)

    assert (await world.until_answered(NODE_PORT))["saw"] == OUTSIDE[0]
    assert (await world.until_answered(NODE_PORT_6))["saw"] == OUTSIDE[1]
    health = await world.until_answered("http://10.111.0.11:32000/healthz")
    assert health["localEndpoints"] == 1
    health = await world.until_answered("http://10.111.0.12:32000/", status=503)
    assert health == {
        "service": {"namespace": "shop", "name": "web"},
        "localEndpoints": 0,
        "serviceProxyHealthy": True,
    }
    status, _ = await world.get("http://10.111.0.12:30080/")
    counters = await read_counters(("ip", "netns", "exec", world.prefix + "n2"))
    assert status == 0
    assert counters["dropped"].packets > 0


async def test_a_client_stays_with_its_pod_if_the_service_says_so(world: Lab) -> None:
    """Without affinity both Pods are picked, by chance; and a client's choice outlives changes."""
    world.put(service())
    world.controller()
    world.node(1)
    world.pod(1, 1)
    world.pod(1, 2)
    await world.until(lambda: len(world.ready()) == 2)
    seen: set[str] = set()
    async with asyncio.timeout(DEADLINE_S):
        while len(seen) < 2:
            seen.add((await world.until_answered(NODE_PORT))["pod"])

    world.put(service(sessionAffinity="ClientIP"))
    # Only this family's: tables are changed and listed one after another.
    rules = f"{world.prefix}n1", "nft", "list", "table", "ip", NAME
    await world.until(
        lambda: b"saddr @affinity" in subprocess.check_output(["ip", "netns", "exec", *rules])
    )

    picked = {(await world.until_answered(NODE_PORT))["pod"] for _ in range(10)}
    world.put(service("other", ports=[{"name": "http", "port": 81}]))
    picked |= {(await world.until_answered(NODE_PORT))["pod"] for _ in range(10)}
    assert len(picked) == 1


async def test_readiness_is_what_the_probe_finds(world: Lab) -> None:
    """A Pod that does not answer its probe is no endpoint; a process that dies is none either."""
    world.put(service())
    world.controller()
    world.node(1)
    world.pod(1, 1)
    await world.until(lambda: world.ready() == {("10.244.1.1", True, False)})
    world.put(unanswered_probe(world, "web-1"))
    await world.until(lambda: world.ready() == {("10.244.1.1", False, False)})

    world.pod(1, 2)
    await world.until(lambda: ("10.244.1.2", True, False) in world.ready())
    world.processes[-1].kill()
    await world.until(lambda: ("10.244.1.2", False, False) in world.ready())


def unanswered_probe(world: Lab, name: str) -> Json:
    """Return a Pod with a readinessProbe of a port that nobody listens on."""
    pod = world.find("pods", name)
    assert pod is not None
    get = {"path": "/", "port": 9999}
    pod["spec"]["containers"][0]["readinessProbe"] = {"httpGet": get, "periodSeconds": 1}
    return pod


async def test_a_deleted_pod_ends_in_its_time(world: Lab) -> None:
    """It is terminating and still serves, first; then it is gone, and its node port refuses."""
    world.put(service())
    world.controller()
    world.node(1)
    name = world.pod(1, 1, ends_after_s=10.0)
    await world.until_answered(NODE_PORT)

    remove(world.store, "pods", "shop", name)

    await world.until(lambda: world.ready() == {("10.244.1.1", False, True)})
    assert (await world.until_answered(NODE_PORT))["pod"] == name
    await world.until(lambda: world.ready() == set())
    assert world.find("pods", name) is None


async def test_a_udp_flow_leaves_the_endpoint_that_is_gone(world: Lab) -> None:
    """The client sends from one port all the time, and is answered by the Pod that is left."""
    world.put(service())
    world.controller()
    world.node(1)
    first, second = world.pod(1, 1), world.pod(1, 2)
    await world.until(lambda: len(world.ready()) == 2)

    def open_socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(0.3)
        made.connect(("10.111.0.11", 30053))
        return made

    def ask(client: socket.socket) -> str:
        try:
            client.send(b"?")
            return client.recv(100).decode().partition(" ")[0]
        except OSError:
            return ""

    client = world.inside("ext", open_socket)
    with client:
        answers = [""]  # a datagram may be lost

        def is_chosen() -> bool:
            answers.append(ask(client))
            return answers[-1] in {first, second}

        await world.until(is_chosen)
        chosen = answers[-1]
        remove(world.store, "pods", "shop", chosen)
        other = second if chosen == first else first
        await world.until(lambda: ask(client) == other)
