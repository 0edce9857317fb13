"""What is rendered, as files; most hold private keys, and only their owner may read any.

HAProxy may read them at a moment that is not ours to choose: whoever keeps it starts it again, or
has it reload. So no file is ever seen half-written: all that changes is written under other names
first, which is where a disk is full, and then takes the place of what was there. What the
configuration names is there before it, and goes after it.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.driver.haproxy.configuration import config_text
from onehop.driver.haproxy.options import HaproxyOptions
from onehop.driver.haproxy.rendered import Rendered, texts_of

_LONGEST_SOCKET_PATH: Final = 107
_LONGEST_NAME: Final = len("/run-4294967295.sock.1234567.tmp")
_OURS: Final = ("*.map", "*.list", "*.pem", "*.sock", "*.draft", "haproxy.cfg")
_OUR_MARK: Final = "\ndefaults onehop\n"


class Snapshot(NamedTuple):
    """What shall be on disk at some time.

    Attributes:
        number: of two snapshots, the later one has the larger number.
        rendered: must not change any more.
        runtime_socket: of the worker that reads it.
    """

    number: int
    rendered: Rendered
    runtime_socket: str


class Disk:
    """The folder that HAProxy reads; a file that is as it was is not written again.

    May be used from several threads.

    Args:
        options: how HAProxy is run.
    """

    def __init__(self, options: HaproxyOptions) -> None:
        self._options = options
        self._written: dict[str, str | None] = {}
        if options.attached is not None:  # what an earlier onehop wrote goes when it is not wanted
            self._written = {str(path): None for path in _earlier_files(options.state_dir)}
        self._number = 0
        self._turn = threading.Lock()

    def write(self, snapshot: Snapshot) -> None:
        """Make the folder hold exactly this, and the sockets that there are.

        A snapshot that is older than what is there is passed over.

        Raises:
            DriverUnavailable: it cannot; every file is as it was, or as it shall be.
        """
        with self._turn:
            if snapshot.number < self._number:
                return
            wanted = dict(self._texts(snapshot))
            known = self._written
            changed = {path: text for path, text in wanted.items() if known.get(path) != text}
            self._written = {**known, **dict.fromkeys(changed)}  # until it is done
            try:
                _replace(changed)
                self._written |= changed
                for path in self._written.keys() - wanted.keys():
                    Path(path).unlink(missing_ok=True)
                    del self._written[path]
            except OSError as err:
                folder = self._options.state_dir
                raise DriverUnavailable(f"cannot write into {folder}: {err.strerror}") from err
            self._number = snapshot.number

    def forget(self) -> None:
        """Write everything anew the next time: somebody may have touched the files."""
        with self._turn:
            self._written = dict.fromkeys(self._written)

    def _texts(self, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
        yield from texts_of(snapshot.rendered)
        text = config_text(snapshot.rendered, self._options, snapshot.runtime_socket)
        yield str(self._options.config_file), text


def _replace(texts: Mapping[str, str]) -> None:
    """Put texts into the places of files, in their order; all are on disk before the first one."""
    drafts = {path: f"{path}.draft" for path in texts}
    try:
        for path, text in texts.items():
            descriptor = os.open(drafts[path], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
        for path, draft in drafts.items():
            Path(draft).rename(path)
    except OSError:
        for draft in drafts.values():
            with contextlib.suppress(OSError):
                Path(draft).unlink(missing_ok=True)
        raise


def prepare_folder(options: HaproxyOptions) -> None:
    """Make the folder, empty of what an earlier run left.

    Raises:
        ConfigError: it cannot be used.
    """
    folder = options.state_dir
    _check_path(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for pattern in _OURS:
            for path in folder.glob(pattern):
                path.unlink()
    except OSError as err:
        raise ConfigError(f"state: {folder}: {err.strerror}") from err


def adopt_folder(options: HaproxyOptions) -> str:
    """Take the folder that a HAProxy of somebody else reads; return what it has of us.

    Nothing in it is changed: a worker may be started with it at any time.

    Raises:
        ConfigError: it cannot be used, or holds what is not ours.
    """
    folder, file = options.state_dir, options.config_file
    _check_path(folder)
    try:
        if not any(folder.iterdir()):
            text = ""
        elif not file.exists() or _OUR_MARK not in (text := file.read_text(encoding="utf-8")):
            raise ConfigError(
                f"dataPlane.haproxy.include: {folder} holds files that onehop did not write: "
                "name a folder for onehop alone"
            )
        folder.chmod(0o700)
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"dataPlane.haproxy.include: {folder}: {err}") from err
    return text


def _earlier_files(folder: Path) -> Iterator[Path]:
    for pattern in _OURS:
        yield from (path for path in folder.glob(pattern) if path.suffix != ".sock")


def _check_path(folder: Path) -> None:
    if len(str(folder)) + _LONGEST_NAME > _LONGEST_SOCKET_PATH:
        raise ConfigError(f"state: {folder} is too long a path for HAProxy's sockets")
    if " " in str(folder) or not str(folder).isprintable():
        raise ConfigError(f"state: {folder}: HAProxy's files want a path without spaces")
