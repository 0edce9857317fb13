"""The command line of HAProxy's master (`-S`): which processes there are, and reloads.

It answers when the client has said that nothing more comes (EOF), and while it reloads it refuses
connections for some tenths of a second: so what is asked is asked again.
"""

import asyncio
import re
from pathlib import Path
from typing import Final, NamedTuple

from onehop.base.errors import DriverUnavailable
from onehop.driver.haproxy.runtime import Runtime

_PATIENCE_S: Final = 5.0
_ASK_AGAIN_S: Final = 0.05
_MASTER: Final = re.compile(r"^(\d+)\s+master\s+\d+ \[failed: (\d+)\]\s+\S+\s+(\S+)", re.MULTILINE)


class Shown(NamedTuple):
    """What a master says of itself (the manual's "show proc").

    Attributes:
        pid: its process id.
        failed: how many reloads have failed since the last one that did not.
        version: of the program, `2.6.12-1`.
    """

    pid: int
    failed: int
    version: str


class Master:
    """A master's socket.

    Args:
        socket: its path.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._runtime = Runtime(socket, says_eof=True)

    async def show(self) -> Shown:
        """Return what the master says of itself.

        Raises:
            DriverUnavailable: nobody answers, or somebody who is no master.
        """
        said = await self._asked("show proc")
        found = _MASTER.search(said)
        if found is None:
            raise DriverUnavailable(f"{self._socket}: not the socket of a master (haproxy -W -S)")
        return Shown(int(found[1]), int(found[2]), found[3])

    async def reload(self) -> None:
        """Have the master read its files and start a worker; what becomes of it `show` tells.

        Raises:
            DriverUnavailable: nobody answers.
        """
        await self._asked("reload")

    async def _asked(self, command: str) -> str:
        """Ask until somebody answers, for as long as a reload of somebody else may take."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            try:
                return await self._runtime.ask(command)
            except DriverUnavailable as err:
                is_late = asyncio.get_running_loop().time() > deadline
                if is_late or not self._socket.exists():
                    raise DriverUnavailable(
                        f"{err}: no master of HAProxy is there (dataPlane.haproxy.master); "
                        f"start it with `-W -S {self._socket}`"
                    ) from err
            await asyncio.sleep(_ASK_AGAIN_S)
