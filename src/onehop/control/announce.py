"""Which VIPs this host may say are here: those with something behind them that can answer.

A router upstream spreads clients over all hosts that announce an address, so a host that has
nothing to send them to must not be one of them.
"""

from collections.abc import Callable, Iterator

from onehop.control.served import Served
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.listener import ForwardHttp
from onehop.model.route import Forward


def answerable(served: Served, is_bound: Callable[[IpAddr], bool]) -> frozenset[IpAddr]:
    """Return the VIPs that are bound here and lead to at least one endpoint.

    The shared VIP of Ingresses counts as long as any of its hosts has an endpoint: a client cannot
    be sent to another host for one name and not for another. Its cost grows with the VIPs, and with
    the hosts if nearly all of them are empty.
    """
    return frozenset(
        address
        for address, owners in served.vips().items()
        if is_bound(address) and _leads_anywhere(served, address, owners)
    )


def _leads_anywhere(served: Served, address: IpAddr, owners: tuple[ObjectRef, ...]) -> bool:
    pools = _pools_of_owners(served, address, owners) if owners else _pools_of_hosts(served)
    return any((members := served.endpoints(pool)) and members.endpoints for pool in pools)


def _pools_of_owners(
    served: Served, address: IpAddr, owners: tuple[ObjectRef, ...]
) -> Iterator[PoolId]:
    for owner in owners:
        for name in served.listeners_of(owner):
            row = served.listener(name)
            if row is None or row.address != address or isinstance(row.handler, ForwardHttp):
                continue
            yield row.handler.pool


def _pools_of_hosts(served: Served) -> Iterator[PoolId]:
    for host in served.hosts():
        for route in host.routes:
            if isinstance(route.action, Forward):
                yield from (share.pool for share in route.action.pools)
