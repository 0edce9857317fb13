"""`onehop bgp peers` against an API: what it prints, what it creates, and what it leaves alone."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import yaml

from onehop.base.errors import ConfigError, KubeForbidden, RejectedError
from onehop.cli.bgp import peers
from onehop.control.config import Config
from onehop.control.configfile import parse_config
from onehop.control.peering import sources_of
from onehop.lab.api import Server, Store, put, serve
from onehop.lab.api.faults import Forbidden
from onehop.model.address import IpAddr

CALICO_GROUP = "crd.projectcalico.org"
CILIUM_GROUP = "cilium.io"
CONFIGS = f"ciliumbgpclusterconfigs.{CILIUM_GROUP}"


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    """A cluster of two nodes, both on this host's loopback."""
    store = Store()
    for number in (1, 2):
        put(
            store,
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": f"n{number}"},
                "status": {"addresses": [{"type": "InternalIP", "address": f"127.0.0.{number}"}]},
            },
        )
    async with serve(store) as server:
        yield server


def define(server: Server, kind: str, plural: str, group: str, version: str) -> None:
    """Have a kind served."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    put(
        server.store,
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Cluster",
                "names": {"kind": kind, "plural": plural},
                "versions": [
                    {
                        "name": version,
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": schema},
                    }
                ],
            },
        },
    )


def define_calico(server: Server) -> None:
    """Have Calico's kinds served, without its own API server."""
    define(server, "BGPPeer", "bgppeers", CALICO_GROUP, "v1")
    define(server, "BGPConfiguration", "bgpconfigurations", CALICO_GROUP, "v1")


def define_cilium(server: Server, version: str = "v2") -> None:
    """Have Cilium's kinds served."""
    for kind in ("CiliumBGPAdvertisement", "CiliumBGPPeerConfig", "CiliumBGPClusterConfig"):
        define(server, kind, f"{kind.lower()}s", CILIUM_GROUP, version)


def config(server: Server, folder: Path, **bgp: Any) -> Config:
    """Return a configuration for this cluster."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(server.kubeconfig())
    text = json.dumps({"cluster": {"kubeconfig": str(kubeconfig)}, "bgp": bgp})
    return parse_config(text, name="onehop.yaml")


def specs(server: Server, resource: str) -> dict[str, Any]:
    """Return what the cluster has of a kind."""
    stored = server.store.collection(server.store.registry.named(resource)).all()
    return {item.key[1]: item.decode() for item in stored}


async def test_calico_s_peer_is_printed_and_nothing_is_written(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For whoever reviews, and applies by other means."""
    define_calico(server)

    assert await peers(
        config(server, tmp_path, asn=64900, neighbors="calico"), apply=False, output="text"
    )

    (printed,) = yaml.safe_load_all(capsys.readouterr().out)
    assert printed["apiVersion"] == "crd.projectcalico.org/v1"
    assert printed["spec"] == {
        "peerIP": "127.0.0.1",
        "asNumber": 64900,
        "nodeSelector": "all()",
        "keepOriginalNextHop": True,
    }
    assert specs(server, f"bgppeers.{CALICO_GROUP}") == {}


async def test_calico_s_own_api_is_preferred_and_a_mesh_is_left_for_reflectors(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It validates, and it is what Calico documents."""
    define_calico(server)
    define(server, "BGPPeer", "bgppeers", "projectcalico.org", "v3")
    put(
        server.store,
        {
            "apiVersion": "crd.projectcalico.org/v1",
            "kind": "BGPConfiguration",
            "metadata": {"name": "default"},
            "spec": {"nodeToNodeMeshEnabled": False, "asNumber": 64900},
        },
    )
    put(
        server.store,
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": "rr",
                "annotations": {
                    "projectcalico.org/RouteReflectorClusterID": "244.0.0.1",
                    "projectcalico.org/IPv4Address": "127.0.0.3/8",
                },
            },
        },
    )
    password = tmp_path / "password"
    password.write_text("s3cret")
    settings = config(
        server, tmp_path, asn=64900, neighbors="calico", nodePasswordFile=str(password)
    )

    assert await peers(settings, apply=False, output="text")

    text = capsys.readouterr().out
    (printed,) = yaml.safe_load_all(text)
    assert "calicoctl" in text
    assert "'onehop-bgp' must hold it" in text
    assert "s3cret" not in text
    assert printed["apiVersion"] == "projectcalico.org/v3"
    assert printed["spec"]["nodeSelector"] == "kubernetes.io/hostname in { 'rr' }"


async def test_applying_is_idempotent_and_mends_what_drifted(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Created, then left alone, then brought back."""
    define_calico(server)
    told = []
    for asn in (64900, 64900, 64901):
        settings = config(server, tmp_path, asn=asn, neighbors="calico")
        assert await peers(settings, apply=True, output="json")
        (said,) = json.loads(capsys.readouterr().out)
        told.append(said["done"])
    (stored,) = specs(server, f"bgppeers.{CALICO_GROUP}").values()

    assert told == ["created", "unchanged", "updated"]
    assert stored["spec"]["asNumber"] == 64901
    assert stored["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "onehop"}


async def test_what_is_not_ours_is_never_touched(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without our label somebody else has made it, whatever its name."""
    define_calico(server)
    settings = config(server, tmp_path, asn=64900, neighbors="calico")
    assert await peers(settings, apply=True, output="text")
    (name,) = specs(server, f"bgppeers.{CALICO_GROUP}")
    foreign = {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": "BGPPeer",
        "metadata": {"name": name},
        "spec": {"peerIP": "192.0.2.1", "asNumber": 1},
    }
    put(server.store, foreign)

    with pytest.raises(RejectedError, match="is not ours"):
        await peers(settings, apply=True, output="text")

    assert specs(server, f"bgppeers.{CALICO_GROUP}")[name]["spec"] == foreign["spec"]
    assert capsys.readouterr().out == f"BGPPeer/{name} created\n"


@pytest.mark.parametrize("version", ["v2", "v2alpha1"])
async def test_cilium_s_objects_are_created_and_shared_between_hosts(
    server: Server, tmp_path: Path, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another host's peer stays; in the version that this Cilium serves."""
    define_cilium(server, version)
    other = {"name": "onehop-lb0", "peerAddress": "127.0.0.9", "peerASN": 64900}
    put(
        server.store,
        {
            "apiVersion": f"{CILIUM_GROUP}/{version}",
            "kind": "CiliumBGPClusterConfig",
            "metadata": {
                "name": "onehop",
                "labels": {"app.kubernetes.io/managed-by": "onehop"},
            },
            "spec": {"bgpInstances": [{"name": "onehop", "localASN": 64900, "peers": [other]}]},
        },
    )
    settings = config(server, tmp_path, asn=64900, neighbors="cilium")

    assert await peers(settings, apply=True, output="text")

    said = capsys.readouterr().out.split()[1::2]
    (instance,) = specs(server, CONFIGS)["onehop"]["spec"]["bgpInstances"]
    assert said == ["created", "created", "updated"]
    assert {peer["peerAddress"] for peer in instance["peers"]} == {"127.0.0.1", "127.0.0.9"}
    assert await peers(settings, apply=True, output="text")
    assert set(capsys.readouterr().out.split()[1::2]) == {"unchanged"}


async def test_a_second_configuration_of_cilium_s_is_refused_before_anything_is_written(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A node takes one; with two, somebody's sessions would go."""
    define_cilium(server)
    put(
        server.store,
        {
            "apiVersion": f"{CILIUM_GROUP}/v2",
            "kind": "CiliumBGPClusterConfig",
            "metadata": {"name": "tor"},
            "spec": {"bgpInstances": []},
        },
    )
    settings = config(server, tmp_path, asn=64900, neighbors="cilium")

    with pytest.raises(RejectedError, match="CiliumBGPClusterConfig/tor configures the nodes"):
        await peers(settings, apply=True, output="text")
    assert await peers(settings, apply=False, output="text")

    said = capsys.readouterr()
    assert len(list(yaml.safe_load_all(said.out))) == 3
    assert "--apply would refuse" in said.err
    assert specs(server, f"ciliumbgppeerconfigs.{CILIUM_GROUP}") == {}


async def test_without_rights_it_can_be_printed_but_not_applied(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Onehop's own account may not read these objects, and need not."""
    define_calico(server)
    server.faults.arm(Forbidden(), f"bgppeers.{CALICO_GROUP}")
    settings = config(server, tmp_path, asn=64900, neighbors="calico")

    assert await peers(settings, apply=False, output="text")
    with pytest.raises(RejectedError):
        await peers(settings, apply=True, output="text")

    assert "BGPPeer" in capsys.readouterr().out


async def test_a_cluster_without_the_plugin_is_told_so(server: Server, tmp_path: Path) -> None:
    """Neither version is served."""
    with pytest.raises(RejectedError, match=r"serves no BGPPeer of projectcalico\.org/v3 nor"):
        await peers(
            config(server, tmp_path, asn=64900, neighbors="calico"), apply=True, output="text"
        )


async def test_no_nodes_and_no_route_are_told(server: Server, tmp_path: Path) -> None:
    """Nothing is made up."""
    define_calico(server)
    reserved = server.store.registry.named("nodes")
    for number in (1, 2):
        server.store.delete(reserved, ("", f"n{number}"))
    settings = config(server, tmp_path, asn=64900, neighbors="calico")

    with pytest.raises(RejectedError, match="no node has an address"):
        await peers(settings, apply=False, output="text")
    put(
        server.store,
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "n3"},
            "status": {"addresses": [{"type": "InternalIP", "address": "255.255.255.255"}]},
        },
    )
    with pytest.raises(RejectedError, match="no route to any node"):
        await peers(settings, apply=False, output="text")


@pytest.mark.parametrize("bgp", [{}, {"asn": 64900}], ids=["no-bgp", "a-list"])
async def test_it_is_for_plugins_only(server: Server, tmp_path: Path, bgp: dict[str, Any]) -> None:
    """Other routers are configured by other means."""
    with pytest.raises(ConfigError, match=r"bgp\.neighbors: there is nothing to create"):
        await peers(config(server, tmp_path, **bgp), apply=False, output="text")


async def test_a_folder_has_no_speakers(tmp_path: Path) -> None:
    """Objects in files answer nobody."""
    text = json.dumps({"cluster": {"manifests": str(tmp_path)}, "bgp": {"asn": 1}})

    with pytest.raises(ConfigError, match=r"cluster\.manifests: a folder has no BGP speakers"):
        await peers(parse_config(text, name="x"), apply=False, output="text")


def test_a_source_is_what_the_routing_table_chooses() -> None:
    """Loopback leads to itself; an address without a route has no source."""
    found = sources_of([IpAddr("127.0.0.1"), IpAddr("127.9.9.9"), IpAddr("255.255.255.255")])

    assert found == ("127.0.0.1",)


def test_forbidden_is_a_refusal() -> None:
    """The command ends with 1, not with a traceback."""
    assert issubclass(KubeForbidden, RejectedError)
