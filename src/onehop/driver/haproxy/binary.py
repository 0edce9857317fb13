"""Where HAProxy is, and whether it is one that we can talk to."""

import re
import shutil
from pathlib import Path
from typing import Final

from onehop.base.child import finish
from onehop.base.errors import ConfigError

_ALSO: Final = "/usr/sbin:/sbin"
_OLDEST: Final = (2, 6)
_VERSION: Final = re.compile(r"HAProxy version (\d+)\.(\d+)\S*")
_TIMEOUT_S: Final = 10.0


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
    found = _VERSION.search(done.out.decode(errors="replace"))
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        raise ConfigError(f"{binary} is not HAProxy 2.6 or newer")
    return found[0]
