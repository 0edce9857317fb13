"""Folders of data planes that run: one for each, for two of a kind may run at a time."""

import re
import shutil
from itertools import count
from pathlib import Path
from typing import Final

from onehop.driver.moving.movable import Movable

_OURS: Final = re.compile(r"(envoy|haproxy)(-[0-9]+)?")


class Places:
    """Gives them out below the state directory, and deletes what is left of each: keys, sockets.

    Args:
        state: is held by this process alone.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._used: dict[Movable, Path] = {}

    def free(self, name: str) -> Path:
        """Return where a data plane of a kind may be put: `haproxy`, `haproxy-2`, ..."""
        used = self._used.values()
        names = (name if number == 1 else f"{name}-{number}" for number in count(1))
        return next(path for each in names if (path := self._state / each) not in used)

    def take(self, path: Path, driver: Movable) -> None:
        """Note who has a folder."""
        self._used[driver] = path

    def clear(self, driver: Movable) -> None:
        """Delete the folder of one that has ended."""
        shutil.rmtree(self._used[driver], ignore_errors=True)
        del self._used[driver]

    def clear_all(self) -> None:
        """Delete the folders of all that have run: none does any more."""
        for driver in tuple(self._used):
            self.clear(driver)

    def sweep(self) -> None:
        """Delete what an earlier run has left, which may have ended at any point of a switch."""
        used = set(self._used.values())
        for path in self._state.glob("*"):
            if path.is_dir() and _OURS.fullmatch(path.name) and path not in used:
                shutil.rmtree(path, ignore_errors=True)
