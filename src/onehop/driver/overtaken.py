"""Endpoints that leave for a data plane while a plan with older ones waits for its turn."""

import msgspec

from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.plan import Plan, Stage


class Overtaken:
    """What was sent since the newest plan was given; see `Driver.apply`."""

    def __init__(self) -> None:
        self._newer: dict[PoolId, PoolEndpoints] = {}

    def begin(self) -> None:
        """Note that a plan is given; it may have to wait."""
        self._newer = {}

    def note(self, members: PoolEndpoints) -> None:
        """Note what overtakes it."""
        self._newer[members.pool] = members

    def renewed(self, plan: Plan) -> Plan:
        """Return the plan with the endpoints that have overtaken it."""
        if not self._newer:
            return plan
        return Plan(tuple(self._renewed(stage) for stage in plan.stages))

    def _renewed(self, stage: Stage) -> Stage:
        put = tuple(
            self._newer.get(row.pool, row) if isinstance(row, PoolEndpoints) else row
            for row in stage.put
        )
        return msgspec.structs.replace(stage, put=put)
