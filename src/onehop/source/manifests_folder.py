"""A folder of manifests, read and merged: `load_manifests` for once, `read_folder` for again.

A reading costs one `stat` per file; only a file that may have changed is opened again. Symlinks are
followed and hidden entries are not, which is what a ConfigMap volume needs: its files are links to
`..data/`, a link to a hidden directory that is swapped as a whole.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from onehop.base.errors import ConfigError
from onehop.cluster.kind import ClusterObject
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason
from onehop.source.manifests_file import ManifestFile, file_problem, read_manifest, unreadable

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})

_RACY_NS: Final = 100_000_000
"""A file touched this recently is opened again: file times advance in ticks of several
milliseconds, so a second write within a tick would not show (git calls that "racily clean")."""

Identity: TypeAlias = tuple[int, int]
"""Device and inode number."""


class Stamp(msgspec.Struct, frozen=True):
    """What a file's inode says; ctime moves with every change and no program can set it back."""

    device: int
    inode: int
    size: int
    ctime_ns: int


class FileEntry(msgspec.Struct, frozen=True):
    """A file as it was read last, and what it holds now.

    Attributes:
        stamp: None if the file has to be opened again whatever its inode says.
        digest: of its bytes; None if it could not be read.
    """

    stamp: Stamp | None
    digest: bytes | None
    file: ManifestFile


class Folder(msgspec.Struct, frozen=True):
    """One reading of a folder.

    Attributes:
        entries: by path below the folder.
        identity: device and inode of the folder; None before the first reading.
        roots: the same of the folder and of every directory that a symlink leads to; a watch on
            the folder has to be set up anew when they change.
    """

    entries: Mapping[str, FileEntry] = {}
    identity: Identity | None = None
    roots: frozenset[Identity] = frozenset()


class Merged(msgspec.Struct, frozen=True):
    """What the files say together."""

    objects: Mapping[ObjectRef, ClusterObject]
    problems: tuple[Problem, ...]


def load_manifests(path: Path) -> tuple[tuple[ClusterObject, ...], tuple[Problem, ...]]:
    """Return the objects of a folder or of a single file, by path and document, and what is wrong.

    Raises:
        ConfigError: there is nothing readable at this path.
    """
    try:
        if path.is_dir():
            entries = read_folder(path, Folder(), now_ns=time.time_ns()).entries
            merged = merge(entry.file for entry in entries.values())
        else:
            merged = merge([read_manifest(path.name, path.read_bytes())])
    except OSError as err:
        message = f"cannot read the manifests at {path}: {err.strerror}; name a folder or a file"
        raise ConfigError(message) from err
    return tuple(merged.objects.values()), merged.problems


def read_folder(directory: Path, previous: Folder, *, now_ns: int) -> Folder:
    """Read what changed since `previous`, and hold what is in doubt (see `manifests_file`).

    Raises:
        OSError: the folder itself is not there or may not be read.
    """
    walk = _Walk(directory)
    names = list(walk.files(directory))
    entries = {name: _read_entry(directory, name, previous, now_ns=now_ns) for name in names}
    for name, why in walk.unlisted.items():
        held = {key: entry for key, entry in previous.entries.items() if key.startswith(name)}
        closed = FileEntry(None, None, unreadable(name, f"cannot be listed: {why}"))
        entries |= {**held, name: closed}
    return Folder(dict(sorted(entries.items())), walk.identity, frozenset(walk.roots))


def merge(files: Iterable[ManifestFile]) -> Merged:
    """Put the files together; of an object that two of them define, the first file's counts."""
    objects: dict[ObjectRef, ClusterObject] = {}
    owners: dict[ObjectRef, str] = {}
    problems: list[Problem] = []
    for file in files:
        problems += file.problems
        for ref, item in file.objects.items():
            if ref in owners:
                message = f"{ref} is already defined in {owners[ref]}; remove one of them"
                problems.append(file_problem(file.name, message, reason=Reason.NOT_UNIQUE))
            else:
                owners[ref] = file.name
                objects[ref] = item
    return Merged(objects, tuple(problems))


class _Walk:
    """Finds the manifests below a folder, each directory once however many links lead to it.

    Attributes:
        identity: of the folder itself, where the walk began.
        roots: see `Folder.roots`.
        unlisted: directories that may not be listed (`lost+found/`), and why.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: set[Identity] = set()
        self.identity: Identity | None = None
        self.roots: set[Identity] = set()
        self.unlisted: dict[str, str] = {}

    def files(self, directory: Path) -> Iterator[str]:
        """Yield the paths of manifests, relative to the folder.

        Raises:
            OSError: the folder cannot be listed.
        """
        status = directory.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen:
            return
        self._seen.add(identity)
        self.identity = self.identity or identity
        if directory == self._directory or directory.is_symlink():
            self.roots.add(identity)
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = directory / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self._files_below(path)
            elif path.suffix in SUFFIXES and (entry.is_file() or entry.is_symlink()):
                yield path.relative_to(self._directory).as_posix()

    def _files_below(self, directory: Path) -> Iterator[str]:
        try:
            yield from self.files(directory)
        except FileNotFoundError:
            return  # deleted since its parent was listed
        except OSError as err:
            name = directory.relative_to(self._directory).as_posix()
            self.unlisted[f"{name}/"] = str(err.strerror)


def _read_entry(directory: Path, name: str, previous: Folder, *, now_ns: int) -> FileEntry:
    known = previous.entries.get(name)
    path = directory / name
    try:
        status = path.stat()
        stamp = Stamp(status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)
        if known is not None and known.stamp == stamp:
            return known
        content = path.read_bytes()
    except OSError as err:
        file = unreadable(name, f"cannot be read: {err.strerror}")
        return FileEntry(None, None, file if known is None else file.after(known.file))
    settled = stamp if now_ns - stamp.ctime_ns > _RACY_NS else None
    digest = hashlib.blake2b(content, digest_size=16).digest()
    if known is not None and known.digest == digest:
        return msgspec.structs.replace(known, stamp=settled)
    file = read_manifest(name, content)
    return FileEntry(settled, digest, file if known is None else file.after(known.file))
