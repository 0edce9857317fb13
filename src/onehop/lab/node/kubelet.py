"""What the lab needs of a kubelet: whether Pods of this node are ready, and their end.

It starts nothing: `lab.world` does, and writes the process down (`process_mark`). A Pod is ready
while its process exists and, if a container has an HTTP readinessProbe, answers it. When the Pod is
deleted its process gets SIGTERM, is waited for until the grace period ends, then gets SIGKILL; then
the Pod goes from the API (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/). While
it ends it stays ready for as long as it answers: endpoints that are terminating, and serving.
"""

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import aiohttp
import msgspec
import structlog

from onehop.base.errors import OnehopError
from onehop.lab.mirror import Mirror
from onehop.lab.node.api import NodeApi
from onehop.lab.node.object import PODS, Pod, Probe
from onehop.lab.node.process import is_alive, send

PROCESS: Final = "lab.onehop.dev/process"
LOOK_S: Final = 0.1
"""How often processes are looked at; their end sends no event into the API."""

log = structlog.get_logger()


class _Seen(msgspec.Struct):
    """What is remembered of a Pod.

    Attributes:
        probe_at: when it is to be probed next, by the loop's clock.
        failures: probes that failed, one after another.
        is_told: whether its process got SIGTERM.
    """

    probe_at: float = 0.0
    failures: int = 0
    is_passing: bool = False
    is_told: bool = False


class Kubelet:
    """The Pods of one node."""

    def __init__(
        self, api: NodeApi, node: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._api = api
        self._now = now
        self._node = node
        self._seen: dict[str, _Seen] = {}
        self._changed = asyncio.Event()
        self._pods = Mirror(api.client, PODS, self._changed.set)

    async def run(self) -> None:
        """Look after the Pods until cancelled."""
        async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as session:
            tasks.create_task(self._pods.follow())
            while True:
                mine = [
                    pod for pod in self._pods.objects.values() if pod.spec.node_name == self._node
                ]
                uids = {pod.metadata.uid for pod in mine}
                self._seen = {uid: seen for uid, seen in self._seen.items() if uid in uids}
                for pod in mine:
                    await self._attend(pod, session)
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    async def _attend(self, pod: Pod, session: aiohttp.ClientSession) -> None:
        seen = self._seen.setdefault(pod.metadata.uid, _Seen())
        try:
            if pod.metadata.deletion_timestamp is not None and await self._end(pod, seen):
                return
            await self._judge(pod, seen, session)
        except OnehopError as fault:
            log.warning("lab_kubelet_retries", pod=pod.metadata.name, why=str(fault))

    async def _end(self, pod: Pod, seen: _Seen) -> bool:
        """Take a deleted Pod towards its end; return whether it is there."""
        mark = pod.metadata.annotations.get(PROCESS, "")
        deadline = datetime.fromisoformat(pod.metadata.deletion_timestamp or "")
        is_late = self._now() >= deadline
        if mark and is_alive(mark):
            if is_late:
                send(mark, signal.SIGKILL)
            elif not seen.is_told:
                send(mark, signal.SIGTERM)
                seen.is_told = True
            return False
        if mark or is_late:
            await self._api.remove_pod(pod.metadata.namespace, pod.metadata.name)
            log.info("lab_pod_ended", pod=pod.metadata.name)
            return True
        return False

    async def _judge(self, pod: Pod, seen: _Seen, session: aiohttp.ClientSession) -> None:
        """Write down whether a Pod is ready, if somebody can tell and it is news."""
        mark = pod.metadata.annotations.get(PROCESS, "")
        probe = next(
            (each.readiness_probe for each in pod.spec.containers if each.readiness_probe), None
        )
        is_probed = probe is not None and probe.http_get is not None
        if not mark and not is_probed:
            return
        is_ready = not mark or is_alive(mark)
        if is_ready and probe is not None and is_probed:
            is_ready = await self._probe(pod, probe, seen, session)
        if is_ready != pod.is_ready:
            status = "True" if is_ready else "False"
            conditions = [{"type": kind, "status": status} for kind in _CONDITIONS]
            containers = [{"name": "app", "ready": is_ready, "restartCount": 0}]
            await self._api.write_status(
                pod.metadata.namespace,
                pod.metadata.name,
                {"conditions": conditions, "containerStatuses": containers},
            )

    async def _probe(
        self, pod: Pod, probe: Probe, seen: _Seen, session: aiohttp.ClientSession
    ) -> bool:
        """Return what the probes say; one success suffices (`successThreshold` 1)."""
        clock = asyncio.get_running_loop().time
        if clock() >= seen.probe_at:
            seen.probe_at = clock() + probe.period_seconds
            if await _answers(pod, probe, session):
                seen.is_passing, seen.failures = True, 0
            else:
                seen.failures += 1
                seen.is_passing = seen.is_passing and seen.failures < probe.failure_threshold
        return seen.is_passing


_CONDITIONS: Final = ("Ready", "ContainersReady")
_FIRST_FAILURE: Final = 400
"""Kubelet takes 200 to 399 for a success."""


async def _answers(pod: Pod, probe: Probe, session: aiohttp.ClientSession) -> bool:
    get = probe.http_get
    if get is None or not pod.status.pod_ip:
        return False
    host = f"[{pod.status.pod_ip}]" if ":" in pod.status.pod_ip else pod.status.pod_ip
    try:
        async with (
            asyncio.timeout(probe.timeout_seconds),
            session.get(f"http://{host}:{get.port}{get.path}", allow_redirects=False) as answer,
        ):
            return answer.status < _FIRST_FAILURE
    except (OSError, TimeoutError, aiohttp.ClientError):
        return False
