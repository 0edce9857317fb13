"""Whether listeners of layer 4 are served in the kernel: `dataPlane.layer4`."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from onehop.base.errors import OnehopError
from onehop.control.config import Config
from onehop.control.served import Served
from onehop.driver import Driver
from onehop.driver.nftables import NftablesDriver, misfit, sweep
from onehop.driver.nftables.render import render_script
from onehop.driver.split import SplitDriver, proxy_share
from onehop.model.ident import PoolId
from onehop.model.listener import ForwardHttp, Listener
from onehop.model.model import Model, RowKey, Table
from onehop.model.pool import Pool

log = structlog.get_logger(__name__)


def with_layer4(config: Config, proxy: Driver) -> Driver:
    """Return the data plane with the kernel's part, if that is what is configured."""
    if config.data_plane.layer4 != "kernel":
        return proxy
    return SplitDriver(NftablesDriver(), proxy)


def render_with_layer4(config: Config, model: Model, render: Callable[[Model], Any]) -> Any:
    """Return what both parts would get; without the kernel's, just what the proxy would."""
    if config.data_plane.layer4 != "kernel":
        return render(model)
    script = render_script(model).splitlines()
    return {"nftables": script, "proxy": render(proxy_share(model, misfit))}


def would_be_in_kernel(config: Config, served: Served, listener: Listener) -> bool:
    """Tell whether a listener is the kernel's, on a host that lacks nothing."""
    if config.data_plane.layer4 != "kernel" or isinstance(listener.handler, ForwardHttp):
        return False

    def pool_of(name: PoolId) -> Pool | None:
        row = served.row(RowKey(Table.POOL, name))
        return row if isinstance(row, Pool) else None

    return misfit(listener, pool_of) is None


async def sweep_layer4(config: Config, is_served: asyncio.Event) -> None:
    """Take away what an earlier run has left in the kernel, once a proxy serves it instead.

    Until then the kernel goes on, and what it had is served without a pause.
    """
    if config.data_plane.layer4 == "kernel":
        return
    await is_served.wait()
    await withdraw()


async def withdraw() -> None:
    """Take away what is in the kernel; what goes wrong is logged, and left for the next start."""
    try:
        if await sweep():
            log.info("layer4_withdrawn_from_kernel")
    except OnehopError as err:
        log.warning("layer4_left_in_kernel", error=str(err))
