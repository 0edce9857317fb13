"""The kernel's part comes and goes: who has which listener then."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.driver.memory import MemoryDriver
from onehop.driver.moving.optional import OptionalKernel
from onehop.driver.split import SplitDriver
from onehop.model.model import model_of
from tests.driver_nftables.test_split import Kernel, listener, members, pool
from tests.driver_nftables.world import serve

WEB, LIMITED = pool(), pool("limited")
ROWS = (WEB, members(WEB, 1), LIMITED, listener(WEB), listener(LIMITED, 2, max_connections=10))


class Failing(Kernel):
    """A kernel that cannot be had."""

    def __init__(self, failure: Exception | None) -> None:
        super().__init__()
        self._failure = failure

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        if self._failure is not None:
            raise self._failure
        yield


async def test_listeners_go_to_the_kernel_and_back() -> None:
    """Those that fit it; their pools go along, with the endpoints of the moment."""
    proxy, kernel = MemoryDriver(), OptionalKernel(Kernel, is_on=False)
    split = SplitDriver(kernel, proxy, handover_s=0.0)
    async with split.running():
        await serve(split, *ROWS)
        assert (split.name, await proxy.read_back()) == ("memory", model_of(ROWS))
        split.set_endpoints(members(WEB, 1, 2))

        await kernel.open()
        rows, receipt = await split.reconsider(0.0)
        assert (len(rows), receipt.refused) == (5, ())
        assert split.name == "memory+memory"
        in_kernel = await kernel.read_back()
        assert in_kernel.listeners == (listener(WEB),)
        assert members(WEB, 1, 2) in in_kernel.endpoints
        assert [each.id for each in (await proxy.read_back()).pools] == [LIMITED.id]

        kernel.takes = False
        await split.reconsider(0.0)
        assert (await kernel.read_back()).listeners == ()
        await kernel.close()
        split.forget_kernel()
        now = (WEB, members(WEB, 1, 2), *ROWS[2:])
        assert (split.name, await proxy.read_back()) == ("memory", model_of(now))
        assert not split.is_in_kernel(listener(WEB).id)


@pytest.mark.parametrize("failure", [ConfigError("no forwarding"), OSError("no table")])
async def test_a_kernel_that_cannot_be_had_changes_nothing(failure: Exception) -> None:
    """It is said why, and the proxy has everything."""
    proxy, kernel = MemoryDriver(), OptionalKernel(lambda: Failing(failure), is_on=False)
    split = SplitDriver(kernel, proxy, handover_s=0.0)
    async with split.running():
        await serve(split, *ROWS)
        with pytest.raises((ConfigError, DriverUnavailable), match=str(failure)):
            await kernel.open()
        await split.reconsider(0.0)
        assert (kernel.is_on, await proxy.read_back()) == (False, model_of(ROWS))


async def test_a_kernel_that_must_be_there_and_cannot_is_a_fault_at_the_start() -> None:
    """As it was before it could come and go; not wrapped in a group."""
    kernel = OptionalKernel(lambda: Failing(ConfigError("no forwarding")), is_on=True)
    with pytest.raises(ConfigError, match="no forwarding"):
        async with SplitDriver(kernel, MemoryDriver()).running():
            raise AssertionError
