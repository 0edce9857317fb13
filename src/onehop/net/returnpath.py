"""Trying whether what Pods answer to a client comes back through this host.

A connection is opened to a Pod from an address of the client network, as the data plane would do.
It completes, or is refused, only if the Pod's answer arrives here; whatever stands in between
(routes of the nodes, a firewall, reverse path filters, `Transparency` on this host) has its say.
"""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Iterable
from itertools import islice
from typing import Final

from onehop.base.errors import ConfigError
from onehop.model.address import Cidr, IpAddr, is_ipv6
from onehop.model.endpoint import Endpoint
from onehop.net.rtnetlink.kernel import ask_all
from onehop.net.rtnetlink.route import LOCAL, ask_route, read_answer

TIMEOUT_S: Final = 2.0
"""For one connection: the kernel repeats an unanswered SYN after one second."""

_MOST_NODES: Final = 32
_CANDIDATES: Final = 8
_IP_TRANSPARENT: Final = 19  # <linux/in.h>
_IPV6_TRANSPARENT: Final = 75  # <linux/in6.h>
_NO_LINGERING: Final = struct.pack("ii", 1, 0)
_DOCUMENTATION: Final = tuple(
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "2001:db8:ffff::/48")
)
"""Nobody's addresses (RFC 5737, RFC 3849), which networks as large as everybody contain."""


async def return_path(
    clients: Cidr, endpoints: Iterable[Endpoint], *, timeout_s: float = TIMEOUT_S
) -> bool | None:
    """Tell whether Pods answer a client network through this host.

    One Pod of each node is tried, or the node's NodePort where that is what is dialled, all at the
    same time: nodes have routes of their own. True is what all say that can be reached at all,
    False what at least one says, None that nobody said anything, which proves nothing.

    Raises:
        ConfigError: this process may not open transparent sockets.
        TransientError: the kernel does not answer.
    """
    client = await client_of(clients)
    ipv6 = is_ipv6(clients)
    of_each = {(e.node, e.path): e for e in endpoints if is_ipv6(e.address) is ipv6}
    if client is None or not of_each:
        return None
    async with asyncio.TaskGroup() as group:
        tries = [
            group.create_task(comes_back((pod.address, pod.port), client, timeout_s))
            for pod in islice(of_each.values(), _MOST_NODES)
        ]
    results = {each.result() for each in tries} - {None}
    return False not in results if results else None


async def comes_back(
    endpoint: tuple[IpAddr, int], client: IpAddr, timeout_s: float = TIMEOUT_S
) -> bool | None:
    """Tell whether what this endpoint answers to the client's address arrives here.

    None if it does not answer us either: then it is not the way back that is missing. Refusing is
    answering, so a UDP port is as good as any. Raises as `return_path`.
    """
    if not await _answers(endpoint, None, timeout_s):
        return None
    return await _answers(endpoint, client, timeout_s)


async def client_of(clients: Cidr) -> IpAddr | None:
    """Return an address of the network to try with: one that is not this host's own.

    The last usable ones are seldom anybody's; of very large networks one for documentation is
    taken, lest a Pod's answer go astray to a stranger.
    """
    candidates = _candidates(clients)
    answers = await ask_all([ask_route(candidate) for candidate in candidates])
    for candidate, answer in zip(candidates, answers, strict=True):
        if answer is None or read_answer(answer).kind != LOCAL:
            return candidate
    return None


def _candidates(clients: Cidr) -> tuple[IpAddr, ...]:
    network = ipaddress.ip_network(clients)
    for nobody in _DOCUMENTATION:
        if nobody.version == network.version and nobody.prefixlen > network.prefixlen:
            inside = int(network[0]) <= int(nobody[0]) <= int(network[-1])
            network = nobody if inside else network
    count = network.num_addresses
    has_broadcast = network.version == 4 and count > 2  # noqa: PLR2004  RFC 3021: /31 has none
    last = count - 1 - has_broadcast
    first = 1 if count > 2 else 0  # noqa: PLR2004  the network's own, or any router's (RFC 4291)
    numbers = range(last, max(first, last - _CANDIDATES + 1) - 1, -1)
    return tuple(IpAddr(str(network[number])) for number in numbers)


async def _answers(endpoint: tuple[IpAddr, int], source: IpAddr | None, timeout_s: float) -> bool:
    """Tell whether a connection from this source, or from us, is accepted or refused."""
    family = socket.AF_INET6 if is_ipv6(endpoint[0]) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as attempt:
        # Closed by a reset: nothing stays behind, and no server counts it as a connection's end.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        if source is not None:
            _come_from(attempt, source)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().sock_connect(attempt, endpoint)
        except (ConnectionRefusedError, ConnectionResetError):
            return True
        except OSError:  # no answer in time, which is a TimeoutError, or no way to there
            return False
    return True


def _come_from(attempt: socket.socket, source: IpAddr) -> None:
    try:
        if is_ipv6(source):
            attempt.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
        else:
            attempt.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
    except PermissionError as err:
        raise ConfigError(
            "sending from a client's address needs CAP_NET_ADMIN; grant it"
            " (AmbientCapabilities=CAP_NET_ADMIN), or leave transparent.clients empty"
        ) from err
    attempt.bind((source, 0))
