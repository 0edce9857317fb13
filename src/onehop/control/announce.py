"""Which VIPs this host may say are here: those with something behind them that can answer.

A router upstream spreads clients over all hosts that announce an address, so a host that has
nothing to send them to must not be one of them.
"""

from collections.abc import Callable, Iterator

from onehop.control.served import Served
from onehop.model.address import IpAddr
from onehop.model.ident import PoolId
from onehop.model.listener import ForwardHttp
from onehop.model.route import Forward


def answerable(served: Served, is_bound: Callable[[IpAddr], bool]) -> frozenset[IpAddr]:
    """Return the VIPs that are bound here and lead to at least one endpoint.

    One with HTTP counts as long as any of its hosts has an endpoint: a client cannot be sent to
    another machine for one name and not for another. Its cost grows with the VIPs, and with their
    hosts if nearly all of them are empty.
    """
    return frozenset(
        address
        for address in served.vips()
        if is_bound(address)
        and any(
            (members := served.endpoints(pool)) and members.endpoints
            for pool in _pools_behind(served, address)
        )
    )


def _pools_behind(served: Served, address: IpAddr) -> Iterator[PoolId]:
    for listener in served.listeners_at(address):
        yield from listener.handler.pools
        if not isinstance(listener.handler, ForwardHttp):
            continue
        for router in listener.handler.routers:
            for host in served.hosts_of(router):
                for route in host.routes:
                    if isinstance(route.action, Forward):
                        yield from (share.pool for share in route.action.pools)
