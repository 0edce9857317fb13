"""Secrets beside a folder of manifests: files below the state directory, which only we may read.

One file for each, and each a manifest, so that people can read it and take it elsewhere. It is
written beside the old one and renamed over it: a crash leaves the one or the other. The user's
folder is never written to; what it holds counts, and is never ours.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import structlog

from onehop.base.errors import KubeConflict, TransientError
from onehop.cluster.kind import ref_of
from onehop.cluster.meta import Meta
from onehop.cluster.secret import Secret
from onehop.control.issuing.mark import labels_of_ours
from onehop.control.issuing.name import is_subdomain
from onehop.control.issuing.secrets import SecretChange
from onehop.model.ident import ObjectRef

_SUFFIX: Final = ".json"
_LONGEST_FILE_NAME: Final = 200
_DIRECTORY_MODE: Final = 0o700
_FILE_MODE: Final = 0o600

log = structlog.get_logger(__name__)


class Beside(Protocol):
    """What of `ManifestSource` is needed."""

    def tell_own(self, own: Mapping[ObjectRef, Secret]) -> None:
        """Tell these Secrets like those of the folder, where the folder has none of that name."""
        ...

    def secret(self, secret: ObjectRef) -> Secret | None:
        """Return the Secret that the folder holds; TransientError before it has been read."""
        ...


class FolderSecrets:
    """Implements `SecretStore`.

    One process at a time has the directory; the state directory sees to it.

    Args:
        directory: made with the first Secret.
        source: the folder of manifests. It is told at once what was written before.
    """

    def __init__(self, directory: Path, source: Beside) -> None:
        self._directory = directory
        self._source = source
        self._secrets = {ref_of(secret): secret for secret in _read_all(directory)}
        self._version = max(map(_version, self._secrets.values()), default=0)
        self._writing = asyncio.Lock()
        source.tell_own(dict(self._secrets))

    async def find(self, secret: ObjectRef) -> Secret | None:
        """Return a Secret; the user's own carries no marks here, whatever its file says."""
        theirs = self._source.secret(secret)
        if theirs is None:
            return self._secrets.get(secret)
        unmarked = msgspec.structs.replace(theirs.metadata, labels=None, annotations=None)
        return msgspec.structs.replace(theirs, metadata=unmarked)

    async def create(self, secret: Secret) -> Secret:
        """Write a file that was not there."""
        async with self._writing:
            ref = ref_of(secret)
            if await self.find(ref) is not None:
                raise KubeConflict(f"create {ref}: there is one already")
            return await self._put(ref, secret)

    async def change(self, seen: Meta, change: SecretChange) -> Secret:
        """Replace a file."""
        async with self._writing:
            found = await self._as_seen(seen)
            if found is None:
                raise KubeConflict(f"change Secret {seen.namespace}/{seen.name}: it is gone")
            meta = found.metadata
            changed = msgspec.structs.replace(
                found,
                metadata=msgspec.structs.replace(
                    meta,
                    labels={**(meta.labels or {}), **change.labels},
                    annotations={**(meta.annotations or {}), **change.annotations},
                ),
                data={
                    key: value
                    for key, value in {**(found.data or {}), **change.data}.items()
                    if value is not None
                },
            )
            return await self._put(ref_of(found), changed)

    async def delete(self, seen: Meta) -> None:
        """Remove a file."""
        async with self._writing:
            found = await self._as_seen(seen)
            if found is None:
                return
            ref = ref_of(found)
            with _disk_faults(f"delete {ref}"):
                await asyncio.to_thread(_remove, self._path(ref))
            del self._secrets[ref]
            self._source.tell_own(dict(self._secrets))

    async def marked(self, namespace: str, component: str) -> tuple[Meta, ...]:
        """Return which Secrets we created for something."""
        wanted = labels_of_ours(component).items()
        return tuple(
            secret.metadata
            for ref, secret in sorted(self._secrets.items())
            if ref.namespace == namespace and wanted <= (secret.metadata.labels or {}).items()
        )

    async def _as_seen(self, seen: Meta) -> Secret | None:
        found = await self.find(ObjectRef("Secret", seen.namespace, seen.name))
        if found is not None and found.metadata.resource_version != seen.resource_version:
            raise KubeConflict(f"Secret {seen.namespace}/{seen.name} is not as it was seen")
        return found

    async def _put(self, ref: ObjectRef, secret: Secret) -> Secret:
        self._version += 1
        meta = msgspec.structs.replace(secret.metadata, resource_version=str(self._version))
        secret = msgspec.structs.replace(secret, metadata=meta)
        with _disk_faults(f"write {ref}"):
            await asyncio.to_thread(_write, self._path(ref), _manifest(secret))
        self._secrets[ref] = secret
        self._source.tell_own(dict(self._secrets))
        return secret

    def _path(self, ref: ObjectRef) -> Path:
        """Return the file of a Secret; what is inside says which it is, the name is for people."""
        name = f"{ref.namespace}.{ref.name}"
        if len(name) > _LONGEST_FILE_NAME or not is_subdomain(name):
            name = hashlib.sha256(name.encode()).hexdigest()
        return self._directory / f"{name}{_SUFFIX}"


def _manifest(secret: Secret) -> bytes:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", **msgspec.to_builtins(secret)}
    return msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n"


def _version(secret: Secret) -> int:
    version = secret.metadata.resource_version
    return int(version) if version.isdecimal() else 0


def _read_all(directory: Path) -> list[Secret]:
    """Return what was written before; a damaged file is named in the log and stays."""
    found: list[Secret] = []
    try:
        paths = sorted(directory.iterdir())
    except FileNotFoundError:
        return found
    except OSError as err:
        log.warning("kept_secrets_unreadable", path=str(directory), error=str(err))
        return found
    for path in (path for path in paths if path.suffix == _SUFFIX):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Secret))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as err:
            log.warning("kept_secret_unreadable", path=str(path), error=str(err))
    return found


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    path.parent.chmod(_DIRECTORY_MODE)  # made by somebody else, or with another umask
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)  # of a crash: its mode may be any
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync(path.parent)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    """Have a rename or an unlink on stable storage: it is an entry of the directory (fsync(2))."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _disk_faults(doing: str) -> Generator[None]:
    try:
        yield
    except OSError as err:
        raise TransientError(f"{doing}: {err.filename or 'the disk'}: {err.strerror}") from err
