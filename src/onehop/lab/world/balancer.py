"""The `onehop.yaml` of a lab's load balancer: the whole of what a user would write for it."""

from pathlib import Path
from typing import Any, Final, assert_never

from onehop.lab.world.plan import CLIENT_NET, ROUTER_ASN, Host, Plan
from onehop.lab.world.spec import Underlay
from onehop.model.address import is_ipv6

METRICS_PORT: Final = 9080

_POOLS: Final = ("203.0.113.11-203.0.113.99", "2001:db8:113::11-2001:db8:113::99")
_RESTART_S: Final = 120
_DRAIN_S: Final = 1.0


def balancer_config(plan: Plan, host: Host, *, kubeconfig: Path, state: Path) -> dict[str, Any]:
    """Return the configuration of a host; its addresses are on `lo`, announced to the router."""
    config: dict[str, Any] = {
        "cluster": {"name": plan.spec.name, "kubeconfig": str(kubeconfig)},
        "addresses": {
            "shared": list(plan.shared),
            "pools": [{"name": "public", "cidrs": [_POOLS[family] for family in plan.families]}],
            "bind": {"interface": "lo"},
        },
        "dataPlane": {"envoy": {"concurrency": 1}},
        "state": str(state),
        "listen": {"metrics": f"127.0.0.1:{METRICS_PORT}"},
    }
    bgp: dict[str, Any] = {
        "asn": plan.spec.asn,
        "routerId": host.addresses[0],
        "upstream": _upstream(plan),
        # Time for the router to send clients elsewhere, where there is an elsewhere.
        "drainS": _DRAIN_S if len(plan.lbs) > 1 else 0.0,
    }
    if plan.spec.transparent:
        clients = [CLIENT_NET[family] for family in plan.families]
        config["transparent"] = {"clients": clients, "announce": True}
    match plan.spec.network:
        case Underlay.CALICO:
            bgp["neighbors"] = "calico"
        case Underlay.STATIC:
            config["reach"] = {"routes": "static"}
        case Underlay.VXLAN:
            config["reach"] = {"tunnel": "flannel"}
        case _:
            assert_never(plan.spec.network)
    return config | {"bgp": bgp}


def _upstream(plan: Plan) -> list[dict[str, Any]]:
    # A router keeps the routes of a neighbour that restarts. Where another load balancer has the
    # same VIPs, that would lead half of the clients to a host that may not come back.
    restart_s = _RESTART_S if len(plan.lbs) == 1 else 0
    return [
        {
            "name": f"router{6 if is_ipv6(address) else 4}",
            "address": address,
            "asn": ROUTER_ASN,
            "gracefulRestartS": restart_s,
        }
        for address in plan.router.addresses
    ]
