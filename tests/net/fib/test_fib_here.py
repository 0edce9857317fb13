"""On this very machine, by whoever runs the tests: reading routes needs no privileges."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator

import pytest

from onehop.base.errors import TransientError
from onehop.model.address import Cidr, IpAddr
from onehop.model.reach import RouteKind
from onehop.net.fib import Fib, kernel
from onehop.net.fib.kernel import Kernel
from onehop.net.fib.route import Matched


async def test_loopback_is_local_to_this_host() -> None:
    """The one route that every machine has."""
    async with Fib() as fib:
        (area,) = fib.want([Cidr("127.0.0.0/8")])
        route = fib.route_to(IpAddr("127.0.0.1"))

    assert route is not None
    assert (route.kind, route.hops[0].device) == (RouteKind.LOCAL, "lo")
    assert area.at(0x7F000001).route == route
    assert area.at(0x7F000001).is_steady


async def test_a_process_that_may_not_use_netlink_is_told_what_to_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A unit of systemd's may forbid address families."""

    def forbidden(*_: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", forbidden)
    with pytest.raises(TransientError, match="RestrictAddressFamilies=AF_NETLINK"):
        async with Fib():
            pass


async def test_a_reading_that_fails_leaves_no_socket_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever tries again opens new ones; warnings of the garbage collector are errors here."""

    async def fail(_: Kernel) -> AsyncIterator[list[Matched]]:
        raise TransientError("not now")
        yield []

    monkeypatch.setattr(Kernel, "prefixes", fail)
    fib = Fib()
    with pytest.raises(TransientError, match="not now"):
        async with fib:
            pass

    assert fib._kernel._events.fileno() == -1


async def test_an_address_that_nobody_asked_about_has_no_age() -> None:
    """Neither has one outside of the area."""
    async with Fib() as fib:
        fib.want([Cidr("127.0.0.0/8")])

        assert fib.age_s(Cidr("127.0.0.0/8"), 0x7F000001) is not None
        assert fib.age_s(Cidr("127.0.0.0/8"), 0x0A000001) is None
        assert fib.age_s(Cidr("10.0.0.0/8"), 0x0A000001) is None


async def test_a_list_that_never_comes_is_the_worlds_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for ever, and the message says for what."""
    monkeypatch.setattr(kernel, "_TIMEOUT_S", 0.01)
    loop = asyncio.get_running_loop()

    async def never(*_: object) -> bytes:
        await loop.create_future()
        return b""

    monkeypatch.setattr(loop, "sock_recv", never)
    with pytest.raises(TransientError, match="cannot list routes"):
        async with Fib():
            pass
