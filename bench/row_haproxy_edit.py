"""Edit rows of HAProxy: what needs no reload gets none, and what is told during one is not lost.

* `haproxy-edits`: endpoints, certificates, hosts and paths change 20 times a second under load.
  Reloads are counted by the product's metric, and by HAProxy's own master.
* `haproxy-reloads`: 1,000 such edits, chosen at random, while another Ingress gets a header that no
  other has: a policy that is new to HAProxy, which it must be reloaded for. The next one comes as
  soon as the master has counted the one before. At the end, requests, handshakes and the servers
  that HAProxy itself lists must show what was edited last.
"""

import time
from itertools import count, islice
from random import Random
from typing import Final

from bench import shop
from bench.child import ChildFailed
from bench.haproxy import Master
from bench.orders import Put
from bench.row import Figures, Row, Target
from bench.row_edit import EDITS_PER_S, REQUESTS_PER_S, loaded, paced
from bench.wanted import Wanted
from bench.world import Size, World, metrics

_SIZE: Final = Size(20, 3, driver="haproxy")
_RANDOM: Final = 20260101
_RELOADED: Final = _SIZE.services - 1
"""The Ingress whose header has HAProxy reloaded; it is edited in no other way."""
_SETTLE_S: Final = 30.0
_LEAVE_S: Final = 5.0


def measure_edits(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Edit under load what HAProxy can be told at run time."""
    wanted = _begin(world)
    master = Master(world.state)
    metric_before, master_before = _reloads(), master.reloads()
    with loaded(REQUESTS_PER_S, 3 if quick else 30) as load:
        edits = 0
        for edit in paced(wanted.in_turn(), EDITS_PER_S):
            if load.is_over():
                break
            edit()
            edits += 1
        left_over = _settle(wanted, master)
        wrong = wanted.differences(master)
        reloads = {
            "reloads": _reloads() - metric_before,
            "reloads_of_master": master.reloads() - master_before,
        }
        notes = {"edits": edits, "differences": wrong}
        return load.figures(notes, wrong=len(wrong), left_over=left_over, **reloads)


def measure_reloads(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Edit while HAProxy is reloaded all the time."""
    wanted = _begin(world)
    master = Master(world.state)
    edits, rate = (60, 20.0) if quick else (1000, 25.0)
    first = seen = master.reloads()
    headers = count()
    _have_reloaded(world, next(headers))
    with loaded(REQUESTS_PER_S / 4, edits / rate) as load:
        for edit in paced(islice(wanted.at_random(Random(_RANDOM)), edits), rate):  # noqa: S311  no secret
            edit()
            if (now := master.reloads_if_known()) is not None and now > seen:
                seen = now
                _have_reloaded(world, next(headers))
        ended = time.monotonic()
        left_over = _settle(wanted, master)
        wrong = wanted.differences(master)
        notes = {
            "edits": edits,
            "reloads": master.reloads() - first,
            "settled_s": round(time.monotonic() - ended, 2),
            "differences": wrong,
        }
        return load.figures(notes, wrong=len(wrong), left_over=left_over)


def _begin(world: World) -> Wanted:
    """Bring the cluster into the state that edits begin with, and wait until it is shown."""
    _ = world.product
    wanted = Wanted(world.api, world.size.services)
    master = Master(world.state)
    _settle(wanted, master)
    if differences := wanted.differences(master):
        raise ChildFailed(f"it does not begin well: {differences}")
    return wanted


def _settle(wanted: Wanted, master: Master) -> int:
    """Wait until everything is as it shall be, or too long; return how many backends are left over.

    A backend that nothing leads to any more may stay until the next reload, but without servers.
    """
    deadline = time.monotonic() + _SETTLE_S
    while wanted.differences(master) and time.monotonic() < deadline:
        time.sleep(0.05)
    deadline = time.monotonic() + _LEAVE_S
    while (left_over := wanted.left_over(master)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return len(left_over)


def _have_reloaded(world: World, turn: int) -> None:
    headers = {"onehop.dev/response-headers-set": f"x-turn: {turn}"}
    world.api.ask(Put(shop.ingress(_RELOADED, annotations=headers)))


def _reloads() -> float:
    """Return the product's own count; a reload of several reasons is in it several times."""
    return sum(metrics("onehop_data_plane_reloads_total").values())


_NONE: Final = tuple(Target(name, 0) for name in ("failed", "unsent", "wrong", "left_over"))

ROWS: Final = (
    Row(
        name="haproxy-edits",
        what="endpoints, certificates, hosts, paths edited at 20/s under 2,000 requests/s",
        measure=measure_edits,
        size=_SIZE,
        quick_size=_SIZE,
        targets=(*_NONE, Target("reloads", 0), Target("reloads_of_master", 0)),
    ),
    Row(
        name="haproxy-reloads",
        what="1,000 edits while reloads run back to back end in the right state",
        measure=measure_reloads,
        size=_SIZE,
        quick_size=_SIZE,
        targets=_NONE,
    ),
)
