"""Whether a listener's socket can be had, asked before HAProxy is.

HAProxy pauses what it serves when a new worker cannot bind a socket, and gives up a second later:
one Service that asks for a port which somebody else has would stop all others for as long.
"""

import socket
from typing import Final

from onehop.model.address import is_ipv6
from onehop.model.listener import Listener

_IP_FREEBIND: Final = 15  # Linux, include/uapi/linux/in.h
_IPV6_FREEBIND: Final = 78  # Linux, include/uapi/linux/in6.h


def why_not_bound(listener: Listener, *, shares: bool = False) -> str | None:
    """Return why nobody can listen there, or None.

    Args:
        listener: where.
        shares: whether whoever listens there with SO_REUSEPORT, as the same user, may go on to.
            Nothing listens for the probe then: it would be given some of the connections.
    """
    family = socket.AF_INET6 if is_ipv6(listener.address) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            probe.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        try:
            probe.bind((listener.address, listener.port))
            if not shares:
                probe.listen(1)
        except OSError as err:
            return f"cannot bind {listener.address} port {listener.port}: {err.strerror}"
    return None
