"""Where HAProxy is."""

import shutil
from pathlib import Path

from onehop.base.errors import ConfigError

_ALSO = "/usr/sbin:/sbin"


def find_haproxy(binary: str) -> Path:
    """Return the executable; Debian's lies where an ordinary user does not look.

    Raises:
        ConfigError: there is none.
    """
    found = shutil.which(binary) or shutil.which(binary, path=_ALSO)
    if found is None:
        raise ConfigError(f"no {binary} here: install the package `haproxy`, 2.6 or newer")
    return Path(found)
