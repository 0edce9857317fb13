"""One program on one state directory: two would overwrite each other's memory."""

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

from onehop.base.errors import ConfigError


@contextlib.contextmanager
def hold(state: Path) -> Generator[None]:
    """Hold the state directory, made if it is not there, until the context is left.

    Raises:
        ConfigError: another one holds it, or it cannot be made.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise ConfigError(
            f"state: {state}: {err.strerror}; choose a directory this user may write to"
        ) from err
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        os.close(descriptor)
        raise ConfigError(f"state: {state} is in use by another onehop") from err
    try:
        yield
    finally:
        os.close(descriptor)
