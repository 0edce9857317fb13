"""Calico's own objects: the definitions of the kinds that the lab uses, and manifests of them.

Kinds and fields as in the CRDs of calico `libcalico-go/config/crd` (group crd.projectcalico.org,
version v1). The schemas keep what they do not know, because the lab checks nothing of them.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

GROUP: Final = "crd.projectcalico.org"
VERSION: Final = f"{GROUP}/v1"
POOLS: Final[Mapping[str, tuple[str, int]]] = {
    "default-ipv4-ippool": ("10.244.0.0/16", 26),
    "default-ipv6-ippool": ("fd00:244::/48", 122),
}
"""Name of each pool, its prefix and the length of its blocks; 26 and 122 are Calico's defaults."""
DEFAULT_ASN: Final = 64512

_KINDS: Final = (
    ("BGPConfiguration", "bgpconfigurations"),
    ("BGPPeer", "bgppeers"),
    ("BlockAffinity", "blockaffinities"),
    ("IPPool", "ippools"),
)


def calico_definitions() -> tuple[Json, ...]:
    """Return the CustomResourceDefinitions."""
    return tuple(_definition(kind, plural) for kind, plural in _KINDS)


def bgp_configuration(*, asn: int = DEFAULT_ASN, mesh: bool = True) -> Json:
    """Return the BGPConfiguration `default`."""
    spec = {"asNumber": asn, "nodeToNodeMeshEnabled": mesh, "logSeverityScreen": "Info"}
    return _object("BGPConfiguration", "default", spec)


def ip_pool(name: str, cidr: str, *, block_size: int, **spec: object) -> Json:
    """Return an IPPool without an overlay; `spec` adds to it, such as `vxlanMode="Always"`."""
    usual = {
        "cidr": cidr,
        "blockSize": block_size,
        "ipipMode": "Never",
        "vxlanMode": "Never",
        "natOutgoing": True,
        "nodeSelector": "all()",
        "allowedUses": ["Workload", "Tunnel"],
    }
    return _object("IPPool", name, usual | spec)


def block_affinity(node: str, cidr: str) -> Json:
    """Return the BlockAffinity by which a node owns a block."""
    block = str(ipaddress.ip_network(cidr))
    name = f"{node}-{block.replace('.', '-').replace(':', '-').replace('/', '-')}"
    spec = {"state": "confirmed", "node": node, "cidr": block, "deleted": "false"}
    return _object("BlockAffinity", name, spec)


def bgp_peer(name: str, **spec: object) -> Json:
    """Return a BGPPeer, as in `bgp_peer("lb", peerIP="10.111.0.2", asNumber=64512)`."""
    return _object("BGPPeer", name, spec)


def free_blocks(pool: str, length: int, taken: Iterable[str]) -> Iterator[str]:
    """Yield the blocks of a pool that nobody has, lowest first."""
    held = {str(ipaddress.ip_network(cidr)) for cidr in taken}
    networks: Iterator[Network] = ipaddress.ip_network(pool).subnets(new_prefix=length)
    return (str(network) for network in networks if str(network) not in held)


def _object(kind: str, name: str, spec: Mapping[str, object]) -> Json:
    return {
        "apiVersion": VERSION,
        "kind": kind,
        "metadata": {"name": name},
        "spec": dict(spec),
    }


def _definition(kind: str, plural: str) -> Json:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "preserveUnknownFields": False,
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
