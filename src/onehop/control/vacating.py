"""Addresses that an earlier run has left on an interface, and that a vTM has now.

Stopping leaves them there for the next start. If that is one with a vTM, or a switch to a vTM was
cut short, two machines would answer for them. With a vTM no interface is in the file any more: so
it is noted in the state directory while there is one.
"""

import asyncio
from pathlib import Path

import structlog

from onehop.base.errors import OnehopError
from onehop.control.config import Config
from onehop.control.configfile import state_directory

log = structlog.get_logger(__name__)


async def vacate(config: Config, is_served: asyncio.Event) -> None:
    """Note the interface; or with a vTM, once it serves, take our addresses off the one noted."""
    note, interface = _note_of(config), config.addresses.bind.interface
    try:
        if interface is not None:
            await note_interface(config)
        elif config.data_plane.driver == "vtm" and note.exists():
            interface = await asyncio.to_thread(note.read_text)
            await is_served.wait()
            await _take_off(interface)
            note.unlink()
    except (OnehopError, OSError) as err:
        log.error("addresses_not_vacated", interface=interface, error=str(err))  # noqa: TRY400


async def note_interface(config: Config) -> None:
    """Keep in mind which interface has our addresses.

    Raises:
        OSError: the state directory takes no file.
    """
    await asyncio.to_thread(_note_of(config).write_text, config.addresses.bind.interface or "")


def _note_of(config: Config) -> Path:
    return state_directory(config) / "interface"


async def _take_off(interface: str) -> None:
    from onehop.net.interface import InterfaceBinder  # noqa: PLC0415  see `onehop.net`

    binder = InterfaceBinder(interface)
    for address in sorted(await binder.bound()):
        await binder.unbind(address)
        log.info("vip_released", address=address, interface=interface)
