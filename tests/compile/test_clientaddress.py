"""The client's own address: given on proof, taken back when the proof is gone."""

import msgspec
import pytest

from onehop.cluster import ClusterObject, EndpointSlice, Node, Service
from onehop.cluster.meta import Meta
from onehop.cluster.node import NodeAddress, NodeStatus
from onehop.cluster.service import ServicePort, ServiceSpec
from onehop.cluster.slice import SERVICE_NAME, SliceEndpoint, SliceMeta, SlicePort
from onehop.compile.clientaddress import keeps_source
from onehop.compile.compiler import Compiler
from onehop.compile.options import AddressPool, Options, PathPolicy
from onehop.model.address import Cidr, IpAddr
from onehop.model.endpoint import Path
from onehop.model.ident import ObjectRef
from onehop.model.listener import ForwardTcp, Listener
from onehop.model.problem import Reason

VIP = IpAddr("203.0.113.10")
CLIENTS = Cidr("198.51.100.0/24")
OPTIONS = Options(
    address_pools=(AddressPool(name="public", ranges=((VIP, VIP),)),),
    transparent_clients=(CLIENTS,),
    writes_back=False,
)
SERVICE = ObjectRef("Service", "shop", "web")


def service(path: str = "pod", **spec: str) -> Service:
    return Service(
        metadata=Meta(
            name="web",
            namespace="shop",
            annotations={"onehop.dev/client-address": "transparent", "onehop.dev/path": path},
        ),
        spec=ServiceSpec(
            type="LoadBalancer",
            load_balancer_class="onehop.dev/lb",
            load_balancer_source_ranges=("198.51.100.0/25",),
            ports=(ServicePort(port=80, node_port=30080),),
            **spec,  # type: ignore[arg-type]  # only fields that hold text
        ),
    )


def pods(*addresses: str) -> EndpointSlice:
    return EndpointSlice(
        metadata=SliceMeta(name="web-a", namespace="shop", labels={SERVICE_NAME: "web"}),
        address_type="IPv4",
        ports=(SlicePort(port=8080),),
        endpoints=tuple(SliceEndpoint(addresses=(each,), node_name="n") for each in addresses),
    )


def serving(*objects: ClusterObject) -> Compiler:
    compiler = Compiler(OPTIONS)
    for item in objects:
        compiler.put(item)
    compiler.settle()
    return compiler


def is_transparent(compiler: Compiler) -> bool:
    """Tell whether what the only listener sends to is transparent."""
    model = compiler.model()
    (listener,) = model.listeners
    assert isinstance(listener.handler, ForwardTcp)
    (pool,) = (each for each in model.pools if each.id == listener.handler.pool)
    return pool.is_transparent


def test_proof_makes_it_transparent_and_its_loss_unmakes_it() -> None:
    """Each time there is another pool, and a listener that sends to it: make before break."""
    compiler = serving(service(), pods("10.0.0.1"))
    assert not is_transparent(compiler)
    assert [each.reason for each in compiler.problems_of(SERVICE)] == [Reason.NO_RETURN_PATH]

    compiler.set_return_path(CLIENTS, works=True)
    outcome = compiler.settle()
    assert is_transparent(compiler)
    assert compiler.problems_of(SERVICE) == ()
    assert any(isinstance(row, Listener) for row in outcome.change.upserts)

    for doubt in (False, None):
        compiler.set_return_path(CLIENTS, works=doubt)
        compiler.settle()
        assert not is_transparent(compiler)


def test_only_what_is_asked_for_has_to_be_tried() -> None:
    """And with the Pods of those who ask for it."""
    compiler = serving(service(), pods("10.0.0.1", "10.0.0.2"))
    assert compiler.wanted_return_paths() == {CLIENTS}
    tried = [(each.address, each.port) for each in compiler.return_path_trials(CLIENTS)]
    assert tried == [("10.0.0.1", 8080), ("10.0.0.2", 8080)]

    compiler.set_return_path(CLIENTS, works=True)
    compiler.settle()
    assert compiler.wanted_return_paths() == {CLIENTS}
    assert len(compiler.return_path_trials(CLIENTS)) == 2

    compiler.remove(SERVICE)
    compiler.settle()
    assert compiler.wanted_return_paths() == frozenset()
    assert compiler.return_path_trials(CLIENTS) == ()


def test_a_service_that_cannot_be_transparent_has_nothing_tried() -> None:
    """On path node the Pod would see the node whatever comes back."""
    compiler = serving(service("node"), pods("10.0.0.1"))

    assert compiler.wanted_return_paths() == frozenset()
    assert [each.reason for each in compiler.problems_of(SERVICE)] == [Reason.UNSUPPORTED]


def test_what_is_dialled_is_what_is_tried() -> None:
    """On path local answers leave by the node, which may have other routes than its Pods."""
    node = Node(
        metadata=Meta(name="n"),
        status=NodeStatus(addresses=(NodeAddress(type="InternalIP", address="192.0.2.1"),)),
    )
    local = service("local", external_traffic_policy="Local")
    compiler = serving(local, pods("10.0.0.1"), node)

    tried = [(each.address, each.port) for each in compiler.return_path_trials(CLIENTS)]
    assert tried == [("192.0.2.1", 30080)]


@pytest.mark.parametrize(
    ("path", "policy", "kept"),
    [
        (Path.POD, "Cluster", True),
        (Path.LOCAL, "Cluster", False),
        (Path.LOCAL, "Local", True),
        (Path.NODE, "Cluster", False),
        (PathPolicy.AUTO, "Cluster", True),
        (PathPolicy.POD, "Cluster", True),
        (PathPolicy.LOCAL, "Local", True),
        (PathPolicy.LOCAL, "Cluster", False),
        (PathPolicy.NODE, "Cluster", False),
    ],
)
def test_the_rung_decides_whether_the_source_is_kept(
    path: Path | PathPolicy, policy: str, *, kept: bool
) -> None:
    """`node` hides it, `local` only where kube-proxy keeps to the node (KEP-1669)."""
    spec = service().spec
    asked = msgspec.structs.replace(
        service(), spec=msgspec.structs.replace(spec, external_traffic_policy=policy)
    )

    assert keeps_source(path, asked) is kept
