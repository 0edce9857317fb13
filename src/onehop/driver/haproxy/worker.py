"""What the worker that serves now has, and how it is brought to what is wanted."""

import asyncio
from collections.abc import Iterable, Mapping

from onehop.base.errors import RejectedError
from onehop.driver.haproxy.backend import Server
from onehop.driver.haproxy.change import joined, put_commands, remove_commands, server_commands
from onehop.driver.haproxy.render import Rendered
from onehop.driver.haproxy.runtime import Runtime


class Worker:
    """A worker and what it was told.

    Args:
        runtime: its socket.
        loaded: what it has read at its start.
    """

    def __init__(self, runtime: Runtime, loaded: Rendered) -> None:
        self.runtime = runtime
        self.has = loaded
        """Everything but servers; sections and policies that nobody uses any more are in it."""
        self._servers = {backend: dict(each) for backend, each in loaded.servers.items()}
        self._retired: dict[str, set[str]] = {}
        self._turns = {backend: asyncio.Lock() for backend in loaded.servers}

    @property
    def has_retired(self) -> bool:
        """Whether servers wait to be deleted."""
        return any(self._retired.values())

    async def update(self, want: Rendered) -> None:
        """Make maps and certificates what they shall be; no reload may be needed for it.

        Raises:
            DriverUnavailable: the worker does not answer.
            RejectedError: it refuses something.
        """
        await self.runtime.tell(put_commands(self.has, want))
        await self.runtime.tell(remove_commands(self.has, want))
        self.has = want._replace(
            sections={**self.has.sections, **want.sections},
            rules={**self.has.rules, **want.rules},
            files={**self.has.files, **want.files},
        )

    async def set_all_servers(self, want: Mapping[str, Mapping[str, Server]]) -> None:
        """Make the servers of all pools what they shall be; those of a pool that is gone go.

        Raises:
            DriverUnavailable: the worker does not answer.
            RejectedError: it refuses something.
        """
        for backend in self._servers:
            await self.set_servers(backend, want.get(backend, {}))

    async def set_servers(self, backend: str, want: Mapping[str, Server]) -> None:
        """Make the servers of one pool what they shall be; a pool it does not have is passed over.

        Raises:
            DriverUnavailable: the worker does not answer.
            RejectedError: it refuses something.
        """
        if backend not in self._servers:
            return
        async with self._turns[backend]:
            have, retired = self._servers[backend], self._retired.setdefault(backend, set())
            gone = have.keys() - want.keys()
            await self.runtime.tell(joined(server_commands(backend, have, retired, want)))
            self._servers[backend] = dict(want)
            self._retired[backend] = (retired | gone) - want.keys()
            await self._bury(backend)

    async def bury_all(self) -> None:
        """Delete the servers that have finished what they had.

        Raises:
            DriverUnavailable: the worker does not answer.
        """
        for backend in [each for each, names in self._retired.items() if names]:
            async with self._turns[backend]:
                await self._bury(backend)

    async def _bury(self, backend: str) -> None:
        self._retired[backend] -= set(await self._buried(backend, self._retired[backend]))

    async def _buried(self, backend: str, names: Iterable[str]) -> list[str]:
        buried: list[str] = []
        for name in sorted(names):
            try:
                await self.runtime.tell((f"del server {backend}/{name}",))
            except RejectedError:
                continue  # it still has connections
            buried.append(name)
        return buried
