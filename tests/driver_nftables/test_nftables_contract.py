"""The contract of every driver, held against Envoy and the kernel together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from onehop.driver import Driver
from onehop.driver.nftables import NftablesDriver
from onehop.driver.split import SplitDriver
from tests.contract.drivers import RunningDriver, envoy
from tests.contract.test_driver_contract import *  # noqa: F403  every test of the suite
from tests.driver_nftables.namespace import own_namespace

pytestmark = [pytest.mark.root, pytest.mark.envoy]


@asynccontextmanager
async def split() -> AsyncGenerator[Driver]:
    """The kernel for what it can serve, a real Envoy for the rest; in a namespace of their own."""
    with own_namespace():
        async with envoy() as proxy:
            kernel = NftablesDriver()
            async with kernel.running():
                yield SplitDriver(kernel, proxy)


@pytest.fixture(name="running")
def running_split() -> RunningDriver:
    return split
