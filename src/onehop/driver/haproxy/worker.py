"""What the worker that serves now has, and how it is brought to what is wanted."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from onehop.driver.haproxy.backend import Server
from onehop.driver.haproxy.change import (
    identity_commands,
    joined,
    put_commands,
    remove_commands,
    server_commands,
)
from onehop.driver.haproxy.rendered import Rendered, Touched
from onehop.driver.haproxy.runtime import Runtime, Who

_AT_ONCE: Final = 100
"""Servers that are deleted by one line."""
_GONE: Final = frozenset(("Server deleted.", "No such server."))
"""What HAProxy says, a line for each server; one that has connections stays."""


class News(NamedTuple):
    """What a worker has yet to be told: what it has of the entries in question, and shall have."""

    have: Rendered
    want: Rendered


class Worker:
    """A worker and what it was told.

    Args:
        runtime: its socket.
        wanted: what it shall have. It has just that now, and is told what becomes of it.
    """

    def __init__(self, runtime: Runtime, wanted: Rendered) -> None:
        self.runtime = runtime
        self.who: Who | None = None
        """Who answers there, as far as we know: known as soon as it has come up."""
        self.has = wanted.copy()
        """Everything but servers; sections and policies that nobody uses any more are in it."""
        self._wanted = wanted
        self._touched = Touched()
        self._servers = {backend: dict(each) for backend, each in wanted.servers.items()}
        self._retired: dict[str, dict[str, str]] = {}
        self._turns = {backend: asyncio.Lock() for backend in wanted.servers}

    @property
    def backends_touched(self) -> frozenset[str]:
        """Those whose servers may have become others since everything was told last."""
        return self._touched.backends

    @property
    def servers(self) -> Mapping[str, Mapping[str, Server]]:
        """The servers that may get work, by backend."""
        return self._servers

    def retired(self, backend: str) -> frozenset[str]:
        """Return the servers of a pool that wait to be deleted."""
        return frozenset(self._retired.get(backend, ()))

    def leftovers(self) -> frozenset[str]:
        """Return the addresses of all servers that wait to be deleted."""
        return frozenset(a for each in self._retired.values() for a in each.values())

    def turn_of(self, backend: str) -> asyncio.Lock:
        """Return what is held by whoever changes the servers of a pool."""
        return self._turns[backend]

    def note_entries(self, path: str, entries: Mapping[str, str]) -> None:
        """Take note of what a map holds in truth; what is wrong is told with the next news."""
        has = self.has.maps[path]
        wrong = {key for key in {*has, *entries} if has.get(key) != entries.get(key)}
        self.has.maps[path] = dict(entries)
        self._touched.deep[0].setdefault(path, set()).update(wrong)

    def note_servers(
        self, backend: str, has: Mapping[str, Server], disabled: Mapping[str, str]
    ) -> None:
        """Take note of what servers a pool has in truth, under its turn.

        Args:
            backend: the pool.
            has: those that may get work.
            disabled: the addresses of those that may not; they are made ready if they are wanted.
        """
        self._servers[backend] = dict(has)
        self._retired[backend] = dict(disabled)
        self._touched.flat[-1].add(backend)

    def touch(self, touched: Touched) -> None:
        """Take note of what has become another."""
        self._touched.merge(touched)

    def news(self) -> News:
        """Return what there is to tell."""
        return News(self._touched.cut(self.has), self._touched.cut(self._wanted))

    async def tell(self, news: News) -> None:
        """Tell all that is new, servers first; no reload may be needed for it.

        Raises:
            DriverUnavailable: the worker does not answer.
            RejectedError: it refuses something.
        """
        touched, self._touched = self._touched, Touched()
        try:
            await self.runtime.tell(identity_commands(*news))
            self.has.identities.update(news.want.identities)
            for backend in sorted(touched.backends):
                await self.set_servers(backend)
            await self.runtime.tell(put_commands(*news))
            await self.runtime.tell(remove_commands(*news))
        except BaseException:
            self._touched.merge(touched)
            raise
        self._has_now(news)

    def _has_now(self, news: News) -> None:
        for has, want in zip(self.has.flat, news.want.flat, strict=True):
            has.update(want)
        for gone in news.have.staples.keys() - news.want.staples.keys():
            del self.has.staples[gone]  # with its certificate, or because that is another one
        for has, had, want in zip(self.has.deep, news.have.deep, news.want.deep, strict=True):
            for path, entries in want.items():
                known = has.setdefault(path, {})
                for gone in had[path].keys() - entries.keys():
                    del known[gone]
                known.update(entries)

    async def set_servers(self, backend: str) -> None:
        """Make the servers of one pool what they shall be; a pool it does not have is passed over.

        So is one whose endpoints shall be shown what has yet to be told; then they are, too.

        Raises:
            DriverUnavailable: the worker does not answer.
            RejectedError: it refuses something.
        """
        if backend not in self._servers:
            return
        async with self._turns[backend]:
            want = self._wanted.servers.get(backend, {})  # not sooner: it may have changed since
            if {each.identity for each in want.values()} - {"", *self.has.identities}:
                return
            have, retired = self._servers[backend], self._retired.get(backend, {})
            await self.runtime.tell(joined(server_commands(backend, have, retired, want)))
            self._servers[backend] = dict(want)
            gone = {name: server.address for name, server in have.items()}
            self._retired[backend] = {
                name: address for name, address in (retired | gone).items() if name not in want
            }

    async def bury(self) -> None:
        """Delete the servers that have finished what they had.

        Nobody waits for it, and a server keeps idle connections for some seconds after its last
        request: so this is not done where servers go, but now and then.

        Raises:
            DriverUnavailable: the worker does not answer.
        """
        for backend in [each for each, names in self._retired.items() if names]:
            async with self._turns[backend]:
                waiting = sorted(self._retired[backend])
                for start in range(0, len(waiting), _AT_ONCE):
                    for gone in await self._buried(backend, waiting[start : start + _AT_ONCE]):
                        del self._retired[backend][gone]

    async def _buried(self, backend: str, names: Sequence[str]) -> set[str]:
        told = (f"del server {backend}/{name}" for name in names)
        said = (await self.runtime.ask("; ".join(told))).splitlines()
        answers = zip(names, filter(None, said), strict=False)
        return {name for name, answer in answers if answer in _GONE}
