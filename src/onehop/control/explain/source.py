"""The address that this host sends from: the kernel's choice, asked without sending anything."""

import contextlib
import socket

from onehop.model.address import IpAddr, is_ipv6, parse_ip

_ANY_PORT = 9


def address_towards(address: IpAddr) -> IpAddr | None:
    """Return the source address of connections to another address, or None if no route leads there.

    Connecting a UDP socket sends no packet: it only has the kernel choose a route, and with it the
    source address (Linux, udp(7)).
    """
    family = socket.AF_INET6 if is_ipv6(address) else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        asking.connect((address, _ANY_PORT))
        return parse_ip(asking.getsockname()[0])
    return None
