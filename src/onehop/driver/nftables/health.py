"""Active health checks of endpoints, which the kernel does not make by itself.

A check costs about a fifth of a millisecond here. So there is a budget of checks per second over
all pools, as there must be with thousands of endpoints: beyond it, everybody is checked less often.
"""

import asyncio
import contextlib
import heapq
import resource
import socket
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import structlog

from onehop.model.address import IpAddr, is_ipv6
from onehop.model.endpoint import Endpoint, Path
from onehop.model.ident import PoolId
from onehop.model.pool import BackendProtocol, HealthCheck, Pool

BUDGET_PER_S: Final = 1000.0
_BURST_S: Final = 0.1
"""What was not started may be made up for, for so long."""
_AT_ONCE: Final = 2000
"""Checks under way at a time, where there are file descriptors for four times as many."""
_STATUS_BYTES: Final = 4096

log = structlog.get_logger(__name__)


def check_of(pool: Pool) -> HealthCheck | None:
    """Return how a pool's endpoints are checked; nobody can tell whether a UDP port is served."""
    check = pool.health_check
    is_blind = pool.protocol is BackendProtocol.UDP and check is not None and check.port is None
    return None if is_blind else check


class Verdict(msgspec.Struct):
    """What is known of one endpoint; it is healthy until checks have failed.

    Attributes:
        streak: how many checks in a row have said the contrary of `is_healthy`.
    """

    is_healthy: bool = True
    streak: int = 0

    def hear(self, check: HealthCheck, *, passed: bool) -> bool:
        """Take note of a check; return whether it has changed the verdict."""
        if passed is self.is_healthy:
            self.streak = 0
            return False
        self.streak += 1
        if self.streak < (check.healthy_threshold if passed else check.unhealthy_threshold):
            return False
        self.is_healthy, self.streak = passed, 0
        return True


class _Target(msgspec.Struct, eq=False):
    """An endpoint of a pool that is checked.

    Attributes:
        verdict: outlives changes of the endpoint's weight and the like.
        is_wanted: False when it is checked no longer.
    """

    pool: PoolId
    endpoint: Endpoint
    check: HealthCheck
    verdict: Verdict
    is_wanted: bool = True


class HealthChecks:
    """Checks the endpoints of pools that ask for it, and says when a verdict changes.

    Args:
        on_change: called with a pool whose verdicts are different now.
        budget_per_s: how many checks are begun in a second, at most.
    """

    def __init__(
        self, on_change: Callable[[PoolId], None], *, budget_per_s: float = BUDGET_PER_S
    ) -> None:
        self._on_change = on_change
        self._budget_per_s = budget_per_s
        self._pools: dict[PoolId, dict[tuple[IpAddr, int], _Target]] = {}
        self._due: list[tuple[float, int, _Target]] = []
        """A heap; those that are being checked are not in it."""
        self._number = 0
        self._wanted_per_s = 0.0
        self._is_stretched = False
        self._changed = asyncio.Event()

    def want(self, pool: PoolId, check: HealthCheck | None, endpoints: Iterable[Endpoint]) -> None:
        """Say who is to be checked from now on; without a check nobody is."""
        had = self._pools.pop(pool, {})
        if check is None:
            wanted: dict[tuple[IpAddr, int], _Target] = {}
        else:
            asked = [each for each in endpoints if _is_asked(each, check)]
            wanted = {
                (each.address, each.port): self._target(pool, each, check, had) for each in asked
            }
        for socket_, target in had.items():
            if socket_ not in wanted:
                target.is_wanted = False
                self._wanted_per_s -= 1 / target.check.interval_s
        if wanted:
            self._pools[pool] = wanted
        self._note_budget()

    def failed(self, pool: PoolId) -> frozenset[tuple[IpAddr, int]]:
        """Return the endpoints of a pool that do not work."""
        targets = self._pools.get(pool, {})
        return frozenset(at for at, each in targets.items() if not each.verdict.is_healthy)

    def count_failed(self) -> int:
        """Return how many endpoints do not work, over all pools."""
        return sum(len(self.failed(pool)) for pool in self._pools)

    def describe(self) -> dict[str, str]:
        """Return how many are checked, and how often; nothing where nobody is."""
        if not self._pools:
            return {}
        checked = sum(map(len, self._pools.values()))
        stretched = f" of {self._wanted_per_s:.0f} asked for" if self._is_stretched else ""
        per_s = min(self._wanted_per_s, self._budget_per_s)
        return {"checked_endpoints": str(checked), "checks_per_s": f"{per_s:.4g}{stretched}"}

    async def run(self) -> None:
        """Check until cancelled."""
        loop = asyncio.get_running_loop()
        places = asyncio.Semaphore(_at_once())
        allowance, counted_at = 1.0, loop.time()
        async with asyncio.TaskGroup() as group:
            while True:
                await self._until_due()
                now = loop.time()
                earned = (now - counted_at) * self._budget_per_s
                allowance = min(allowance + earned, max(1.0, self._budget_per_s * _BURST_S))
                counted_at = now
                while allowance >= 1 and self._due and self._due[0][0] <= now:
                    _, _, target = heapq.heappop(self._due)
                    if target.is_wanted:
                        await places.acquire()
                        allowance -= 1
                        group.create_task(self._check(target, places))
                if allowance < 1:
                    await asyncio.sleep(_BURST_S / 10)

    def _target(
        self,
        pool: PoolId,
        endpoint: Endpoint,
        check: HealthCheck,
        had: dict[tuple[IpAddr, int], _Target],
    ) -> _Target:
        known = had.get((endpoint.address, endpoint.port))
        if known is not None:
            known.endpoint = endpoint
            return known
        target = _Target(pool, endpoint, check, Verdict())
        self._wanted_per_s += 1 / check.interval_s
        self._put(0.0, target)
        return target

    def _put(self, due: float, target: _Target) -> None:
        self._number += 1
        heapq.heappush(self._due, (due, self._number, target))
        self._changed.set()

    def _note_budget(self) -> None:
        is_stretched = self._wanted_per_s > self._budget_per_s * 1.001
        if is_stretched and not self._is_stretched:
            log.warning(
                "health_checks_less_often",
                wanted_per_s=round(self._wanted_per_s),
                budget_per_s=round(self._budget_per_s),
                advice="lengthen intervals of health checks",
            )
        self._is_stretched = is_stretched

    async def _until_due(self) -> None:
        """Wait until somebody is due."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            wait_s = self._due[0][0] - loop.time() if self._due else None
            if wait_s is not None and wait_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    async def _check(self, target: _Target, places: asyncio.Semaphore) -> None:
        loop = asyncio.get_running_loop()
        began, check, endpoint = loop.time(), target.check, target.endpoint
        try:
            passed = await passes(check, endpoint)
        finally:
            places.release()
        if not target.is_wanted:
            return
        self._put(max(began + check.interval_s, loop.time()), target)
        if target.verdict.hear(check, passed=passed):
            log.info(
                "endpoint_recovered" if passed else "endpoint_failed",
                pool=target.pool,
                address=endpoint.address,
                port=endpoint.port,
            )
            self._on_change(target.pool)


def _at_once() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _AT_ONCE if soft == resource.RLIM_INFINITY else max(1, min(_AT_ONCE, soft // 4))


async def passes(check: HealthCheck, endpoint: Endpoint) -> bool:
    """Make one check: a connection that opens or, with a path, an expected answer to a GET."""
    try:
        async with asyncio.timeout(check.timeout_s):
            if check.http_path is None:
                return await _connects(endpoint.address, check.port or endpoint.port)
            reader, writer = await asyncio.open_connection(
                endpoint.address, check.port or endpoint.port, limit=_STATUS_BYTES
            )
            try:
                writer.write(_question(check, endpoint))
                return _is_expected(check, await reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):  # ValueError: a line that does not end
        return False


async def _connects(address: IpAddr, port: int) -> bool:
    family = socket.AF_INET6 if is_ipv6(address) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as tried:
        await asyncio.get_running_loop().sock_connect(tried, (address, port))
    return True


def _is_asked(endpoint: Endpoint, check: HealthCheck) -> bool:
    return not (check.spares_pods and endpoint.path is Path.POD)


def _question(check: HealthCheck, endpoint: Endpoint) -> bytes:
    address = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    host = check.http_host or f"{address}:{check.port or endpoint.port}"
    return (
        f"GET {check.http_path} HTTP/1.1\r\nHost: {host}\r\n"
        f"User-Agent: onehop-health-check\r\nConnection: close\r\n\r\n"
    ).encode()


def _is_expected(check: HealthCheck, line: bytes) -> bool:
    """Look at a status line, `HTTP/1.1 200 OK` (RFC 9112, section 4)."""
    words = line.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):  # noqa: PLR2004  a version, a status
        return False
    with contextlib.suppress(ValueError):
        return any(first <= int(words[1]) <= last for first, last in check.expected)
    return False
