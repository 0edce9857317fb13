"""What a listener asks for that the kernel cannot do; pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from onehop.driver.capability import Capability
from onehop.driver.nftables.support import SHORTCOMINGS
from onehop.driver.nftables.wanted import is_hashed
from onehop.driver.shortfall import unmet
from onehop.model.listener import ForwardHttp, ForwardTcp, Listener
from onehop.model.model import Row
from onehop.model.pool import Pool, PoolOf, SourceIpPersistence

_MINOR: Final = frozenset(
    (
        Capability.ROUND_ROBIN,
        Capability.STREAM_IDLE_TIMEOUT,
        Capability.CONNECT_TIMEOUT,
        Capability.HEALTH_CHECK_UDP,
    )
)


def misfit(listener: Listener, pool_of: PoolOf) -> str | None:
    """Return why a listener must be served by a proxy, or None if the kernel can serve it."""
    if isinstance(listener.handler, ForwardHttp):
        return "the kernel knows no HTTP and no TLS"
    pools = _pools(listener, pool_of)
    if len(pools) < len(listener.handler.pools):
        return "its pool is missing"
    if listener.accepts_proxy_protocol:
        return "the kernel reads no PROXY header"
    if listener.max_connections is not None:
        return "the kernel limits no connections of a listener"
    lacking = _lacks(listener, pools) if isinstance(listener.handler, ForwardTcp) else iter(())
    faults = (*map(_pool_misfit, pools), _difference(pools), next(lacking, None))
    return next(filter(None, faults), None)


def lacks(listener: Listener, pool_of: PoolOf) -> str:
    """Return what a listener that fits is served without; empty for nothing.

    TCP that asks for any of it is a proxy's. Not every proxy takes UDP, and it is better served so
    than not at all.
    """
    return "; ".join(dict.fromkeys(_lacks(listener, _pools(listener, pool_of))))


def _pools(listener: Listener, pool_of: PoolOf) -> list[Pool]:
    return [pool for pool in map(pool_of, listener.handler.pools) if pool is not None]


def _lacks(listener: Listener, pools: Iterable[Pool]) -> Iterator[str]:
    rows: tuple[Row, ...] = (listener, *pools)
    for row in rows:
        for ask in unmet(row, SHORTCOMINGS):
            if ask.capability in _MINOR:
                yield SHORTCOMINGS[ask.capability].words


def _pool_misfit(pool: Pool) -> str | None:
    if pool.tls is not None:
        return "the kernel speaks no TLS to endpoints"
    if pool.proxy_protocol is not None:
        return "the kernel writes no PROXY header"
    if pool.max_connections is not None:
        return "the kernel limits no connections to a pool"
    if not isinstance(pool.persistence, SourceIpPersistence | None):
        return "the kernel sees no cookies and no headers"
    return None


def _difference(pools: Iterable[Pool]) -> str | None:
    """Return what pools of one listener differ in that the kernel has for a whole listener."""
    asked: dict[str, set[object]] = {
        "persistence": {pool.persistence for pool in pools},
        "client-address": {pool.is_transparent for pool in pools},
        "balancing": {is_hashed(pool) for pool in pools},
    }
    differs = ", ".join(what for what, values in asked.items() if len(values) > 1)
    return (
        f"the backends of a port differ in {differs}: the kernel has one for all"
        if differs
        else None
    )
