"""The objects that make a cluster's BGP speakers accept this host as a neighbour.

Calico: a BGPPeer (https://docs.tigera.io/calico/latest/reference/resources/bgppeer). Cilium: a
CiliumBGPClusterConfig, which says with whom, a CiliumBGPPeerConfig, which says how, and a
CiliumBGPAdvertisement, which says what
(https://docs.cilium.io/en/stable/network/bgp-control-plane/bgp-control-plane-configuration/).

They carry our label, and nothing without it is ever touched.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from onehop.compile.options import BgpOptions
from onehop.model.address import IpAddr, is_ipv6
from onehop.model.network import Neighbor, NeighborRole

OWNER_LABEL: Final = "app.kubernetes.io/managed-by"
OWNER: Final = "onehop"
PASSWORD_SECRET: Final = "onehop-bgp"  # noqa: S105  a name, not a password
PASSWORD_KEY: Final = "password"  # noqa: S105  likewise

_ADVERTISE_LABEL: Final = "onehop.dev/advertise"
_RESTART_S: Final = 120

Json = Mapping[str, Any]
"""What stands in a `spec`: plain JSON, on its way out."""


class PeerObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object to create, or to bring up to date.

    Attributes:
        api_versions: those that serve it, the one to prefer first.
        plural: the last element of its URL.
        labels: besides the owner's.
    """

    kind: str
    api_versions: tuple[str, ...]
    plural: str
    name: str
    spec: Json
    labels: Mapping[str, str] = {}

    def manifest(self, api_version: str) -> Json:
        """Return the whole object as it is sent or printed."""
        return {
            "apiVersion": api_version,
            "kind": self.kind,
            "metadata": {"name": self.name, "labels": {OWNER_LABEL: OWNER, **self.labels}},
            "spec": self.spec,
        }


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """This host, as the nodes see it.

    Attributes:
        name: fit for a part of an object's name.
        addresses: which the sessions come from, sorted.
    """

    name: str
    addresses: tuple[IpAddr, ...]


def calico_peers(
    host: Host, bgp: BgpOptions, neighbors: Iterable[Neighbor]
) -> tuple[PeerObject, ...]:
    """Return a BGPPeer for each address of ours, on every node or on the reflectors only.

    A node of another AS passes everybody's blocks on, and would make itself their next hop: from a
    reflector no route would prove anything, and from the nodes of a mesh each would look like a
    hijack. `keepOriginalNextHop` keeps the owner there.
    """
    neighbors = tuple(neighbors)
    reflectors = [n for n in neighbors if n.role is NeighborRole.REFLECTOR]
    names = sorted({n.name.partition("/")[0] for n in reflectors})
    listed = ", ".join(f"'{name}'" for name in names)
    selector = f"kubernetes.io/hostname in {{ {listed} }}" if reflectors else "all()"
    tellers = (n for n in neighbors if n.role is not NeighborRole.UPSTREAM)
    passes_on = any(neighbor.asn != bgp.asn for neighbor in tellers)
    return tuple(
        PeerObject(
            kind="BGPPeer",
            api_versions=("projectcalico.org/v3", "crd.projectcalico.org/v1"),
            plural="bgppeers",
            name=name,
            spec={
                "peerIP": address,
                "asNumber": bgp.asn,
                "nodeSelector": selector,
                **({"keepOriginalNextHop": True} if passes_on else {}),
                **({"password": _CALICO_PASSWORD} if bgp.node_password else {}),
            },
        )
        for name, address in _named(host)
    )


_CALICO_PASSWORD: Final = {"secretKeyRef": {"name": PASSWORD_SECRET, "key": PASSWORD_KEY}}


def cilium_peers(host: Host, bgp: BgpOptions) -> tuple[PeerObject, ...]:
    """Return the three objects of Cilium's.

    A node takes one CiliumBGPClusterConfig, so all hosts of ours share one, each with its peers.
    """
    family = {"safi": "unicast", "advertisements": {"matchLabels": {_ADVERTISE_LABEL: "pods"}}}
    advertisement = PeerObject(
        kind="CiliumBGPAdvertisement",
        api_versions=_CILIUM_VERSIONS,
        plural="ciliumbgpadvertisements",
        name="onehop-pods",
        labels={_ADVERTISE_LABEL: "pods"},
        spec={"advertisements": [{"advertisementType": "PodCIDR"}]},
    )
    how = PeerObject(
        kind="CiliumBGPPeerConfig",
        api_versions=_CILIUM_VERSIONS,
        plural="ciliumbgppeerconfigs",
        name="onehop",
        spec={
            "gracefulRestart": {"enabled": True, "restartTimeSeconds": _RESTART_S},
            "families": [{"afi": "ipv4", **family}, {"afi": "ipv6", **family}],
            **({"authSecretRef": PASSWORD_SECRET} if bgp.node_password else {}),
        },
    )
    peers = [
        {
            "name": name,
            "peerASN": bgp.asn,
            "peerAddress": address,
            "peerConfigRef": {"name": how.name},
        }
        for name, address in _named(host)
    ]
    instance = {"name": "onehop", "localASN": bgp.node_asn or bgp.asn, "peers": peers}
    whom = PeerObject(
        kind=CLUSTER_CONFIG,
        api_versions=_CILIUM_VERSIONS,
        plural="ciliumbgpclusterconfigs",
        name="onehop",
        spec={
            "nodeSelector": {"matchLabels": {"kubernetes.io/os": "linux"}},
            "bgpInstances": [instance],
        },
    )
    return (advertisement, how, whom)


CLUSTER_CONFIG: Final = "CiliumBGPClusterConfig"
_CILIUM_VERSIONS: Final = ("cilium.io/v2", "cilium.io/v2alpha1")


def _named(host: Host) -> Iterable[tuple[str, IpAddr]]:
    """Yield a name for each address: the first of a family is the host's, others are numbered."""
    counts = {False: 0, True: 0}
    for address in host.addresses:
        ipv6 = is_ipv6(address)
        counts[ipv6] += 1
        name = f"onehop-{host.name}" + ("-ipv6" if ipv6 else "")
        yield (name if counts[ipv6] == 1 else f"{name}-{counts[ipv6]}"), address


def with_other_hosts(spec: Json, present: Json) -> Json:
    """Return a CiliumBGPClusterConfig's spec with the peers that other hosts of ours have put in.

    A peer is another host's if neither its name nor its address is one of ours.
    """
    (instance,) = spec["bgpInstances"]
    names = {peer["name"] for peer in instance["peers"]}
    addresses = {peer["peerAddress"] for peer in instance["peers"]}
    others = [
        peer
        for there in present.get("bgpInstances") or ()
        if there.get("name") == instance["name"]
        for peer in there.get("peers") or ()
        if peer.get("name") not in names and peer.get("peerAddress") not in addresses
    ]
    peers = sorted([*instance["peers"], *others], key=lambda peer: str(peer.get("name")))
    return {**spec, "bgpInstances": [{**instance, "peers": peers}]}


def says(present: Any, wanted: Any) -> bool:
    """Tell whether an object on the server says all that is wanted.

    A server fills in defaults, so it may say more; a list has to be the same item by item.
    """
    if isinstance(wanted, Mapping) and isinstance(present, Mapping):
        return all(says(present.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(present, list):
        return len(wanted) == len(present) and all(map(says, present, wanted))
    return bool(present == wanted)
