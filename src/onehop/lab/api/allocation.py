"""Which node ports and cluster addresses are taken.

The real server keeps two bitmaps in etcd (kubernetes `pkg/registry/core/service/portallocator`
and `ipallocator`); here each Service's share is remembered by its key, so that a write replaces
it and a deletion returns it.
"""

import ipaddress
import random

NODE_PORTS = range(30000, 32768)
"""`--service-node-port-range` of kube-apiserver, its default."""

SERVICE_NETWORKS = {
    "IPv4": ipaddress.ip_network("10.96.0.0/16"),
    "IPv6": ipaddress.ip_network("fd00:10:96::/112"),
}


class Allocation:
    """The node ports and cluster addresses of all Services."""

    def __init__(self) -> None:
        self._ports: dict[int, tuple[str, str]] = {}
        self._addresses: dict[str, tuple[str, str]] = {}
        self._held: dict[tuple[str, str], tuple[frozenset[int], frozenset[str]]] = {}

    def holder_of_port(self, port: int) -> tuple[str, str] | None:
        """Return the Service that holds a node port, or None."""
        return self._ports.get(port)

    def holder_of_address(self, address: str) -> tuple[str, str] | None:
        """Return the Service that holds a cluster address, or None."""
        return self._addresses.get(address)

    def free_port(self, rng: random.Random, *, besides: frozenset[int]) -> int | None:
        """Return a node port that nobody holds and that is not in `besides`, or None."""
        for _ in range(32):
            port = rng.choice(NODE_PORTS)
            if port not in self._ports and port not in besides:
                return port
        return next((p for p in NODE_PORTS if p not in self._ports and p not in besides), None)

    def free_address(self, family: str, rng: random.Random) -> str:
        """Return a cluster address of the family (`IPv4`, `IPv6`) that nobody holds."""
        network = SERVICE_NETWORKS[family]
        while True:
            address = str(network[rng.randrange(10, network.num_addresses - 1)])
            if address not in self._addresses:
                return address

    def hold(
        self, service: tuple[str, str], ports: frozenset[int], addresses: frozenset[str]
    ) -> None:
        """Note what a Service holds from now on, in place of what it held; nothing is fine."""
        had_ports, had_addresses = self._held.pop(service, (frozenset(), frozenset()))
        for port in had_ports:
            self._ports.pop(port, None)
        for address in had_addresses:
            self._addresses.pop(address, None)
        if not ports and not addresses:
            return
        self._held[service] = (ports, addresses)
        self._ports.update(dict.fromkeys(ports, service))
        self._addresses.update(dict.fromkeys(addresses, service))
