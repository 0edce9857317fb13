"""The kernel as a data plane of a network namespace of its own."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from onehop.driver import Driver
from onehop.driver.nftables import NftablesDriver
from tests.driver_nftables.namespace import own_namespace


@asynccontextmanager
async def kernel() -> AsyncGenerator[Driver]:
    """Run it; only root may."""
    with own_namespace():
        driver = NftablesDriver()
        async with driver.running():
            yield driver
