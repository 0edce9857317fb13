"""Which data plane and which address binder a configuration means."""

import asyncio
from typing import Any, Final

from onehop.control.config import Config
from onehop.control.configfile import state_directory
from onehop.driver import Driver
from onehop.driver.envoy import EnvoyDriver, EnvoyOptions
from onehop.driver.envoy.binary import find_envoy
from onehop.driver.envoy.render import render_config
from onehop.model.model import Model
from onehop.net import AddressBinder, NoBinder

_VERSION_TIMEOUT_S: Final = 10.0


def make_driver(config: Config) -> Driver:
    """Return the data plane, not yet running."""
    envoy = config.data_plane.envoy
    return EnvoyDriver(
        EnvoyOptions(
            state_dir=state_directory(config) / "envoy",
            concurrency=envoy.concurrency,
            access_log=envoy.access_log,
            max_connections=envoy.max_connections,
            max_heap_bytes=None if envoy.max_heap_mi_b is None else envoy.max_heap_mi_b << 20,
        )
    )


def make_binder(config: Config) -> AddressBinder:
    """Return who puts VIPs on an interface: nobody, unless an interface is named."""
    interface = config.addresses.bind.interface
    if interface is None:
        return NoBinder()
    from onehop.net.interface import InterfaceBinder  # noqa: PLC0415  see `onehop.net`

    return InterfaceBinder(interface)


def render_data_plane(model: Model) -> Any:
    """Return what the data plane would get for a Model, as plain values without private keys."""
    return render_config(model)


async def data_plane_version() -> str:
    """Return which program carries the traffic.

    Raises:
        OnehopError: it is not there or does not run.
    """
    process = await asyncio.create_subprocess_exec(
        find_envoy(), "--version", stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(_VERSION_TIMEOUT_S):
        said, _ = await process.communicate()
    return said.decode().strip()
