"""Where HAProxy is, and whether it is one that we can talk to."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from onehop.base.child import bound_to_parent, finish
from onehop.base.errors import ConfigError, DriverUnavailable, RejectedError

_ALSO: Final = "/usr/sbin:/sbin"
_OLDEST: Final = (2, 6)
_VERSION: Final = re.compile(r"HAProxy version (\d+)\.(\d+)\S*")
_TIMEOUT_S: Final = 10.0
_CHECK_TIMEOUT_S: Final = 60.0


def find_haproxy(binary: str) -> Path:
    """Return the executable; Debian's lies where an ordinary user does not look.

    Raises:
        ConfigError: there is none.
    """
    found = shutil.which(binary) or shutil.which(binary, path=_ALSO)
    if found is None:
        raise ConfigError(f"no {binary} here: install the package `haproxy`, 2.6 or newer")
    return Path(found)


async def version_of(binary: Path) -> str:
    """Return what the program says it is.

    Raises:
        ConfigError: it is no HAProxy, or one that lacks what we need of the runtime API.
    """
    try:
        done = await finish((str(binary), "-v"), timeout_s=_TIMEOUT_S)
    except TimeoutError as err:
        raise ConfigError(f"{binary} -v does not end: is it HAProxy?") from err
    return version_in(done.out.decode(errors="replace"), str(binary))


def version_in(said: str, who: str) -> str:
    """Return which version something says it is.

    Raises:
        ConfigError: it is no HAProxy, or too old; the message begins with who it is.
    """
    found = _VERSION.search(said)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        raise ConfigError(f"{who} is not HAProxy 2.6 or newer")
    return found[0]


async def check_files(binary: Path, files: Iterable[Path]) -> None:
    """Let HAProxy read a configuration without using it.

    Raises:
        RejectedError: it refuses it; the message is its own.
        DriverUnavailable: it does not end.
    """
    named = (word for file in files for word in ("-f", str(file)))
    command = bound_to_parent((str(binary), "-c", *named))
    try:
        done = await finish(command, timeout_s=_CHECK_TIMEOUT_S, in_one=True)
    except TimeoutError as err:
        raise DriverUnavailable("HAProxy did not finish reading a configuration") from err
    if done.code != 0:
        raise RejectedError(done.out.decode(errors="replace"))
