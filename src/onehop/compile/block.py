"""Which node the addresses of a prefix belong to."""

from typing import Final

from onehop.cluster import Node
from onehop.compile.inputs import NODES
from onehop.compile.sheet import Cell, Derived, Index, Reader
from onehop.model.address import Cidr, is_ipv6, parse_cidr, parse_ip
from onehop.model.ident import ObjectRef
from onehop.model.network import Block


def _pod_cidrs(_ref: ObjectRef, node: Node) -> tuple[Cidr, ...]:
    parsed = (parse_cidr(text) for text in node.spec.pod_cidrs or ())
    return tuple(prefix for prefix in parsed if prefix is not None)


def _compute(reader: Reader, prefix: Cidr) -> Cell[Block]:
    node = reader.any(NODES_BY_POD_CIDR, prefix)
    if node is None:
        return Cell(None)
    said = (parse_ip(item.address) for item in node.status.addresses or ())
    hops = tuple(ip for ip in said if ip is not None and is_ipv6(ip) is is_ipv6(prefix))
    return Cell(Block(prefix=prefix, node=node.metadata.name, hops=hops))


NODES_BY_POD_CIDR: Final = Index[ObjectRef, Node, Cidr](NODES, "pod-cidr", _pod_cidrs)
BLOCKS: Final = Derived[Cidr, Block]("blocks", _compute, (NODES_BY_POD_CIDR,))
BLOCKS_OF_NODE: Final = Index[Cidr, Block, str](BLOCKS, "node", lambda _, block: (block.node,))
