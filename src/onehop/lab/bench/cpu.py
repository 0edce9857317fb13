"""Processor time, read from the kernel; and which processor does what.

Linux charges the work of a packet (veth, bridge, routing, conntrack, NAT, the receiving TCP) to
whoever runs when it is done, unless it was built with IRQ_TIME_ACCOUNTING. In network namespaces
that is most often who has sent the packet. So a proxy's time here contains the network's work for
what it sends, on all machines of the lab that it passes; what Pods send back is charged to Pods.
"""

import contextlib
import os
import resource
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec

_PROC: Final = Path("/proc")
_NS: Final = 1e9


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """Processor time in seconds, user and system, by what it was spent on.

    Attributes:
        balancer: onehop's proxy, all threads of all of its processes.
        edge: the proxy inside the cluster.
        client: the load generator.
        pods: the Pods' servers.
        kernel: ksoftirqd: packets that were put off until nobody ran.
    """

    balancer: float = 0.0
    edge: float = 0.0
    client: float = 0.0
    pods: float = 0.0
    kernel: float = 0.0

    @property
    def proxies(self) -> float:
        """What carries the request between client and Pod: the data planes."""
        return self.balancer + self.edge

    @property
    def whole(self) -> float:
        """The whole path, from the client to the Pod."""
        return self.proxies + self.client + self.pods + self.kernel

    def __sub__(self, other: Self) -> "Cpu":
        """Return what was spent between two readings."""
        return Cpu(
            balancer=self.balancer - other.balancer,
            edge=self.edge - other.edge,
            client=self.client - other.client,
            pods=self.pods - other.pods,
            kernel=self.kernel - other.kernel,
        )


class Actors(msgspec.Struct, frozen=True, kw_only=True):
    """Who is looked at, by process id; the client is a child that ends before it is read."""

    balancer: tuple[int, ...]
    edge: int
    pods: tuple[int, ...]
    kernel: tuple[int, ...]


class Seats(msgspec.Struct, frozen=True):
    """Which processors do what: the proxies have one of their own, if there are two."""

    client: int
    proxies: int
    pods: int


def seats(usable: Sequence[int]) -> Seats:
    """Return who sits where: the client on the first one, proxies on the second, Pods on the third.

    With two processors the Pods share the client's; their time is not what is compared.
    """
    client, proxies, pods = usable[0], usable[min(1, len(usable) - 1)], usable[0]
    return Seats(client, proxies, usable[2] if len(usable) > 2 else pods)  # noqa: PLR2004  a third


def pin(pid: int, processor: int) -> None:
    """Let every thread of a process run on one processor only; later threads inherit it."""
    for thread in _threads(pid):
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), {processor})


def read(actors: Actors) -> Cpu:
    """Return what everybody has spent until now."""
    return Cpu(
        balancer=sum(spent_s(pid) for pid in actors.balancer),
        edge=spent_s(actors.edge),
        client=_children_s(),
        pods=sum(spent_s(pid) for pid in actors.pods),
        kernel=sum(spent_s(pid) for pid in actors.kernel),
    )


def spent_s(pid: int) -> float:
    """Return the time that the threads of a process have been on a processor.

    The first figure of /proc/PID/task/TID/schedstat, in nanoseconds (the kernel's
    Documentation/scheduler/sched-stats.rst): the same as utime + stime of stat, which come in
    hundredths of a second.
    """
    return sum(_spent_ns(thread) for thread in _threads(pid)) / _NS


def softirq_threads(processors: Iterable[int]) -> tuple[int, ...]:
    """Return the ids of the kernel's ksoftirqd of these processors, as far as they can be seen."""
    names = {f"ksoftirqd/{number}" for number in processors}
    found: list[int] = []
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() in names:
                found.append(int(folder.name))
    return tuple(sorted(found))


def _threads(pid: int) -> list[Path]:
    return sorted((_PROC / str(pid) / "task").iterdir())


def _spent_ns(thread: Path) -> int:
    try:
        return int((thread / "schedstat").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _children_s() -> float:
    """Return what our children that have ended had spent, theirs included (getrusage(2))."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
