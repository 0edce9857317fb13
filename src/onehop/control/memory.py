"""Last known good: what was served, on disk, so that a restart needs no API to serve it again.

One file: a line of JSON with format and SHA-256, then msgpack rows, each behind its length. It is
written beside the old one and renamed over it, so a crash leaves one or the other; it holds
private keys, so it is readable by its owner only. Rows are encoded a few hundred at a time: at a
hundred thousand endpoints one go would stop the event loop for too long.
"""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec
import structlog

from onehop.compile.inputs import Held
from onehop.model.ident import ObjectRef
from onehop.model.model import Row
from onehop.model.network import Network

_FORMAT: Final = 4
_ROWS_AT_ONCE: Final = 200

log = structlog.get_logger(__name__)


class Remembered(msgspec.Struct, frozen=True):
    """What outlives the process.

    Attributes:
        rows: everything that was served.
        held: the addresses given to Services.
        known: every object there was, by name: a first list without them is doubted.
        network: whom BGP was spoken with, so that VIPs are announced without an API.
    """

    rows: tuple[Row, ...] = ()
    held: tuple[Held, ...] = ()
    known: tuple[ObjectRef, ...] = ()
    network: Network = Network()


class _Header(msgspec.Struct, frozen=True):
    format: int
    source: str
    sha256: str
    rows: int
    held: int
    known: int


class Memory:
    """The file `last-known-good` in the state directory.

    Args:
        directory: the state directory.
        source: where the objects come from. What was served from elsewhere is not remembered:
            who turns to another cluster does not want the old one's hosts.
    """

    def __init__(self, directory: Path, source: str) -> None:
        self._path = directory / "last-known-good"
        self._source = source

    def load(self) -> Remembered:
        """Return what was remembered; nothing if there is no file, or one that cannot be trusted.

        A damaged file is no reason not to start: it is reported and left where it is.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return Remembered()
        except OSError as err:
            log.warning("last_known_good_unreadable", path=str(self._path), error=str(err))
            return Remembered()
        try:
            return _decode(data, self._source)
        except (msgspec.DecodeError, ValueError) as err:
            log.warning("last_known_good_damaged", path=str(self._path), error=str(err))
            return Remembered()

    async def save(self, remembered: Remembered) -> None:
        """Replace the file.

        Raises:
            OSError: the disk is full or the directory is not writable; the old file stays.
        """
        parts: list[bytes] = []
        encoder = msgspec.msgpack.Encoder()
        items = (*remembered.rows, *remembered.held, *remembered.known, remembered.network)
        for start in range(0, len(items), _ROWS_AT_ONCE):
            parts.extend(map(encoder.encode, items[start : start + _ROWS_AT_ONCE]))
            await asyncio.sleep(0)
        counts = (len(remembered.rows), len(remembered.held), len(remembered.known))
        await asyncio.to_thread(self._write, parts, counts)

    def _write(self, parts: list[bytes], counts: tuple[int, int, int]) -> None:
        body = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        digest = hashlib.sha256(body).hexdigest()
        header = _Header(_FORMAT, self._source, digest, *counts)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(header) + b"\n")
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


def _decode(data: bytes, source: str) -> Remembered:
    line, _, body = data.partition(b"\n")
    header = msgspec.json.decode(line, type=_Header)
    if header.format != _FORMAT:
        raise ValueError(f"format {header.format} is not {_FORMAT}: written by another version")
    if hashlib.sha256(body).hexdigest() != header.sha256:
        raise ValueError("the checksum does not fit")
    parts: list[bytes] = []
    position = 0
    while position < len(body):
        size = int.from_bytes(body[position : position + 4], "big")
        parts.append(body[position + 4 : position + 4 + size])
        position += 4 + size
    if header.source != source:
        log.info("last_known_good_of_another_source", source=header.source)
        return Remembered()
    if len(parts) != header.rows + header.held + header.known + 1:
        raise ValueError("the number of rows does not fit")
    row_decoder = msgspec.msgpack.Decoder(Row)
    held_decoder = msgspec.msgpack.Decoder(Held)
    known_decoder = msgspec.msgpack.Decoder(ObjectRef)
    known_from = header.rows + header.held
    return Remembered(
        tuple(row_decoder.decode(part) for part in parts[: header.rows]),
        tuple(held_decoder.decode(part) for part in parts[header.rows : known_from]),
        tuple(known_decoder.decode(part) for part in parts[known_from:-1]),
        msgspec.msgpack.decode(parts[-1], type=Network),
    )
