"""What is kept in the kernel for the way to Pods: that our tables are looked up, static routes."""

import asyncio

from onehop.model.ident import ObjectRef
from onehop.model.network import Network
from onehop.model.problem import Problem, Reason, Severity
from onehop.net.linger import LingeringRoutes
from onehop.net.static import RouteFault, StaticRoutes
from onehop.net.table import RoutingTable


class TablePart:
    """Has our routing table looked up, for whoever writes into it; what leaves it lingers."""

    def __init__(self) -> None:
        self._table = RoutingTable()
        self._lingering = LingeringRoutes()

    def want(self, network: Network) -> None:
        """Pass over it: the table is looked up whatever is in it."""

    def problems(self) -> tuple[Problem, ...]:
        """Return nothing: what fails is logged, and no route of it would be proven."""
        return ()

    async def run(self) -> None:
        """Keep the rules in place until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._table.keep())
            tasks.create_task(self._lingering.run())


class StaticPart:
    """Keeps a route to every block whose node is on a link of ours."""

    def __init__(self) -> None:
        self._routes = StaticRoutes()

    def want(self, network: Network) -> None:
        """Route these blocks, and no others."""
        self._routes.want(network.blocks)

    def problems(self) -> tuple[Problem, ...]:
        """Return which blocks have no route, and why."""
        return tuple(map(_route_problem, self._routes.faults.peek() or ()))

    async def run(self) -> None:
        """Keep the routes until cancelled."""
        await self._routes.run()


def _route_problem(fault: RouteFault) -> Problem:
    return Problem(
        subject=ObjectRef("Node", "", fault.node),
        reason=Reason.ROUTE_NOT_KEPT,
        message=f"no static route to {fault.prefix} ({fault.reason}): {fault.detail}",
        severity=Severity.WARNING,
    )
