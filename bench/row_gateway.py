"""Gateway rows: what the rows of Ingresses ask, asked of HTTPRoutes on one Gateway.

* gateway: from a new HTTPRoute to its first 200.
* gateway-edits: backend, header filter, order of the rules, weights and host name are edited.
* gateway-attach: a thousand routes come at once, and go at once.
* gateway-still: five thousand are there, and nothing happens; then others' routes are edited.
"""

import time
from collections.abc import Iterator
from itertools import count
from typing import Final, NamedTuple

from bench import gateway, row_ingress, row_quiet, shop
from bench.child import cpu_s, until
from bench.namespace import PRODUCT_VIP
from bench.orders import Attach, Attached, Counts, Detach
from bench.probe import Probe
from bench.row import Figures, Row, Target
from bench.row_edit import PODS, under_load
from bench.world import Size, World

_API: Final = "gateway"
_PATIENCE_S: Final = 60.0
_EVERY_S: Final = 0.01


def measure_edits(world: World, quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Edit a route while requests keep coming."""
    return under_load(world, _edited(), quick=quick)


def _edited() -> Iterator[shop.Json]:
    """Yield objects that differ from the ones before in one thing each."""
    one, order, weight, name = 0, 0, 1, 0
    filters: list[shop.Json] = []

    def edited() -> shop.Json:
        shared = gateway.rule(
            "/", gateway.backend(one, weight), gateway.backend(1 - one), filters=filters
        )
        rules = [shared, gateway.rule("/elsewhere", gateway.backend(2))]
        hosts = (f"other-{name}.example.com",)
        return gateway.route(0, *(rules[::-1] if order else rules), hosts=hosts)

    for turn in count():
        one = 1 - one
        yield edited()
        filters = [gateway.header_filter("response", "x-turn", str(turn))]
        yield edited()
        order = 1 - order
        yield edited()
        weight = weight % PODS + 1
        yield edited()
        yield shop.endpoint_slice(one, turn % PODS + 1)
        name = turn
        yield edited()


def measure_attach(world: World, _quick: bool) -> Figures:  # noqa: FBT001  a row's signature
    """Let routes come, and go again; a quick world has fewer of them."""
    product, last = world.product, world.size.services
    before, cpu_before = world.api.ask(Counts()), cpu_s(product.pid)
    come = _follow(world, Attach(0, last), status=200, routes=last)
    between, cpu_between = world.api.ask(Counts()), cpu_s(product.pid)
    gone = _follow(world, Detach(0, last), status=404, routes=0)
    after = world.api.ask(Counts())
    return Figures(
        product={
            "attached_s": come.counted_s,
            "attached_in_vain": come.wrong,
            "gateway_writes": between["gateways"] - before["gateways"],
            "detached_s": gone.counted_s,
            "still_served": gone.wrong,
            "gone_gateway_writes": after["gateways"] - between["gateways"],
        },
        notes={
            "routes": last,
            "writes": between["writes"] - before["writes"],
            "cpu_s": round(cpu_between - cpu_before, 2),
        },
    )


class _Followed(NamedTuple):
    """What came of a change of many routes.

    Attributes:
        counted_s: until the Gateway's status had them all in `attachedRoutes`.
        wrong: how many hosts were not answered as they shall when the status said so.
    """

    counted_s: float
    wrong: int


def _follow(world: World, order: Attach | Detach, *, status: int, routes: int) -> _Followed:
    """Give an order, and wait until it is written about; then ask every host once."""
    began: float = world.api.ask(order)["at"]
    until(
        lambda: world.api.ask(Attached())["routes"] == routes,
        _PATIENCE_S,
        f"{routes} routes to be counted",
        every_s=_EVERY_S,
    )
    counted_s = time.monotonic() - began
    with Probe(PRODUCT_VIP) as probe:
        hosts = map(shop.host, range(order.first, order.last))
        wrong = sum(probe.ask(host).status != status for host in hosts)
    world.wait_quiet()
    return _Followed(counted_s, wrong)


ROWS: Final = (
    Row(
        name="gateway",
        what="new HTTPRoute to first 200, 3,000 one at a time",
        measure=row_ingress.measure,
        size=Size(3_000, 1, routed=False, api=_API),
        quick_size=Size(50, 1, routed=False, api=_API),
        targets=(Target("mean_ms", 20), Target("max_ms", 75), Target("errors", 0)),
    ),
    Row(
        name="gateway-edits",
        what="HTTPRoutes edited at 20/s under 2,000 requests/s, open loop",
        measure=measure_edits,
        size=Size(20, PODS, api=_API),
        quick_size=Size(20, PODS, api=_API),
        targets=(Target("failed", 0), Target("unsent", 0)),
    ),
    Row(
        name="gateway-attach",
        what="1,000 HTTPRoutes attached to a Gateway at once, and detached",
        measure=measure_attach,
        size=Size(1_000, 1, routed=False, api=_API),
        quick_size=Size(20, 1, routed=False, api=_API),
        targets=(
            Target("attached_s", 1),
            Target("attached_in_vain", 0),
            Target("still_served", 0),
            Target("gateway_writes", 20),
        ),
    ),
    Row(
        name="gateway-still",
        what="5,000 HTTPRoutes at rest, then 10k of another class, untouched and edited",
        measure=row_quiet.measure_foreign,
        size=Size(5_000, 1, api=_API),
        quick_size=Size(50, 1, api=_API),
        targets=(
            Target("alone_cpu_percent", 5),
            Target("idle_cpu_percent", 5),
            Target("writes", 0),
        ),
    ),
)
