"""Every data plane of the suite of capabilities: how it is made, and who answers in its place."""

import itertools
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, TypeAlias

from onehop.driver import Driver
from onehop.driver.capability import Shortcomings
from onehop.driver.envoy.support import SHORTCOMINGS as ENVOY
from onehop.driver.haproxy.support import SHORTCOMINGS as HAPROXY
from onehop.driver.nftables.support import SHORTCOMINGS as KERNEL
from onehop.driver.vtm.name import Names
from onehop.driver.vtm.support import SHORTCOMINGS as VTM
from onehop.lab.vtm import Behaviour, VtmCluster
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY
from onehop.lab.vtm.functions import Answer, Request, UsePool
from onehop.lab.vtm.trafficscript import run_request_rule, run_response_rule
from onehop.model.listener import Listener
from onehop.model.model import Row
from onehop.model.pool import Pool
from tests.contract import drivers
from tests.contract.kernel import kernel
from tests.contract.paper import Question, Verdict, answer_on_paper

Oracle: TypeAlias = Callable[[Iterable[Row], Question], Verdict]
"""Says what would become of a request, where none can be sent."""


class Plane(NamedTuple):
    """A data plane that runs.

    Attributes:
        oracle: None where requests can be sent, and where there is no HTTP.
    """

    driver: Driver
    shortcomings: Shortcomings
    carries: bool = False
    oracle: Oracle | None = None


MadePlane: TypeAlias = Callable[[], AbstractAsyncContextManager[Plane]]


@asynccontextmanager
async def memory() -> AsyncGenerator[Plane]:
    """A Model in memory, read by an interpreter of our own."""
    async with drivers.memory() as driver:
        yield Plane(driver, {}, oracle=answer_on_paper)


@asynccontextmanager
async def envoy() -> AsyncGenerator[Plane]:
    """A real Envoy."""
    async with drivers.envoy() as driver:
        yield Plane(driver, ENVOY, carries=True)


@asynccontextmanager
async def haproxy() -> AsyncGenerator[Plane]:
    """A real HAProxy."""
    async with drivers.haproxy() as driver:
        yield Plane(driver, HAPROXY, carries=True)


@asynccontextmanager
async def vtm() -> AsyncGenerator[Plane]:
    """An imitated vTM, whose rules are carried out; every unknown goes one way."""
    async with _vtm(ONE_WAY) as plane:
        yield plane


@asynccontextmanager
async def vtm_other() -> AsyncGenerator[Plane]:
    """The same; every unknown goes the other way."""
    async with _vtm(THE_OTHER_WAY) as plane:
        yield plane


@asynccontextmanager
async def nftables() -> AsyncGenerator[Plane]:
    """The kernel alone: what it refuses is a proxy's, which stands beside it."""
    async with kernel() as driver:
        yield Plane(driver, KERNEL)


@asynccontextmanager
async def _vtm(behaviour: Behaviour) -> AsyncGenerator[Plane]:
    cluster = VtmCluster(behaviour)
    async with drivers.vtm_of(cluster) as driver:
        yield Plane(driver, VTM, oracle=_by_rules(cluster))


def _by_rules(cluster: VtmCluster) -> Oracle:
    """Return who carries out the rules that stand on the unit."""
    names = Names(drivers.OWNER)
    dice = itertools.count()

    def tell(rows: Iterable[Row], asked: Question) -> Verdict:
        known = tuple(rows)
        entrance = next(row for row in known if isinstance(row, Listener))
        objects = cluster.members[0].objects
        request = Request(
            method=asked.method,
            url=asked.path,
            headers={"host": asked.host, **asked.headers},
            client=asked.source,
            draws=[next(dice)],
        )
        rule = objects["rules", names.name(entrance.id)]
        assert isinstance(rule, str)
        outcome = run_request_rule(rule, request)
        if isinstance(outcome, Answer):
            headers = {name.lower(): value for name, value in outcome.headers}
            return Verdict(outcome.status, headers=headers, body=outcome.body)
        assert isinstance(outcome, UsePool)
        (pool,) = (p for p in known if isinstance(p, Pool) and names.name(p.id) == outcome.pool)
        headers = {}
        after = objects.get(("rules", names.name(f"{entrance.id} response")))
        if isinstance(after, str):
            run_response_rule(after, request, headers)
        return Verdict(200, pool.id, request.url, request.headers, headers)

    return tell


PLANES: tuple[MadePlane, ...] = (memory, envoy, haproxy, vtm, vtm_other, nftables)
