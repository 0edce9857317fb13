"""Whether a worker still has what it was told: its runtime API is open to whoever is root.

What there is is gone through in laps, a part at each look, so that a look costs about the same
however much there is. A difference is believed when it is found a second time, while nobody else
tells the worker anything. Maps and servers are put right entry by entry; a reload does the rest.
"""

import asyncio
import hashlib
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from onehop.base.errors import DriverUnavailable
from onehop.driver.haproxy.backend import KEEPS_CA, Server
from onehop.driver.haproxy.change import joined
from onehop.driver.haproxy.runtime import who_at
from onehop.driver.haproxy.worker import Worker

_AT_ONCE: Final = 100
"""Pools, or certificates, of one part."""
_ENOUGH: Final = 1000
"""Entries after which a look ends."""
_SHOWN: Final = 5
_CERTIFICATE: Final = re.compile(
    r"^Filename: (.+)\n(?:.+\n)*?SHA1 FingerPrint: (\w+)$", re.MULTILINE
)
_LEAF: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)
_COLUMNS: Final = 20
_CHECK_IS_ON: Final = 0x4  # CHK_ST_ENABLED, include/haproxy/check-t.h


class Finding(NamedTuple):
    """Something that is not as it was told.

    Attributes:
        kind: one of few words: worker, map, server or certificate.
        what: it is about.
        needs_reload: whether the worker cannot be told what is missing.
    """

    kind: str
    what: str
    needs_reload: bool


class _Part(NamedTuple):
    size: int
    compare: Callable[[Worker, asyncio.Lock], Awaitable[Finding | None]]


class Audit:
    """Goes through what a worker has."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._lap: Iterator[_Part] = iter(())
        self.laps = 0
        """How often everything has been gone through."""

    async def look(self, worker: Worker, turn: asyncio.Lock) -> Finding | None:
        """Look at the next part, and return what is wrong there; the worker has taken note of it.

        Args:
            worker: the one that serves.
            turn: held by whoever tells it of anything but servers.

        Raises:
            DriverUnavailable: it does not answer.
        """
        if worker is not self._worker:
            self._worker, self._lap = worker, iter(())
        who = await who_at(worker.runtime)
        if who is None:
            raise DriverUnavailable("who answers at HAProxy's socket does not say who it is")
        known, worker.who = worker.who, who
        if known != who:
            was = known.pid if known is not None else "nobody"
            return Finding(
                "worker", f"process {who.pid} serves in place of {was}", needs_reload=True
            )
        left = _ENOUGH
        for part in self._lap:
            finding = await part.compare(worker, turn)
            left -= part.size
            if finding is not None or left <= 0:
                return finding
        self.laps += 1
        self._lap = iter(tuple(_parts(worker)))
        return None


def _parts(worker: Worker) -> Iterator[_Part]:
    for path, entries in worker.has.maps.items():
        yield _Part(len(entries), partial(_compare_map, path))
    for path, lines in worker.has.lists.items():
        yield _Part(len(lines), partial(_compare_files, partial(_wrong_lines, path)))
        for files in _several(sorted(lines)):
            wrong = partial(_wrong_certificates, path, files)
            yield _Part(10 * len(files), partial(_compare_files, wrong))
    for files in _several(sorted(worker.has.identities)):
        yield _Part(10 * len(files), partial(_compare_files, partial(_wrong_identities, files)))
    for backends in _several(sorted(worker.servers)):
        servers = sum(len(worker.servers[each]) for each in backends)
        yield _Part(len(backends) + servers, partial(_compare_servers, backends))


def _several(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]


def _shown(names: Sequence[str]) -> str:
    more = f", {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


# Maps


async def _compare_map(path: str, worker: Worker, turn: asyncio.Lock) -> Finding | None:
    if await _entries(worker, path) == worker.has.maps[path]:
        return None
    async with turn:
        entries, known = await _entries(worker, path), worker.has.maps[path]
        wrong = sorted(key for key in {*entries, *known} if entries.get(key) != known.get(key))
        if not wrong:
            return None
        worker.note_entries(path, entries)
    return Finding("map", f"{path.rpartition('/')[2]}: {_shown(wrong)}", needs_reload=False)


async def _entries(worker: Worker, path: str) -> dict[str, str]:
    said = await worker.runtime.ask(f"show map {path}")
    if said.startswith("Unknown map"):  # no frontend looks anything up there
        return dict(worker.has.maps[path])
    lines = (line.split(" ", 2) for line in said.splitlines() if line.startswith("0x"))
    return {key: value for _, key, value in lines}


# Certificates


async def _compare_files(
    wrong_of: Callable[[Worker], Awaitable[list[str]]], worker: Worker, turn: asyncio.Lock
) -> Finding | None:
    if not await wrong_of(worker):
        return None
    async with turn:
        wrong = await wrong_of(worker)
    return Finding("certificate", _shown(wrong), needs_reload=True) if wrong else None


async def _wrong_lines(path: str, worker: Worker) -> list[str]:
    said = await worker.runtime.ask(f"show ssl crt-list {path}")
    files = {line.partition(" ")[0] for line in said.splitlines() if line.startswith("/")}
    return sorted(files ^ worker.has.lists.get(path, {}).keys())


async def _wrong_certificates(path: str, files: Sequence[str], worker: Worker) -> list[str]:
    has = await _fingerprints(files, worker)
    known = worker.has.lists.get(path, {}).keys() & set(files)
    return sorted(each for each in known if has.get(each) != _fingerprint(worker.has.files[each]))


async def _wrong_identities(files: Sequence[str], worker: Worker) -> list[str]:
    has, known = await _fingerprints(files, worker), worker.has.identities
    return sorted(each for each in files if has.get(each) != _fingerprint(known[each]))


async def _fingerprints(files: Sequence[str], worker: Worker) -> dict[str, str]:
    has: dict[str, str] = {}
    for line in joined(f"show ssl cert {file}" for file in files):
        has.update(_CERTIFICATE.findall(await worker.runtime.ask(line)))
    return has


def _fingerprint(pem: str) -> str:
    leaf = _LEAF.search(pem)
    der = ssl.PEM_cert_to_DER_cert(leaf[0]) if leaf is not None else b""
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


# Servers


class _State(NamedTuple):
    """What can be seen of a server, and what of it was told."""

    address: str
    weight: int
    is_ready: bool
    is_checked: bool


async def _compare_servers(
    backends: Sequence[str], worker: Worker, _turn: asyncio.Lock
) -> Finding | None:
    seen = await _states(worker, backends)
    suspects = [each for each in backends if seen.get(each, {}) != _told(worker, each)]
    found = [each for pool in suspects if (each := await _compare_pool(pool, worker)) is not None]
    if not found:
        return None
    needs_reload = any(each.needs_reload for each in found)
    return Finding("server", _shown([each.what for each in found]), needs_reload)


async def _compare_pool(backend: str, worker: Worker) -> Finding | None:
    async with worker.turn_of(backend):
        has, told = (await _states(worker, (backend,))).get(backend, {}), _told(worker, backend)
        wrong = sorted(name for name in {*has, *told} if has.get(name) != told.get(name))
        if not wrong:
            return None
        known = worker.servers[backend]
        options = {name: server.options for name, server in known.items()}
        ready = {name: state for name, state in has.items() if state.is_ready}
        worker.note_servers(
            backend,
            {n: Server(s.address, s.weight, options.get(n, "")) for n, s in ready.items()},
            {n: s.address for n, s in has.items() if n not in ready},
        )
    unlike = (n for n in has.keys() & told.keys() if _made(has[n]) != _made(told[n]))
    return Finding("server", f"{backend}: {_shown(wrong)}", needs_reload=any(True for _ in unlike))


def _made(state: _State) -> tuple[str, bool]:
    """Return what a server is made with, and is not told afterwards."""
    return state.address, state.is_checked


def _told(worker: Worker, backend: str) -> dict[str, _State]:
    return {
        name: _State(server.address, server.weight, True, server.is_checked)
        for name, server in worker.servers[backend].items()
    }


async def _states(worker: Worker, backends: Iterable[str]) -> dict[str, dict[str, _State]]:
    """Return the servers by pool, but for those that wait to be deleted and those of our own."""
    states: dict[str, dict[str, _State]] = {}
    for command in joined(f"show servers state {backend}" for backend in backends):
        for line in (await worker.runtime.ask(command)).splitlines():
            row = line.split(" ")
            if len(row) < _COLUMNS or line.startswith("#"):
                continue
            backend, name = row[1], row[3]
            if name != KEEPS_CA and name not in worker.retired(backend):
                states.setdefault(backend, {})[name] = _state(row)
    return states


def _state(row: Sequence[str]) -> _State:
    """Read a line; the manual's "show servers state"."""
    host = f"[{row[4]}]" if ":" in row[4] else row[4]
    return _State(
        address=f"{host}:{row[18]}",
        weight=int(row[7]),
        is_ready=row[6] == "0",
        is_checked=bool(int(row[13]) & _CHECK_IS_ON),
    )
