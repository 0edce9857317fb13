"""By which addresses a host may lead to this load balancer, for a look before the first order."""

from collections.abc import Mapping

from onehop.acme.preflight import Doors
from onehop.compile.gateway.plainport import HTTP_PORT
from onehop.compile.gateway.proof import addresses_for
from onehop.compile.ingress import CLAIMS_BY_HOST
from onehop.compile.sheet import Reader
from onehop.model.address import IpAddr


def doors_for(
    reader: Reader, host: str, *, shared: Mapping[IpAddr, int], public: Mapping[IpAddr, int]
) -> Doors:
    """Return the addresses of a host's Gateways, and the shared VIP, which answers for all hosts.

    A host of Gateways alone is not meant to lead to the shared VIP, though it may while it moves.

    Args:
        reader: of what was settled last.
        host: in lower case.
        shared: the VIPs of Ingresses, each with the port on which a CA comes.
        public: the same of addresses before a NAT, which may lead to any of ours.
    """
    own = dict.fromkeys(addresses_for(reader, host), HTTP_PORT)
    is_ingress = not own or reader.count(CLAIMS_BY_HOST, host) > 0
    meant = {*own, *public, *(shared if is_ingress else ())}
    return Doors(ports={**shared, **public, **own}, meant=tuple(sorted(meant)))
