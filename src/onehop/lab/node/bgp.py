"""With whom this node speaks BGP, and what it tells, as Calico's confd sees it; pure.

It is not Calico. The model is calico `confd/pkg/backends/calico/client.go` (which BGPPeer means
which node) and the templates in `confd/etc/calico/confd/templates`: the full mesh unless the node
is a route reflector, BGPPeers of one node, of selected nodes, of all, and peerings among nodes by
`peerSelector`, which hold in both directions.
"""

import base64
import binascii
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from onehop.base.errors import ConfigError
from onehop.lab.node.object import (
    BgpConfigurationSpec,
    BgpPeer,
    BgpPeerSpec,
    BlockAffinity,
    IpPool,
    Node,
    Secret,
)
from onehop.lab.node.selector import matches

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface

PORT: Final = 179
FAMILIES: Final = (4, 6)
CLUSTER_ID: Final = "projectcalico.org/RouteReflectorClusterID"
AS_NUMBER: Final = "projectcalico.org/ASNumber"
BFD_IF_DIRECT: Final = "BFDIfDirectlyConnected"


class Session(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A BGP session.

    Attributes:
        name: as Calico names it: `Mesh_10_0_0_1`, `Global_...`, `Node_...`.
        port: of the neighbour.
        source: our address; "" leaves it to the kernel.
        is_passive: the neighbour connects to us.
        is_direct: the neighbour is on a link of ours and nothing else will do, as BFD over one hop
            demands (RFC 5881); otherwise the session may cross routers.
        client_of: our cluster id, if we reflect routes to the neighbour; "" if we do not.
        restart_s: how long its routes are kept while it restarts; 0 is BIRD's default.
        password: of TCP MD5 signatures (RFC 2385); "" for none.
    """

    name: str
    neighbor: str
    asn: int
    port: int = PORT
    source: str = ""
    is_passive: bool = False
    is_direct: bool = False
    has_bfd: bool = False
    client_of: str = ""
    restart_s: int = 0
    keeps_next_hop: bool = False
    password: str = ""

    @property
    def family(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.neighbor).version


class Pool(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """Addresses that Pods have.

    Attributes:
        is_told: whether BGP neighbours hear of its blocks.
        is_installed: whether BIRD puts its routes into the kernel; Felix does for an overlay's.
    """

    cidr: str
    is_told: bool = True
    is_installed: bool = True


class BgpPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All that BIRD's configuration says.

    Attributes:
        listen_port: where it listens.
        blocks: this node's, told as a whole.
        families: those in which the node has an address.
    """

    router_id: str
    asn: int
    listen_port: int
    families: tuple[int, ...]
    blocks: tuple[str, ...]
    pools: tuple[Pool, ...]
    sessions: tuple[Session, ...]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A node as a BGP speaker."""

    name: str
    addresses: Mapping[int, Interface]
    asn: int
    cluster_id: str
    labels: Mapping[str, str]

    def text(self, family: int) -> str:
        """Return its address of a family; KeyError if it has none."""
        return str(self.addresses[family].ip)


class BgpFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the API says.

    Attributes:
        name: of this node.
        addresses: this node's, used where its Node object carries none.
        secrets: those of calico-node's namespace.
    """

    name: str
    addresses: tuple[str, ...]
    configuration: BgpConfigurationSpec
    nodes: tuple[Node, ...]
    peers: tuple[BgpPeer, ...]
    affinities: tuple[BlockAffinity, ...]
    pools: tuple[IpPool, ...]
    secrets: tuple[Secret, ...]
    default_asn: int


def make_plan(facts: BgpFacts) -> BgpPlan:
    """Return what BIRD on this node shall do; everything in it is sorted.

    Raises:
        ConfigError: a Node's annotations cannot be read.
    """
    speakers = {node.metadata.name: _speaker(node, facts) for node in facts.nodes}
    me = speakers.get(facts.name) or _lonely(facts)
    sessions = {
        (session.neighbor, session.port): session
        for session in (*_mesh(me, speakers.values(), facts), *_peerings(me, speakers, facts))
        if session.neighbor not in {str(each.ip) for each in me.addresses.values()}
    }
    v4 = me.addresses.get(4)
    return BgpPlan(
        router_id=str(v4.ip) if v4 else _router_id(facts.name),
        asn=me.asn,
        listen_port=facts.configuration.listen_port or PORT,
        families=tuple(family for family in FAMILIES if family in me.addresses),
        blocks=tuple(
            sorted(
                each.spec.cidr
                for each in facts.affinities
                if each.spec.node == facts.name
                and each.spec.state == "confirmed"
                and each.spec.deleted != "true"
            )
        ),
        pools=tuple(sorted(_pool(each) for each in facts.pools)),
        sessions=tuple(sorted(sessions.values())),
    )


def _speaker(node: Node, facts: BgpFacts) -> Peer:
    notes = node.metadata.annotations
    told = [notes[key] for key in _address_keys() if key in notes]
    if node.metadata.name == facts.name and not told:
        told = list(facts.addresses)
    try:
        interfaces = [ipaddress.ip_interface(each) for each in told]
        asn = int(notes.get(AS_NUMBER) or facts.configuration.as_number or facts.default_asn)
    except ValueError as error:
        raise ConfigError(f"annotations of Node {node.metadata.name}: {error}") from error
    return Peer(
        name=node.metadata.name,
        addresses={each.version: each for each in interfaces},
        asn=asn,
        cluster_id=notes.get(CLUSTER_ID, ""),
        labels=node.metadata.labels,
    )


def _address_keys() -> Iterator[str]:
    return (f"projectcalico.org/IPv{family}Address" for family in FAMILIES)


def _lonely(facts: BgpFacts) -> Peer:
    interfaces = [ipaddress.ip_interface(each) for each in facts.addresses]
    return Peer(
        name=facts.name,
        addresses={each.version: each for each in interfaces},
        asn=facts.configuration.as_number or facts.default_asn,
        cluster_id="",
        labels={},
    )


def _router_id(name: str) -> str:
    """Return a router id for a node without IPv4 (`CALICO_ROUTER_ID=hash`)."""
    return str(ipaddress.IPv4Address(binascii.crc32(name.encode()) or 1))


def _pool(pool: IpPool) -> Pool:
    return Pool(
        cidr=str(ipaddress.ip_network(pool.spec.cidr)),
        is_told=not pool.spec.disable_bgp_export,
        is_installed=pool.spec.vxlan_mode == "Never",
    )


def _mesh(me: Peer, speakers: Iterable[Peer], facts: BgpFacts) -> Iterator[Session]:
    if not facts.configuration.node_to_node_mesh_enabled or me.cluster_id:
        return
    for other in speakers:
        if other.name != me.name and not other.cluster_id:
            port = facts.configuration.listen_port or PORT
            yield from _among_nodes("Mesh", me, other, BgpPeerSpec(max_restart_time="120s"), port)


def _peerings(me: Peer, speakers: Mapping[str, Peer], facts: BgpFacts) -> Iterator[Session]:
    """Yield the sessions that BGPPeers ask for; those of one node last, for they overrule."""
    everybodys = sorted(facts.peers, key=lambda peer: (_is_of_nodes(peer.spec), peer.metadata.name))
    for peer in everybodys:
        spec = peer.spec
        password = _password(spec, facts.secrets)
        kind = "Node" if _is_of_nodes(spec) else "Global"
        found: Iterator[Session] = iter(())
        if spec.peer_selector:
            found = _by_selector(me, speakers, spec, facts)
        elif _means(spec, me):
            found = _outside(kind, me, spec)
        for session in found:
            yield msgspec.structs.replace(session, password=password)


def _is_of_nodes(spec: BgpPeerSpec) -> bool:
    return bool(spec.node or spec.node_selector)


def _means(spec: BgpPeerSpec, node: Peer) -> bool:
    """Return whether a BGPPeer is for a node; a selector that cannot be read selects nobody."""
    if spec.node:
        return spec.node == node.name
    return not spec.node_selector or _selects(spec.node_selector, node)


def _selects(selector: str, node: Peer) -> bool:
    try:
        return matches(selector, node.labels)
    except ConfigError:
        return False


def _by_selector(
    me: Peer, speakers: Mapping[str, Peer], spec: BgpPeerSpec, facts: BgpFacts
) -> Iterator[Session]:
    port = facts.configuration.listen_port or PORT
    for other in speakers.values():
        forth = _means(spec, me) and _selects(spec.peer_selector, other)
        back = _means(spec, other) and _selects(spec.peer_selector, me)
        if other.name != me.name and (forth or back):
            yield from _among_nodes("Node", me, other, spec, port)


def _among_nodes(
    kind: str, me: Peer, other: Peer, spec: BgpPeerSpec, port: int
) -> Iterator[Session]:
    for family in me.addresses.keys() & other.addresses.keys():
        theirs, ours = other.addresses[family], me.addresses[family]
        session = _session(kind, me, (str(theirs.ip), port), other.asn, spec, other.cluster_id)
        # One side connects, so that no restart is disturbed by the other's attempts.
        yield msgspec.structs.replace(
            session,
            is_passive=int(theirs.ip) > int(ours.ip),
            source=str(ours.ip),
        )


def _outside(kind: str, me: Peer, spec: BgpPeerSpec) -> Iterator[Session]:
    parsed = _parse_peer(spec.peer_ip)
    if parsed is None or ipaddress.ip_address(parsed[0]).version not in me.addresses:
        return
    yield _session(kind, me, parsed, spec.as_number or me.asn, spec, "")


def _session(  # noqa: PLR0913, PLR0917  the parts of a session
    kind: str,
    me: Peer,
    at: tuple[str, int],
    asn: int,
    spec: BgpPeerSpec,
    their_cluster: str,
) -> Session:
    address, port = at
    target = ipaddress.ip_address(address)
    ours = me.addresses[target.version]
    is_direct = spec.failure_detection == BFD_IF_DIRECT and target in ours.network
    reflects = bool(me.cluster_id) and asn == me.asn and their_cluster != me.cluster_id
    suffix = f"_port_{port}" if port != PORT else ""
    return Session(
        name=f"{kind}_{address.replace('.', '_').replace(':', '_')}{suffix}",
        neighbor=address,
        asn=asn,
        port=port,
        source=str(ours.ip) if spec.source_address == "UseNodeIP" else "",
        is_direct=is_direct,
        has_bfd=is_direct,
        client_of=me.cluster_id if reflects else "",
        restart_s=_seconds(spec.max_restart_time),
        keeps_next_hop=spec.keep_next_hop and asn != me.asn,
    )


def _parse_peer(text: str) -> tuple[str, int] | None:
    """Return address and port of a `peerIP`, or None if it is neither."""
    address, port = text, str(PORT)
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    try:
        return str(ipaddress.ip_address(address)), int(port)
    except ValueError:
        return None


def _seconds(text: str) -> int:
    """Return the seconds of a Go duration of one unit (`120s`, `2m`), or 0."""
    scale = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    return int(text[:-1]) * scale if scale and text[:-1].isdecimal() else 0


def _password(spec: BgpPeerSpec, secrets: Iterable[Secret]) -> str:
    """Return the password, or "" if it cannot be read: Calico then speaks without one, too."""
    ref = spec.password.secret_key_ref if spec.password else None
    if ref is None:
        return ""
    for secret in secrets:
        if secret.metadata.name == ref.name and ref.key in secret.data:
            found = base64.b64decode(secret.data[ref.key]).decode(errors="replace")
            # BIRD's text has no way to write these.
            return "" if any(each in found for each in '"\n\r\0') else found
    return ""
