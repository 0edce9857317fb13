"""What a listener asks for that the kernel cannot do; pure."""

from collections.abc import Iterator
from typing import Final

from onehop.driver.capability import Capability
from onehop.driver.nftables.support import SHORTCOMINGS
from onehop.driver.shortfall import unmet
from onehop.model.listener import ForwardHttp, ForwardTcp, Listener
from onehop.model.pool import Pool, SourceIpPersistence

_MINOR: Final = frozenset(
    (
        Capability.ROUND_ROBIN,
        Capability.STREAM_IDLE_TIMEOUT,
        Capability.CONNECT_TIMEOUT,
        Capability.HEALTH_CHECK_UDP,
    )
)


def misfit(listener: Listener, pool: Pool | None) -> str | None:
    """Return why a listener must be served by a proxy, or None if the kernel can serve it.

    Args:
        listener: what clients ask for.
        pool: the one that it sends to; None if there is none, which only HTTP can do with.
    """
    if isinstance(listener.handler, ForwardHttp):
        return "the kernel knows no HTTP and no TLS"
    if listener.handler.shares:
        return "the kernel sends a listener to one pool"
    if pool is None:
        return "its pool is missing"
    if listener.accepts_proxy_protocol:
        return "the kernel reads no PROXY header"
    if listener.max_connections is not None:
        return "the kernel limits no connections of a listener"
    lacking = _lacks(listener, pool) if isinstance(listener.handler, ForwardTcp) else iter(())
    return _pool_misfit(pool) or next(lacking, None)


def lacks(listener: Listener, pool: Pool) -> str:
    """Return what a listener that fits is served without; empty for nothing.

    TCP that asks for any of it is a proxy's. Not every proxy takes UDP, and it is better served so
    than not at all.
    """
    return "; ".join(_lacks(listener, pool))


def _lacks(listener: Listener, pool: Pool) -> Iterator[str]:
    for row in (listener, pool):
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
