"""New connections pass from the sockets of one process to those of another, and none is lost.

A connection waits in the queue of the socket that its first packet was given to. When that socket
is closed, the kernel resets what waits there (unless net.ipv4.tcp_migrate_req is set, Linux 5.14).
So the old sockets are closed when nothing is in them, and nothing can come any more:

1. `pin`: before the new process listens, the kernel is told to give everything to the old sockets.
2. `turn`: when the new one listens everywhere, it is told to give everything to the new sockets, by
   one call for each place.
3. `emptied`: the old process goes on accepting until its queues are empty and handshakes that were
   under way have had their time.
4. `close`: the old sockets, held here after their process has closed its own, are made deaf to
   SYNs, so that the few that might reach one while their group is rearranged are sent again.
"""

import asyncio
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from onehop.base.errors import DriverUnavailable
from onehop.driver.moving.sockets import (
    Place,
    Unreachable,
    held_by,
    listening,
    take_hold,
    with_children,
)
from onehop.driver.moving.steering import give_to, give_to_all, ignore_new, waiting

MIGRATES: Final = Path("/proc/sys/net/ipv4/tcp_migrate_req")

HANDSHAKE_S: Final = 3.2
"""How long a handshake under way may take: the server's SYN-ACK is sent again after one second and
after three (tcp(7), RFC 6298)."""

_LONGEST_QUEUE_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.05


class _Group(NamedTuple):
    """The sockets of one place, in the kernel's order: first the old ones, then the new ones."""

    old: list[socket.socket]
    new: list[socket.socket]


class Handover:
    """One, from one process to another; leaving the context gives back what is held.

    Args:
        handshake_s: see `HANDSHAKE_S`.
    """

    def __init__(self, handshake_s: float = HANDSHAKE_S) -> None:
        self._handshake_s = handshake_s
        self._pinned: Mapping[Place, frozenset[int]] = {}
        self._groups: dict[Place, _Group] = {}
        self.is_steered = False
        """Whether we say where connections go; if not, the kernel moves what waits by itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for group in self._groups.values():
            _let_go(group.old)
            _let_go(group.new)
        self._groups.clear()

    @property
    def places(self) -> frozenset[Place]:
        """Where the old process listens."""
        return frozenset(self._pinned)

    async def pin(self, old: int) -> None:
        """Keep new connections with the old process, whoever else may listen from here on.

        Raises:
            Unreachable: its sockets cannot be taken hold of, and the kernel would lose what waits.
        """
        known = await asyncio.to_thread(listening)
        pids = with_children(old)
        self._pinned = {
            place: frozenset(inodes)
            for place, inodes in (await asyncio.to_thread(held_by, pids, known)).items()
        }
        _demand_alone(self._pinned, known)
        try:
            taken = await asyncio.to_thread(take_hold, pids, _all(self._pinned))
        except Unreachable as err:
            if migrates_by_itself():
                return
            raise Unreachable(f"{err}; {ADVICE}") from err
        self.is_steered = True
        for place, inodes in self._pinned.items():
            self._groups[place] = _Group([taken[inode] for inode in sorted(inodes)], [])
            give_to(self._groups[place].old[0], 0, len(inodes))

    async def missing(self, new: int) -> frozenset[Place]:
        """Return where the old process listens and the new one does not."""
        places = {place: inodes for place, inodes in (await _known()).items() if place in self}
        held = await asyncio.to_thread(held_by, with_children(new), places)
        return self.places - held.keys()

    def __contains__(self, place: object) -> bool:
        return place in self._pinned

    async def turn(self, new: int) -> None:
        """Give new connections to the new process, wherever it listens.

        Raises:
            DriverUnavailable: somebody else has begun to listen meanwhile; nothing is changed then.
        """
        if not self.is_steered:
            return
        known = await _known()
        pids = with_children(new)
        held = await asyncio.to_thread(held_by, pids, known)
        theirs = {place: frozenset(inodes) for place, inodes in held.items() if place in self}
        both = {place: self._pinned[place] | inodes for place, inodes in theirs.items()}
        _demand_alone(both, known)
        taken = await asyncio.to_thread(take_hold, pids, _all(theirs))
        for place, inodes in theirs.items():
            group = self._groups[place]
            group.new.extend(taken[inode] for inode in sorted(inodes))
            give_to(group.new[0], len(group.old), len(group.new))

    async def emptied(self) -> int:
        """Wait until nothing waits in the old sockets; return how many connections still do."""
        if not self.is_steered:
            return 0
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(self._handshake_s)
        # The kernel tells nobody when a queue is empty.
        while (left := self._waiting()) and loop.time() < begun + _LONGEST_QUEUE_S:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)
        return left

    async def closed_by(self, old: int, within_s: float) -> None:
        """Wait until the old process has closed its sockets."""
        if not self.is_steered:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        places = {place: self._pinned[place] for place in self._groups}
        while loop.time() < deadline:
            if not await asyncio.to_thread(held_by, with_children(old), places):
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    def close(self) -> None:
        """Close the old sockets, and leave the new ones to the kernel."""
        for group in self._groups.values():
            for each in group.old:
                ignore_new(each)
            _let_go(group.old)
            if group.new:
                give_to_all(group.new[0])

    def undo(self) -> None:
        """Leave the old sockets to the kernel again, once the new ones are gone."""
        for group in self._groups.values():
            give_to_all(group.old[0])

    def _waiting(self) -> int:
        return sum(waiting(each) for group in self._groups.values() for each in group.old)


ADVICE: Final = (
    "allow it (kernel.yama.ptrace_scope below 2, SystemCallFilter=pidfd_getfd), or set"
    " net.ipv4.tcp_migrate_req to 1"
)


def migrates_by_itself() -> bool:
    """Tell whether the kernel gives what waits in a closed socket to another one of its group."""
    try:
        return MIGRATES.read_text().strip() == "1"
    except OSError:
        return False


def _demand_alone(
    ours: Mapping[Place, frozenset[int]], known: Mapping[Place, frozenset[int]]
) -> None:
    """Look whether nobody else listens there.

    Raises:
        DriverUnavailable: somebody does; the order of the sockets is unknown then.
    """
    for place, inodes in ours.items():
        if known.get(place, frozenset()) - inodes:
            where = f"{place.address} port {place.port}"
            raise DriverUnavailable(f"another process listens on {where}, too: ss -lntp shows it")


async def _known() -> dict[Place, frozenset[int]]:
    return await asyncio.to_thread(listening)


def _all(places: Mapping[Place, Iterable[int]]) -> set[int]:
    return {inode for inodes in places.values() for inode in inodes}


def _let_go(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
    sockets.clear()
