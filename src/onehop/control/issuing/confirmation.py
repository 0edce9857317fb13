"""Whether every host of the load balancer gives an answer: for one host that is alone."""

import asyncio
from typing import Final, Protocol

from onehop.base.errors import TransientError
from onehop.base.latest import Latest

PATIENCE_S: Final = 50.0
"""Longer than a dead host's Lease lasts, so that one that died just now is not waited for."""


class Confirmation(Protocol):
    """Knows which hosts there are, and what each of them answers."""

    async def run(self) -> None:
        """Say what this host answers, and look at the others, until cancelled."""
        ...

    async def everywhere(self, entry: str) -> None:
        """Return when every host gives an answer.

        Args:
            entry: the answer's entry in the shared Secret (`compile.challenge.entry_of`).

        Raises:
            TransientError: that took too long; it names the hosts that are late.
        """
        ...


class Here:
    """What the data plane of this host has.

    Args:
        acknowledged: the entries that it serves now.
    """

    def __init__(self, acknowledged: Latest[frozenset[str]]) -> None:
        self.acknowledged = acknowledged

    def has(self, entry: str) -> bool:
        """Tell whether it serves an entry."""
        return entry in (self.acknowledged.peek() or frozenset())

    async def until(self, entry: str) -> None:
        """Wait until it serves an entry."""
        while not self.has(entry):
            await self.acknowledged.newer(self.acknowledged.revision)


class Alone:
    """One host, and nobody else: a folder of manifests. Implements `Confirmation`."""

    def __init__(
        self, acknowledged: Latest[frozenset[str]], *, patience_s: float = PATIENCE_S
    ) -> None:
        self._here = Here(acknowledged)
        self._patience_s = patience_s

    async def run(self) -> None:
        """Wait: there is nobody to tell."""
        await asyncio.Event().wait()

    async def everywhere(self, entry: str) -> None:
        """Return when this host gives the answer."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self._here.until(entry)
        except TimeoutError as err:
            late = f"this host does not answer for it after {self._patience_s:g} s"
            raise TransientError(late) from err
