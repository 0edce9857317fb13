"""A data plane without a network: a Driver that holds a Model, and nothing else.

It is what the tests of everything above a driver run on, and `onehop plan` too. That it behaves
like the real ones is not a claim: the contract suite runs on it as on them.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from onehop.base.errors import DriverUnavailable
from onehop.driver.capability import Capability
from onehop.driver.driver import EndpointCount, Receipt, Refusal
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.model.model import Model, Row, RowKey, Table, key_of, model_of
from onehop.plan import Plan


def _takes_everything(_: Row) -> str | None:
    return None


class MemoryDriver:
    """Holds what it was told.

    Args:
        refuses: says why a row is refused, or None to take it.
        capabilities: what this data plane can do; everything unless told otherwise.
    """

    name: str = "memory"

    def __init__(
        self,
        *,
        refuses: Callable[[Row], str | None] = _takes_everything,
        capabilities: frozenset[Capability] = frozenset(Capability),
    ) -> None:
        self.capabilities = capabilities
        self.is_reachable = True
        """Set it to False, and every plan fails as if the data plane were gone."""
        self.plans: list[Plan] = []
        """Every plan that was made, oldest first."""
        self.is_leaving = False
        self.endpoint_changes: list[PoolEndpoints] = []
        """What came by `set_endpoints`, oldest first."""
        self._refuses = refuses
        self._rows: dict[RowKey, Row] = {}

    def describe(self) -> dict[str, str]:
        """Return how many rows it holds."""
        return {"connected": "yes" if self.is_reachable else "no", "rows": str(len(self._rows))}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start nothing.

        Raises:
            DriverUnavailable: `is_reachable` is False.
        """
        self._demand_reachable()
        yield

    async def read_back(self) -> Model:
        """Return what was applied, but for what was refused."""
        return model_of(self._rows.values())

    async def apply(self, plan: Plan) -> Receipt:
        """Take the rows of each stage, in order."""
        self._demand_reachable()
        refused: list[Refusal] = []
        for stage in plan.stages:
            for row in stage.put:
                reason = self._refuses(row)
                if reason is None:
                    self._rows[key_of(row)] = row
                else:
                    refused.append(Refusal(key_of(row), reason))
            for key in stage.remove:
                self._rows.pop(key, None)
        self.plans.append(plan)
        return Receipt(refused=tuple(sorted(refused, key=lambda refusal: refusal.key)))

    async def send_away(self, *, is_leaving: bool) -> None:
        """Take note: there are no clients here."""
        self._demand_reachable()
        self.is_leaving = is_leaving

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        """Return zeros for the pools it holds: no traffic ever comes here."""
        self._demand_reachable()
        held = (self._rows.get(RowKey(Table.ENDPOINTS, pool)) for pool in pools)
        return {
            row.pool: tuple(EndpointCount(address=e.address, port=e.port) for e in row.endpoints)
            for row in held
            if isinstance(row, PoolEndpoints)
        }

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Replace a pool's endpoints; a pool that is not there is passed over."""
        if RowKey(Table.POOL, members.pool) in self._rows:
            self._rows[key_of(members)] = members
            self.endpoint_changes.append(members)

    def _demand_reachable(self) -> None:
        if not self.is_reachable:
            raise DriverUnavailable("the data plane in memory was made unreachable")
