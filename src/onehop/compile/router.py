"""Routers: which set of hosts a connection is served from."""

from typing import Final

import msgspec

from onehop.model.ident import RouterId

PLAIN_ROUTER: Final = RouterId("shared-http")
TLS_ROUTER: Final = RouterId("shared-https")
ACME_ROUTER: Final = RouterId("acme")
"""Of ports that are open for CAs alone; see `gateway.plainport`."""


class HostKey(msgspec.Struct, frozen=True, order=True, gc=False, cache_hash=True):
    """A host on a router."""

    router: RouterId
    hostname: str
