"""What a listener asks for that the kernel cannot do; pure."""

from onehop.model.listener import ForwardHttp, Listener
from onehop.model.pool import Pool, SourceIpPersistence


def misfit(listener: Listener, pool: Pool | None) -> str | None:
    """Return why a listener must be served by a proxy, or None if the kernel can serve it.

    Args:
        listener: what clients ask for.
        pool: the one that it sends to; None if there is none, which only HTTP can do with.
    """
    if isinstance(listener.handler, ForwardHttp):
        return "the kernel knows no HTTP and no TLS"
    if pool is None:
        return "its pool is missing"
    if listener.accepts_proxy_protocol:
        return "the kernel reads no PROXY header"
    if listener.max_connections is not None:
        return "the kernel limits no connections of a listener"
    return _pool_misfit(pool)


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
