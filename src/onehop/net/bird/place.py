"""Where BIRD is: a child of ours, or one that somebody else runs and lets us write a part of."""

import os
import re
import shutil
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from onehop.base.child import finish
from onehop.base.errors import ConfigError, RejectedError, TransientError

_LONGEST_SOCKET_PATH: Final = 107  # sun_path of unix(7), less the final zero
_TOOL_S: Final = 30.0
_VERSION: Final = re.compile(r"BIRD version ([0-9.]+)")


class OwnBird(msgspec.Struct, frozen=True, kw_only=True):
    """A BIRD that we start.

    Attributes:
        binary: found on PATH if it has no slash.
        state_dir: becomes 0700; holds the configuration, with passwords, and the socket.
    """

    state_dir: Path
    binary: str = "bird"

    @property
    def file(self) -> Path:
        """The configuration that we write."""
        return self.state_dir / "bird.conf"

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.state_dir / "bird.ctl"


class AttachedBird(msgspec.Struct, frozen=True, kw_only=True):
    """A BIRD that somebody else runs.

    Attributes:
        include: the file that its configuration includes, which we write.
    """

    socket: Path
    include: Path

    @property
    def file(self) -> Path:
        """The configuration that we write."""
        return self.include


BirdPlace: TypeAlias = OwnBird | AttachedBird


def prepare_directory(place: OwnBird) -> None:
    """Make the state directory, for us alone.

    Raises:
        ConfigError: it cannot be made, or its path is too long for a socket, or there is no BIRD.
    """
    if shutil.which(place.binary) is None:
        raise ConfigError(
            f"bgp.bird.binary: no program {place.binary!r} here; install Debian's bird2 or bird3"
        )
    if len(os.fsencode(place.socket)) > _LONGEST_SOCKET_PATH:
        raise ConfigError(f"state: the path of {place.socket} is too long for a Unix socket")
    try:
        place.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.state_dir.chmod(0o700)
    except OSError as err:
        raise ConfigError(f"state: cannot make {place.state_dir}: {err}") from err


def write_private(file: Path, text: str) -> None:
    """Put text into a file at once and for us alone: readers see the old text or the new.

    Raises:
        ConfigError: the file cannot be written.
    """
    draft = file.with_name(f".{file.name}.onehop")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
        # Whom the file belonged to may stay able to read it: a BIRD that is not root's.
        if file.exists() and os.geteuid() == 0:
            owner = file.stat()
            os.chown(draft, owner.st_uid, owner.st_gid)
        draft.rename(file)
    except OSError as err:
        raise ConfigError(f"cannot write {file}: {err}") from err


async def version_of(binary: str) -> str:
    """Return the version that a BIRD says it is.

    Raises:
        TransientError: it does not say.
    """
    _, said = await _run(binary, "--version")
    found = _VERSION.search(said)
    if found is None:
        raise TransientError(f"{binary} --version: {said.strip() or 'says nothing'}")
    return found[1]


async def check_text(binary: str, file: Path) -> None:
    """Have BIRD read a configuration without running it.

    Raises:
        RejectedError: BIRD does not take it; the message is BIRD's.
        TransientError: BIRD did not end.
    """
    code, said = await _run(binary, "-p", "-c", str(file))
    if code:
        raise RejectedError(said.strip().rpartition("\n")[2] or f"bird -p: {code}")


async def _run(*command: str) -> tuple[int, str]:
    try:
        done = await finish(command, timeout_s=_TOOL_S, in_one=True)
    except TimeoutError as err:  # it is an OSError as well
        raise TransientError(f"{command[0]} did not end within {_TOOL_S:.0f} s") from err
    except OSError as err:
        raise TransientError(f"cannot start {command[0]}: {err}") from err
    return done.code, done.out.decode(errors="replace")
