"""On this very machine, by whoever runs the tests: reading routes needs no privileges."""

from onehop.model.address import Cidr, IpAddr
from onehop.model.reach import RouteKind
from onehop.net.fib import Fib


async def test_loopback_is_local_to_this_host() -> None:
    """The one route that every machine has."""
    async with Fib() as fib:
        (area,) = fib.want([Cidr("127.0.0.0/8")])
        route = fib.route_to(IpAddr("127.0.0.1"))

    assert route is not None
    assert (route.kind, route.hops[0].device) == (RouteKind.LOCAL, "lo")
    assert area.at(0x7F000001).route == route
    assert area.at(0x7F000001).is_steady
