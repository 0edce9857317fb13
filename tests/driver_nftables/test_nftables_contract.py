"""The contract of every driver, held against the kernel together with a proxy."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from onehop.driver import Driver
from onehop.driver.nftables import NftablesDriver
from onehop.driver.split import SplitDriver
from tests.contract.drivers import RunningDriver, envoy, haproxy
from tests.contract.test_driver_contract import *  # noqa: F403  every test of the suite
from tests.driver_nftables.namespace import own_namespace

pytestmark = [pytest.mark.root, pytest.mark.envoy]


def split_with(proxy: RunningDriver) -> RunningDriver:
    """Return the kernel for what it can serve, and a real proxy for the rest."""

    @asynccontextmanager
    async def split() -> AsyncGenerator[Driver]:
        with own_namespace():
            async with proxy() as other:
                kernel = NftablesDriver()
                async with kernel.running():
                    yield SplitDriver(kernel, other)

    return split


@pytest.fixture(name="running", params=[envoy, haproxy], ids=lambda proxy: proxy.__name__)
def running_split(request: pytest.FixtureRequest) -> RunningDriver:
    return split_with(request.param)
