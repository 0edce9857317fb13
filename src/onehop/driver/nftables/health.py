"""Active health checks of endpoints, which the kernel does not make by itself."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
import structlog

from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint, Path
from onehop.model.ident import PoolId
from onehop.model.pool import HealthCheck

_AT_ONCE: Final = 200
"""Checks under way at a time, over all pools."""
_STATUS_BYTES: Final = 4096

log = structlog.get_logger(__name__)


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


class HealthChecks:
    """Checks the endpoints of pools that ask for it, and says when a verdict changes."""

    def __init__(self, on_change: Callable[[PoolId], None]) -> None:
        self._on_change = on_change
        self._checks: dict[PoolId, tuple[HealthCheck, tuple[Endpoint, ...]]] = {}
        self._verdicts: dict[PoolId, dict[tuple[IpAddr, int], Verdict]] = {}
        self._changed = asyncio.Event()
        self._places = asyncio.Semaphore(_AT_ONCE)

    def want(self, pool: PoolId, check: HealthCheck | None, endpoints: Iterable[Endpoint]) -> None:
        """Say who is to be checked from now on; without a check nobody is."""
        checked = tuple(each for each in endpoints if check is not None and _is_asked(each, check))
        if check is None or not checked:
            if self._checks.pop(pool, None) is not None:
                del self._verdicts[pool]
                self._changed.set()
            return
        if pool not in self._checks:
            self._changed.set()
        self._checks[pool] = check, checked
        known = self._verdicts.get(pool, {})
        sockets = ((each.address, each.port) for each in checked)
        self._verdicts[pool] = {socket: known.get(socket, Verdict()) for socket in sockets}

    def failed(self, pool: PoolId) -> frozenset[tuple[IpAddr, int]]:
        """Return the endpoints of a pool that do not work."""
        verdicts: Mapping[tuple[IpAddr, int], Verdict] = self._verdicts.get(pool, {})
        return frozenset(socket for socket, each in verdicts.items() if not each.is_healthy)

    def count_failed(self) -> int:
        """Return how many endpoints do not work, over all pools."""
        return sum(len(self.failed(pool)) for pool in self._verdicts)

    async def run(self) -> None:
        """Check until cancelled."""
        tasks: dict[PoolId, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                for pool in tasks.keys() - self._checks.keys():
                    tasks.pop(pool).cancel()
                for pool in self._checks.keys() - tasks.keys():
                    tasks[pool] = group.create_task(self._check_pool(pool))
                await self._changed.wait()

    async def _check_pool(self, pool: PoolId) -> None:
        while True:
            check, endpoints = self._checks[pool]
            async with asyncio.TaskGroup() as round_:
                for endpoint in endpoints:
                    round_.create_task(self._check(pool, check, endpoint))
            await asyncio.sleep(check.interval_s)

    async def _check(self, pool: PoolId, check: HealthCheck, endpoint: Endpoint) -> None:
        async with self._places:
            passed = await passes(check, endpoint)
        verdict = self._verdicts.get(pool, {}).get((endpoint.address, endpoint.port))
        if verdict is not None and verdict.hear(check, passed=passed):
            log.info(
                "endpoint_recovered" if passed else "endpoint_failed",
                pool=pool,
                address=endpoint.address,
                port=endpoint.port,
            )
            self._on_change(pool)


async def passes(check: HealthCheck, endpoint: Endpoint) -> bool:
    """Make one check: a connection that opens or, with a path, an expected answer to a GET."""
    try:
        async with asyncio.timeout(check.timeout_s):
            reader, writer = await asyncio.open_connection(
                endpoint.address, check.port or endpoint.port, limit=_STATUS_BYTES
            )
            try:
                if check.http_path is None:
                    return True
                writer.write(_question(check, endpoint))
                return _is_expected(check, await reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):  # ValueError: a line that does not end
        return False


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
