"""Networks to speak for, each with its story, and any network at all."""

import ipaddress
from typing import Final

from hypothesis import strategies as st

from onehop.model.address import Cidr, IpAddr
from onehop.model.certificate import SecretText
from onehop.model.network import Block, Neighbor, NeighborRole, Network
from onehop.net.bird import Speaker


def block(prefix: str, node: str, *hops: str) -> Block:
    return Block(prefix=Cidr(prefix), node=node, hops=tuple(map(IpAddr, hops)))


def node(name: str, address: str, asn: int = 64512, **more: object) -> Neighbor:
    return _neighbor(NeighborRole.NODE, name, address, asn, **more)


def reflector(name: str, address: str, asn: int = 64512, **more: object) -> Neighbor:
    return _neighbor(NeighborRole.REFLECTOR, name, address, asn, **more)


def upstream(name: str, address: str, asn: int = 64600, **more: object) -> Neighbor:
    return _neighbor(NeighborRole.UPSTREAM, name, address, asn, hears_vips=True, **more)


def _neighbor(role: NeighborRole, name: str, address: str, asn: int, **more: object) -> Neighbor:
    return Neighbor(name=name, role=role, address=IpAddr(address), asn=asn, **more)  # type: ignore[arg-type]  # fields by name


RANGE4: Final = Cidr("10.244.0.0/16")
RANGE6: Final = Cidr("fd00:10:244::/48")
HOPS1: Final = ("192.0.2.11", "2001:db8::11")
HOPS2: Final = ("192.0.2.12", "2001:db8::12")
BLOCKS: Final = (
    block("10.244.1.0/24", "node-1", *HOPS1),
    block("10.244.2.0/24", "node-2", *HOPS2),
    block("fd00:10:244:1::/64", "node-1", *HOPS1),
    block("fd00:10:244:2::/64", "node-2", *HOPS2),
)

SPEAKERS: Final = {
    "nothing": Speaker(network=Network(), router_id=IpAddr("192.0.2.1")),
    "calico-mesh": Speaker(
        network=Network(
            asn=64512,
            neighbors=(node("node-1", "192.0.2.11"), node("node-2", "192.0.2.12")),
            blocks=(BLOCKS[0], BLOCKS[1]),
            ranges=(RANGE4,),
        ),
        router_id=IpAddr("192.0.2.1"),
    ),
    "dual-stack-nodes-and-router": Speaker(
        network=Network(
            asn=64512,
            neighbors=(
                node("node-1", "192.0.2.11", hears_return=True),
                node("node-1/ipv6", "2001:db8::11", hears_return=True),
                upstream("tor-a", "192.0.2.254", bfd=True, graceful_restart_s=0),
            ),
            blocks=BLOCKS,
            ranges=(RANGE4, RANGE6),
        ),
        vips=(IpAddr("203.0.113.10"), IpAddr("2001:db8:1::10")),
        returns=(Cidr("198.51.100.0/24"),),
        router_id=IpAddr("192.0.2.1"),
    ),
    "reflectors-over-hops": Speaker(
        network=Network(
            asn=64512,
            neighbors=(
                reflector("rr-1", "198.51.100.1", multihop=3, source=IpAddr("192.0.2.1")),
                reflector(
                    *("rr-2", "198.51.100.2"),
                    multihop=3,
                    source=IpAddr("192.0.2.1"),
                    bfd=True,
                    password=SecretText("a $pass# {word};"),
                ),
            ),
            blocks=(BLOCKS[0], block("10.244.1.64/26", "node-2", *HOPS2)),
            ranges=(RANGE4,),
        ),
        router_id=IpAddr("192.0.2.1"),
        version=(2, 17, 6),
    ),
    "included-by-another-bird": Speaker(
        network=Network(
            asn=4_200_000_000,
            neighbors=(
                node("node-1", "192.0.2.11", 64513, port=1790, password=SecretText("secret")),
                upstream("tor", "192.0.2.254", hears_return=True),
            ),
            blocks=(BLOCKS[0],),
            ranges=(RANGE4,),
        ),
        vips=(IpAddr("203.0.113.10"),),
        for_include=True,
    ),
}

_V4: Final = st.ip_addresses(v=4)
_V6: Final = st.ip_addresses(v=6)
_ADDRESSES: Final = st.one_of(_V4, _V6).map(lambda ip: IpAddr(str(ip)))
_NAMES: Final = st.text(max_size=80) | st.sampled_from(["node-1", "node_1", "Node-1", "n"])


def _prefix(address: IpAddr, length: int) -> Cidr:
    bits = ipaddress.ip_address(address).max_prefixlen
    return Cidr(str(ipaddress.ip_network(f"{address}/{min(length, bits)}", strict=False)))


_PREFIXES: Final = st.builds(_prefix, _ADDRESSES, st.integers(0, 128))
_BLOCKS: Final = st.builds(
    Block,
    prefix=_PREFIXES,
    node=_NAMES,
    hops=st.lists(_ADDRESSES, max_size=3).map(tuple),
)
_NEIGHBORS: Final = st.builds(
    Neighbor,
    name=_NAMES,
    role=st.sampled_from(NeighborRole),
    address=_ADDRESSES,
    asn=st.integers(1, 4_294_967_295),
    port=st.integers(1, 65535),
    source=st.none() | _ADDRESSES,
    multihop=st.none() | st.integers(1, 255),
    password=st.none() | st.builds(SecretText, st.text(max_size=90)),
    bfd=st.booleans(),
    graceful_restart_s=st.integers(0, 4095),
    hears_vips=st.booleans(),
    hears_return=st.booleans(),
)
NETWORKS: Final = st.builds(
    Network,
    asn=st.none() | st.integers(1, 4_294_967_295),
    neighbors=st.lists(_NEIGHBORS, max_size=5).map(tuple),
    blocks=st.lists(_BLOCKS, max_size=8).map(tuple),
    ranges=st.lists(_PREFIXES, max_size=4).map(tuple),
)
ANY_SPEAKERS: Final = st.builds(
    Speaker,
    network=NETWORKS,
    vips=st.lists(_ADDRESSES, max_size=4).map(tuple),
    returns=st.lists(_PREFIXES, max_size=3).map(tuple),
    router_id=_V4.filter(lambda ip: int(ip) > 0).map(lambda ip: IpAddr(str(ip))),
)
