"""A listener moves between the kernel and Envoy while clients come and go."""

import asyncio

import msgspec
import pytest

from onehop.driver.nftables import NftablesDriver
from onehop.driver.split import SplitDriver
from tests.contract.drivers import envoy
from tests.driver_nftables.world import (
    at,
    client,
    listener,
    members,
    once,
    pod,
    pool,
    serve,
)
from tests.net.crossroads import Crossroads

pytestmark = [pytest.mark.root, pytest.mark.envoy]


def test_no_new_connection_is_lost(roads: Crossroads) -> None:
    """By the one or the other each is served; those that are open in the kernel go on."""
    web = pool()
    plain = listener(web)
    limited = msgspec.structs.replace(plain, max_connections=1000)
    rows = web, members(web, at(8001))

    async def main() -> None:
        kernel, has_moved = NftablesDriver(), asyncio.Event()

        async def keep_asking() -> int:
            count = 0
            while not has_moved.is_set():
                assert (await once(roads))[0] == 8001
                count += 1
            return count

        async with envoy() as proxy, kernel.running(), pod(roads, 8001):
            split = SplitDriver(kernel, proxy)
            await serve(split, *rows, plain)
            async with client(roads) as open_one, asyncio.TaskGroup() as group:
                asking = group.create_task(keep_asking())
                for row in (limited, plain) * 3:
                    await serve(split, *rows, row)
                    assert (await once(roads))[0] == 8001
                    assert (await open_one.ask())[0] == 8001
                has_moved.set()
            assert asking.result() > 10
            assert [each.requests for each in (await split.count([web.id]))[web.id]] > [10]

    roads.balancer.run(main)
