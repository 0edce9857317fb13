"""Connections that a proxy here has opened before the kernel's part came."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Generator

import pytest

from tests.driver_nftables.world import (
    DEADLINE_S,
    at,
    bound,
    listener,
    members,
    nftables,
    pool,
    serve,
)
from tests.net.crossroads import CLIENT, POD, VIP, Crossroads
from tests.net.namespaces import Machine, until

pytestmark = pytest.mark.root

_OPEN = 500
_CLIENTS = 2000
"""Each is given one of 64,512 ports: that none meets one of those in use is one chance in e^15."""
_AT_ONCE = 100


@contextlib.contextmanager
def sockets(machine: Machine, address: str, count: int) -> Generator[list[socket.socket]]:
    """Make sockets on a machine that are not connected yet."""
    made = machine.do(lambda: [bound(address, socket.SOCK_STREAM, 0) for _ in range(count)])
    try:
        for each in made:
            each.setblocking(False)
        yield made
    finally:
        for each in made:
            each.close()


@contextlib.contextmanager
def accepted_by_nobody(roads: Crossroads, version: int) -> Generator[None]:
    """Have the Pod's kernel take connections, and what they send."""
    server = roads.pod.do(lambda: bound(POD[version], socket.SOCK_STREAM, 8001))
    with server:
        server.listen(_OPEN + _CLIENTS)
        yield


async def connect(all_: list[socket.socket], address: str, port: int) -> None:
    """Connect them."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(3 * DEADLINE_S), asyncio.TaskGroup() as group:
        for each in all_:
            group.create_task(loop.sock_connect(each, (address, port)))


@pytest.mark.parametrize("version", [4, 6])
def test_no_client_is_given_the_port_of_a_silent_one(roads: Crossroads, version: int) -> None:
    """To a member, each has a port of its own; what is said later arrives."""
    here = {4: "10.244.9.1", 6: "2001:db8:9::1"}[version]
    web = pool()

    async def main() -> None:
        with (
            accepted_by_nobody(roads, version),
            sockets(roads.balancer, here, _OPEN) as silent,
        ):
            await connect(silent, POD[version], 8001)
            async with nftables() as driver:
                await serve(
                    driver, web, members(web, at(8001, version)), listener(web, version=version)
                )
                for _ in range(_CLIENTS // _AT_ONCE):
                    with sockets(roads.client, CLIENT[version], _AT_ONCE) as asking:
                        await connect(asking, VIP[version], 80)
                for each in silent:
                    each.send(b"?")
                await until(lambda: all(arrived(each) for each in silent))

    roads.balancer.run(main)


def arrived(one: socket.socket) -> bool:
    """Tell whether the other end's kernel has all that was sent.

    Raises:
        OSError: the connection was reset.
    """
    if failure := one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(failure, "of a connection that was open before")
    (left,) = struct.unpack("i", fcntl.ioctl(one, termios.TIOCOUTQ, bytes(4)))
    return bool(left == 0)
