"""What is rendered, as files; most hold private keys, and only their owner may read any."""

import os
from pathlib import Path
from typing import Final

from onehop.base.errors import ConfigError
from onehop.driver.haproxy.options import HaproxyOptions
from onehop.driver.haproxy.render import Rendered, texts_of

_LONGEST_SOCKET_PATH: Final = 107
_LONGEST_NAME: Final = len("/run-4294967295.sock.1234567.tmp")
_OURS: Final = ("*.map", "*.list", "*.pem", "*.sock", "haproxy.cfg")


class Disk:
    """The folder that HAProxy reads; a file that is as it was is not written again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[str, str] = {}

    def write(self, rendered: Rendered, config: str) -> None:
        """Make the folder hold exactly this, and the sockets that there are."""
        wanted = {str(self._folder / "haproxy.cfg"): config, **dict(texts_of(rendered))}
        for path, text in wanted.items():
            if self._written.get(path) != text:
                _write(path, text)
        for path in self._written.keys() - wanted.keys():
            Path(path).unlink(missing_ok=True)
        self._written = wanted


def prepare_folder(options: HaproxyOptions) -> None:
    """Make the folder, empty of what an earlier run left.

    Raises:
        ConfigError: it cannot be used.
    """
    folder = options.state_dir
    if len(str(folder)) + _LONGEST_NAME > _LONGEST_SOCKET_PATH:
        raise ConfigError(f"state: {folder} is too long a path for HAProxy's sockets")
    if " " in str(folder) or not str(folder).isprintable():
        raise ConfigError(f"state: {folder}: HAProxy's files want a path without spaces")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for pattern in _OURS:
            for path in folder.glob(pattern):
                path.unlink()
    except OSError as err:
        raise ConfigError(f"state: {folder}: {err.strerror}") from err


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
