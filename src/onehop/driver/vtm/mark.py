"""What the request rule tells the response rule of a route, by a request header of ours.

Everything else, as TrafficScript's `connection.data`, belongs to a connection, which HTTP/2 shares
among requests.
"""

import hashlib
from typing import Final

import msgspec

from onehop.model.route import PoolShare, Route, VirtualHost

MARK: Final = "X-Onehop-Route"
"""Clients cannot set it."""


def mark_of(host: VirtualHost, route: Route) -> str:
    """Return the mark of a route: so many characters as all others have."""
    return hashlib.sha256(f"{host.id}\0{route.id}".encode()).hexdigest()[:16]


def share_mark(mark: str, share: PoolShare) -> str:
    """Return the mark of a request that takes one way of a route; it begins with the route's.

    It derives from the edits, not from the place: the two rules are not written at once.
    """
    edits = msgspec.json.encode(share.response_headers)
    return f"{mark}-{hashlib.sha256(edits).hexdigest()[:8]}"
