"""The whole program with `dataPlane.layer4: kernel`: started, stopped, and started without."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from onehop.model.listener import Transport
from tests.driver_nftables.world import PORT, client, once, pod
from tests.e2e.program import onehop, running
from tests.e2e.waiting import until
from tests.net.crossroads import POD, VIP, Crossroads

pytestmark = [pytest.mark.root, pytest.mark.envoy, pytest.mark.slow]


def objects() -> list[dict[str, Any]]:
    """Return a Service of two ports, and its Pod."""
    ports = [{"name": name.lower(), "port": PORT, "protocol": str(name)} for name in Transport]
    meta = {"name": "web", "namespace": "shop"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {
                "type": "LoadBalancer",
                "loadBalancerClass": "onehop.dev/lb",
                "ports": [{**port, "targetPort": 8001} for port in ports],
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "web-1",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "ports": [{**port, "port": 8001} for port in ports],
            "endpoints": [{"addresses": [POD[4]], "conditions": {"ready": True}}],
        },
    ]


def configured(folder: Path, layer4: str) -> dict[str, Any]:
    """Return a configuration, with its manifests in place."""
    manifests = folder / "manifests"
    manifests.mkdir(exist_ok=True)
    (manifests / "web.yaml").write_text(yaml.safe_dump_all(objects()))
    return {
        "cluster": {"manifests": str(manifests)},
        "addresses": {
            "pools": [{"name": "public", "cidrs": [VIP[4]]}],
            "bind": {"none": True},
        },
        "dataPlane": {"layer4": layer4, "envoy": {"concurrency": 1}},
        "path": "pod",
    }


def test_connections_outlive_onehop_and_the_table_outlives_nobody(
    roads: Crossroads, tmp_path: Path
) -> None:
    """Stopped, the kernel goes on; started without the option, a proxy serves and it is swept."""

    async def main() -> None:
        async with pod(roads, 8001):
            async with running(tmp_path, configured(tmp_path, "kernel")) as first:
                assert (await once(roads))[0] == 8001
                assert (await once(roads, Transport.UDP))[0] == 8001
                assert (await first.snapshot()).data_plane["kernel_entrances"] == "2"

                async def is_counted() -> bool:
                    name = "onehop_kernel_connections_total"
                    return await first.metric(name, outcome="masqueraded") == 2

                await until(is_counted, "two connections")
                await asyncio.to_thread(roads.nft, "flush", "ruleset")
                drifts = partial(first.metric, DRIFTS, driver="nftables", kind="table")
                await until(drifts, "the drift")
                await until(partial(once, roads), "the repair")
                async with client(roads) as open_one:
                    assert await first.stop() == 0
                    assert (await open_one.ask())[0] == 8001
                    assert (await once(roads))[0] == 8001

            async with running(tmp_path, configured(tmp_path, "proxy")) as second:
                await until(
                    lambda: bool(second.logged("layer4_withdrawn_from_kernel")), "the sweep"
                )
                assert (await once(roads))[0] == 8001
            assert "onehop_l4" not in roads.nft("list", "ruleset")

    roads.balancer.run(main)


async def test_render_shows_both_parts(tmp_path: Path) -> None:
    """What nft would get, and what is left to Envoy."""
    file = tmp_path / "onehop.yaml"
    file.write_text(yaml.safe_dump(configured(tmp_path, "kernel")))
    ended = await onehop("render", "--config", str(file))

    assert ended.code == 0
    shown = yaml.safe_load(ended.out)
    assert any("add element inet onehop_l4 service4" in line for line in shown["nftables"])
    assert VIP[4] not in yaml.safe_dump(shown["proxy"])


def test_without_forwarding_the_proxy_serves_what_the_kernel_did(
    roads: Crossroads, tmp_path: Path
) -> None:
    """Switched off while onehop runs, as a script might; and on again."""

    async def main() -> None:
        async with pod(roads, 8001), running(tmp_path, configured(tmp_path, "kernel")) as program:

            async def in_kernel(count: int) -> bool:
                return (await program.snapshot()).data_plane["kernel_entrances"] == str(count)

            await until(partial(in_kernel, 2), "both ports in the kernel")
            FORWARD.write_text("0")
            await until(partial(in_kernel, 0), "both with Envoy")
            assert (await once(roads))[0] == 8001
            assert await program.metric(DRIFTS, driver="nftables", kind="forwarding") == 1
            FORWARD.write_text("1")
            await until(partial(in_kernel, 2), "both in the kernel again")
            assert (await once(roads))[0] == 8001

    roads.balancer.run(main)


DRIFTS = "onehop_data_plane_drifts_total"
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
