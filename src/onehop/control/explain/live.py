"""The facts of the program that runs."""

import time
from collections.abc import Mapping
from functools import lru_cache, partial

import msgspec
import structlog

from onehop.acme.state import State
from onehop.base.errors import TransientError
from onehop.compile.compiler import Compiler
from onehop.control.binding import Binding
from onehop.control.config import Config
from onehop.control.explain.explanation import Answer, Explanation
from onehop.control.explain.facts import Facts
from onehop.control.explain.journey import explain
from onehop.control.explain.source import address_towards
from onehop.control.explain.traffic import with_traffic
from onehop.control.networking import Networking
from onehop.control.served import Served
from onehop.driver import Driver
from onehop.driver.split import SplitDriver
from onehop.model.address import Cidr, IpAddr, ip_number
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.listener import Listener
from onehop.model.problem import Problem

log = structlog.get_logger(__name__)


def live_facts(  # noqa: PLR0913  the parts of the program that know something, by name
    *,
    config: Config,
    compiler: Compiler,
    served: Served,
    binding: Binding,
    networking: Networking,
    problems: tuple[Problem, ...],
    states: Mapping[ObjectRef, State],
) -> Facts:
    """Return what the running program knows at this moment."""

    def age_of(area: Cidr, address: IpAddr) -> float | None:
        return networking.fib.age_s(area, ip_number(address))

    return Facts(
        config=config,
        compiler=compiler,
        served=served,
        is_live=True,
        is_bound=binding.is_bound,
        announced_to=_announced_to(networking, served),
        problems=problems,
        states=states,
        now=time.time(),
        address_towards=lru_cache(maxsize=None)(address_towards),
        age_of=age_of,
    )


async def explain_live(facts: Facts, text: str, driver: Driver) -> Answer:
    """Return the way to a target, with what the data plane has counted, if it can be asked."""
    if isinstance(driver, SplitDriver):
        facts = msgspec.structs.replace(facts, in_kernel=partial(_is_in_kernel, driver))
    answer = explain(facts, text)
    if not isinstance(answer, Explanation) or not answer.pools:
        return answer
    try:
        counts = await driver.count(PoolId(pool.id) for pool in answer.pools)
    except TransientError as err:
        log.warning("traffic_not_counted", error=str(err))
        return answer
    return with_traffic(answer, counts)


def _is_in_kernel(driver: SplitDriver, listener: Listener) -> bool:
    return driver.is_in_kernel(listener.id)


def _announced_to(networking: Networking, served: Served) -> dict[IpAddr, tuple[str, ...]]:
    """Return the routers upstream that hear of each VIP."""
    now = networking.snapshot(served)
    routers = tuple(
        session.name for session in now.sessions if session.role == "upstream" and session.is_up
    )
    return dict.fromkeys(map(IpAddr, now.announced), routers) if routers else {}
