"""What a lab shall be: the answers to the questions that `onehop lab up` asks."""

import re
from enum import StrEnum
from typing import Final

import msgspec

MOST_NODES: Final = 100
MOST_LBS: Final = 3
MOST_PODS_OF_A_NODE: Final = 60
"""A Calico block is a /26; its first addresses are left out."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,9}")


class Underlay(StrEnum):
    """How the nodes' Pods are reached from the nodes' network."""

    CALICO = "calico"
    """The nodes' BIRD announces their blocks (/26) by BGP."""
    STATIC = "static"
    """Nobody announces anything: routes follow from Node.spec.podCIDRs, as flannel host-gw does."""
    VXLAN = "vxlan"
    """Pods are in an overlay that nodes and load balancers are ends of, as flannel vxlan's are."""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """The size and the manner of a lab.

    Attributes:
        name: begins the name of every namespace; lower case letters and digits, so that no
            lab's names can begin with another lab's name and a dash.
        nodes: nodes of the cluster.
        pods: how many there are in all, spread evenly over the nodes.
        lbs: load balancer hosts.
        asn: of the load balancers; the nodes' own is 64512, so theirs is iBGP by default.
        ipv6: whether everything has IPv6 addresses as well.
        transparent: whether the nodes are told by BGP that the clients are behind the load
            balancers, so that Pods may see the clients' own addresses.
    """

    name: str = "ohlab"
    nodes: int = 3
    pods: int = 6
    lbs: int = 1
    ipv6: bool = False
    network: Underlay = Underlay.CALICO
    asn: int = 64512
    transparent: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r}: a letter, then up to 9 letters or digits")
        for word, value, least, most in (
            ("nodes", self.nodes, 1, MOST_NODES),
            ("lbs", self.lbs, 1, MOST_LBS),
            ("asn", self.asn, 1, (1 << 32) - 1),
            ("pods", self.pods, 0, self.nodes * MOST_PODS_OF_A_NODE),
        ):
            if not least <= value <= most:
                raise ValueError(f"{word}: {value}; allowed is {least} to {most}")
