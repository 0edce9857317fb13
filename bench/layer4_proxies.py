"""HAProxy and Envoy as people set them up for TCP: what the kernel is measured against.

Each has one thread, one port of the VIP and the one Pod, and does nothing else.
"""

import json
from pathlib import Path
from typing import Any, Final

from onehop.driver.envoy.binary import find_envoy
from onehop.driver.haproxy.binary import find_haproxy
from onehop.model.address import IpAddr

PORTS: Final = {"haproxy": 81, "envoy": 82}
"""Of the VIP."""

_HAPROXY: Final = """\
global
    maxconn 2000
    nbthread 1
defaults
    mode tcp
    timeout connect 2s
    timeout client 300s
    timeout server 300s
listen service
    bind {vip}:{port}
    server pod {pod}
"""


def haproxy_command(folder: Path, vip: IpAddr, pod: tuple[IpAddr, int]) -> tuple[str, ...]:
    """Write a configuration of HAProxy's TCP mode, and return what runs it."""
    file = folder / "haproxy-tcp.cfg"
    file.write_text(
        _HAPROXY.format(vip=vip, port=PORTS["haproxy"], pod=f"{pod[0]}:{pod[1]}"), encoding="ascii"
    )
    return str(find_haproxy("haproxy")), "-db", "-f", str(file)


def envoy_command(folder: Path, vip: IpAddr, pod: tuple[IpAddr, int]) -> tuple[str, ...]:
    """Write a configuration of Envoy's TCP proxy, and return what runs it."""
    file = folder / "envoy-tcp.json"
    file.write_text(json.dumps(_envoy(vip, pod)), encoding="ascii")
    options = ("--concurrency", "1", "--log-level", "error", "--disable-hot-restart")
    return str(find_envoy()), "-c", str(file), *options


def _envoy(vip: IpAddr, pod: tuple[IpAddr, int]) -> dict[str, Any]:
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "service",
        "cluster": "service",
    }
    listener = {
        "name": "service",
        "address": _address(vip, PORTS["envoy"]),
        "filter_chains": [{"filters": [{"name": "tcp", "typed_config": proxy}]}],
    }
    endpoint = {"endpoint": {"address": _address(*pod)}}
    cluster = {
        "name": "service",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "service",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(address: IpAddr, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}
