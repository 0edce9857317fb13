"""What a data plane would refuse, known without one: for `onehop render`, `plan` and `check`."""

from collections.abc import Iterator

from onehop.control.abilities import name_of, shortcomings_of
from onehop.control.config import Config
from onehop.control.planes import proxy_part, would_refuse
from onehop.control.refusals import Refusals
from onehop.driver import Receipt, Refusal
from onehop.driver.nftables import misfit
from onehop.driver.nftables.refuse import refusals as refused_by_kernel
from onehop.driver.shortfall import served_without
from onehop.driver.split import refused_by_both
from onehop.driver.vtm.refuse import refusals as refused_by_vtm
from onehop.model.listener import ForwardHttp, Listener
from onehop.model.model import Change, Model, Row, key_of
from onehop.model.pool import PoolOf
from onehop.model.problem import Problem


def foreseen(model: Model, config: Config) -> tuple[Problem, ...]:
    """Return what the objects behind a Model would be told by the configured data plane.

    What only the data plane itself can find out is not among it: Envoy's verdict on a resource, a
    port that somebody else has, what a unit thinks of an object.
    """
    driver = config.data_plane.driver
    refused = [*(refused_by_vtm(model.rows()) if driver == "vtm" else _by_proxy(model, config))]
    if config.data_plane.layer4 == "kernel":
        refused += refused_by_kernel(model)
    refusals = Refusals(lambda: name_of(config.data_plane))
    refusals.note(Change(tuple(model.rows())), Receipt(refused=tuple(refused)))
    return refusals.problems()


def _by_proxy(model: Model, config: Config) -> Iterator[Refusal]:
    why_not, lacks = would_refuse(config), shortcomings_of(config.data_plane.driver)
    pools = {pool.id: pool for pool in model.pools}
    has_kernel = config.data_plane.layer4 == "kernel"
    for row in proxy_part(config, model).rows():
        why = why_not(row)
        if why is not None:
            hindrance = _hindrance(row, pools.get) if has_kernel else None
            yield refused_by_both(Refusal(key_of(row), why), hindrance)
        else:
            yield from served_without((row,), lacks)


def _hindrance(row: Row, pool_of: PoolOf) -> str | None:
    """Return what keeps a listener of layer 4 out of the kernel; None of any other row."""
    if not isinstance(row, Listener) or isinstance(row.handler, ForwardHttp):
        return None
    return misfit(row, pool_of)
