"""What onehop asks of a data plane."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

import msgspec

from onehop.driver.capability import Capability
from onehop.model.address import IpAddr
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import PoolId
from onehop.model.model import Model, RowKey
from onehop.plan import Plan


class Refusal(msgspec.Struct, frozen=True):
    """One row that the data plane would not take.

    Attributes:
        reason: in the data plane's own words.
        is_partial: the row is served, but for what the reason names.
    """

    key: RowKey
    reason: str
    is_partial: bool = False


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an apply.

    Attributes:
        refused: rows left out; the data plane keeps what it had for them, all others are served.
            Or rows that are served in part; see `Refusal`.
        duration_s: until the last acknowledgement.
    """

    refused: tuple[Refusal, ...] = ()
    duration_s: float = 0.0


class EndpointCount(msgspec.Struct, frozen=True, kw_only=True):
    """What a data plane has counted for one member of a pool since the member came.

    Attributes:
        requests: of HTTP; connections of TCP.
        failed: of these, the ones that did not succeed.
        active: now.
        health: the data plane's own opinion, in its own word.
    """

    address: IpAddr
    port: int
    requests: int = 0
    failed: int = 0
    active: int = 0
    health: str | None = None


class Driver(Protocol):
    """One data plane, held open by `running()`."""

    @property
    def name(self) -> str:
        """`envoy`, `memory`, ...: for logs and metrics."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this data plane can do."""
        ...

    def describe(self) -> dict[str, str]:
        """Return what an operator wants to know of it now: connected, version, restarts, ..."""
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Start the data plane, or connect to it; leaving the context stops what was started.

        Raises:
            DriverUnavailable: it does not come up.
        """
        ...

    async def read_back(self) -> Model:
        """Return what the data plane serves now; a first plan is the way from it to the wanted."""
        ...

    async def apply(self, plan: Plan) -> Receipt:
        """Make the plan, stage by stage, each acknowledged before the next.

        The data plane's own copy of pools and endpoints is updated before the first await, so that
        `set_endpoints` called meanwhile is never overwritten by older endpoints of the plan.

        Raises:
            DriverUnavailable: it went away; what it served before stays in `read_back`.
        """
        ...

    async def send_away(self, *, is_leaving: bool) -> None:
        """Ask clients to come back by another connection, with each answer; or no longer.

        Connections that carry no HTTP are not asked: there is no way to.

        Raises:
            DriverUnavailable: it went away.
        """
        ...

    async def count(self, pools: Iterable[PoolId]) -> Mapping[PoolId, tuple[EndpointCount, ...]]:
        """Return what went to the members of a few pools; one that is not counted is left out.

        Raises:
            DriverUnavailable: it does not answer.
        """
        ...

    def set_endpoints(self, members: PoolEndpoints) -> None:
        """Send a pool's endpoints now, without waiting; a pool that is not there is passed over."""
        ...


@runtime_checkable
class SharedDriver(Protocol):
    """A data plane that stands apart and that several hosts reach: one of them may write to it.

    Attributes:
        may_write: asked before each write. What is told to a driver that may not is remembered,
            and written when it may.
    """

    may_write: Callable[[], bool]


@runtime_checkable
class Reloads(Protocol):
    """A data plane that must be loaded anew for some changes, and counts how often, and why."""

    @property
    def reload_reasons(self) -> Mapping[str, int]:
        """How many reloads had a reason of each kind, of few kinds."""
        ...


@runtime_checkable
class Drifts(Protocol):
    """A data plane whose state others can change behind our back, and that notices."""

    @property
    def drifts(self) -> Mapping[str, int]:
        """How often that was found, and repaired, by what had changed: a few words."""
        ...


@runtime_checkable
class Composed(Protocol):
    """A data plane that is made of others."""

    @property
    def parts(self) -> tuple[Driver, ...]:
        """Those that serve now."""
        ...


def drifts_of(driver: Driver) -> dict[str, Mapping[str, int]]:
    """Return what others had changed, by data plane and by what it was."""
    if isinstance(driver, Composed):
        return {name: found for part in driver.parts for name, found in drifts_of(part).items()}
    return {driver.name: driver.drifts} if isinstance(driver, Drifts) else {}


@runtime_checkable
class Connections(Protocol):
    """A data plane that counts its connections over all listeners."""

    @property
    def connections(self) -> Mapping[str, int]:
        """How many there were, by what became of them: a few words."""
        ...
