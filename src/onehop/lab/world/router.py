"""The router between clients and the cluster: a BIRD that hears from the load balancers."""

from onehop.lab.world.plan import ROUTER_ASN, VIP_NET, Plan
from onehop.model.address import is_ipv6

_HEAD = """\
# A router upstream of the load balancers: it hears their VIPs, and spreads over all who have one.
router id {address};
log stderr all;
protocol device {{ }}
"""

_FAMILY = """\
protocol kernel kernel{number} {{
    {channel} {{ import none; export all; }};
    merge paths on limit 16;
}}
"""

# Several load balancers: one that is killed is left at once, its TCP connection says so. A single
# one has nobody beside it, so its routes stay while it restarts (RFC 4724): onehop asks for that.
_NEIGHBOR = """\
protocol bgp {name} {{
    local {router} as {router_asn};
    neighbor {neighbor} as {neighbor_asn};
    hold time 9; keepalive time 3; connect retry time 1;
    error wait time 1, 5;
    graceful restart aware;
    {channel} {{
        import filter {{ if net ~ [ {vips}+ ] then accept; reject; }};
        export none;
    }};
}}
"""


def router_config(plan: Plan) -> str:
    """Return the configuration of its BIRD 2."""
    parts = [_HEAD.format(address=plan.router.addresses[0])]
    parts += [
        _FAMILY.format(number=(4, 6)[family], channel=f"ipv{(4, 6)[family]}")
        for family in plan.families
    ]
    for host in plan.lbs:
        for address, own in zip(host.addresses, plan.router.addresses, strict=True):
            number = 6 if is_ipv6(address) else 4
            parts.append(
                _NEIGHBOR.format(
                    name=f"{host.name}_{number}",
                    router=own,
                    router_asn=ROUTER_ASN,
                    neighbor=address,
                    neighbor_asn=plan.spec.asn,
                    channel=f"ipv{number}",
                    vips=VIP_NET[is_ipv6(address)],
                )
            )
    return "".join(parts)
