"""What a HAProxy that somebody else runs was started with: whether our part fits in, and where.

Its command line and the files named there are read, never written. It is told apart what the
operator has to put where: onehop changes nothing of it.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from onehop.base.errors import ConfigError

_CACHE: Final = re.compile(r"^\s*tune\.ssl\.cachesize\s+(\d+)", re.MULTILINE)


def files_of(pid: int) -> tuple[Path, ...]:
    """Return the files and folders that a HAProxy reads, in their order.

    Raises:
        ConfigError: the process cannot be looked at.
    """
    process = Path(f"/proc/{pid}")
    try:
        words = (process / "cmdline").read_text(encoding="utf-8").split("\0")[:-1]
        folder = (process / "cwd").readlink()
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(
            f"dataPlane.haproxy.master: process {pid} cannot be looked at ({err}): onehop must run "
            "on its host, as root or as the user of HAProxy's master"
        ) from err
    return tuple(folder / each for each in _named(words))


def check_fit(files: Sequence[Path], ours: Path) -> None:
    """Look whether a HAProxy reads our folder, last, and has what we need of its `global`.

    Raises:
        ConfigError: it does not; the message says what to put where.
    """
    resolved = [each.resolve() for each in files]
    shown = " ".join(map(str, files))
    if not resolved or ours.resolve() not in resolved:
        raise ConfigError(
            f"dataPlane.haproxy.include: HAProxy reads {shown or 'no file'}, not {ours}: "
            f"start it with `-f {ours}` behind its other files"
        )
    if ours.resolve() != resolved[-1]:
        raise ConfigError(
            f"dataPlane.haproxy.include: HAProxy reads {shown}: `-f {ours}` must be the last one, "
            "or what follows would be given onehop's defaults"
        )
    sizes = [size for file in resolved[:-1] for size in _CACHE.findall(_text(file))]
    if not sizes or int(sizes[-1]) != 0:
        first = files[0] if len(files) > 1 else "a file before it"
        raise ConfigError(
            f"dataPlane.haproxy: put `tune.ssl.cachesize 0` into the global section of {first}, "
            "and reload: a TLS session of one host could be resumed for another one, which asks "
            "for certificates"
        )


def _named(words: Sequence[str]) -> Iterator[str]:
    """Yield what stands behind `-f`; behind `--` are files alone (haproxy(1))."""
    options = words[: words.index("--")] if "--" in words else words
    for flag, name in pairwise(options):
        if flag == "-f":
            yield name
    yield from words[len(options) + 1 :]


def _text(file: Path) -> str:
    """Return what HAProxy reads there: of a folder, the files that end in `.cfg`."""
    try:
        files = sorted(file.glob("[!.]*.cfg")) if file.is_dir() else [file]
        return "\n".join(each.read_text(encoding="utf-8", errors="replace") for each in files)
    except OSError as err:
        raise ConfigError(f"dataPlane.haproxy: {file} cannot be read: {err.strerror}") from err
