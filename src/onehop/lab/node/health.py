"""The healthCheckNodePorts: a load balancer asks there whether this node has Pods of a Service.

Answers as kubernetes `pkg/proxy/healthcheck/service_health.go` gives them: 200 if there is a ready
endpoint on this node, 503 if not, whatever the path; the number of endpoints as weight (KEP-3836).
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import structlog
from aiohttp import web

from onehop.lab.node.choice import HealthCheck

WEIGHT: Final = "X-Load-Balancing-Endpoint-Weight"
_STOP_S: Final = 0.5

log = structlog.get_logger()


class HealthServers:
    """One HTTP server for each port."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._checks: dict[int, HealthCheck] = {}
        self._runners: dict[int, web.ServerRunner] = {}

    async def apply(self, checks: Iterable[HealthCheck]) -> None:
        """Serve these, and nothing else.

        Raises:
            OSError: a port is taken by somebody else; the others are served.
        """
        self._checks = {check.port: check for check in checks}
        for port in self._runners.keys() - self._checks.keys():
            await self._runners.pop(port).cleanup()
        fault: OSError | None = None
        for port in self._checks.keys() - self._runners.keys():
            try:
                self._runners[port] = await self._serve(port)
            except OSError as error:
                fault = error
        if fault is not None:
            raise fault

    async def close(self) -> None:
        """Stop every server."""
        await self.apply(())

    async def _serve(self, port: int) -> web.ServerRunner:
        async def answer(_: web.BaseRequest) -> web.Response:
            return _answer(self._checks[port])

        runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=_STOP_S)
        await runner.setup()
        try:
            async with asyncio.timeout(_STOP_S):
                for address in self._addresses:
                    await web.TCPSite(runner, address, port).start()
        except OSError:
            await runner.cleanup()
            raise
        log.info("lab_health_check_served", port=port)
        return runner


def _answer(check: HealthCheck) -> web.Response:
    text = (
        f'{{\n\t"service": {{\n\t\t"namespace": "{check.namespace}",\n'
        f'\t\t"name": "{check.service}"\n\t}},\n'
        f'\t"localEndpoints": {check.local_endpoints},\n\t"serviceProxyHealthy": true\n}}'
    )
    return web.Response(
        status=200 if check.local_endpoints else 503,
        text=text,
        content_type="application/json",
        headers={"X-Content-Type-Options": "nosniff", WEIGHT: str(check.local_endpoints)},
    )
