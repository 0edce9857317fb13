"""What it costs to share connections out, and to end the TLS of streams; a real HAProxy."""

from collections import Counter

import pytest

from onehop.model.listener import ForwardHttp, ForwardTcp, Passthrough, StreamShare
from onehop.model.model import Row
from onehop.model.pool import BackendProtocol
from tests.contract.scene import dial, named
from tests.contract.test_driver_streams import said
from tests.driver_envoy.world import (
    HTTPS,
    SERVICE,
    endpoint,
    free_port,
    identity,
    listener,
    members,
    pool,
    server_name,
)
from tests.driver_haproxy.world import haproxy

pytestmark = pytest.mark.haproxy

ONE, TWO = (pool(name, protocol=BackendProtocol.TCP) for name in ("one", "two"))
NEARLY_ALL = 1_000_000


async def test_other_weights_cost_no_reload() -> None:
    """Nor another order; of TCP, and of TLS that ends here. A pool that comes costs one anyway."""
    port, secure, site = free_port(), free_port(), identity("site", "a.example")
    async with named("one") as one, named("two") as two, haproxy() as world:
        pools = (ONE, TWO, members(ONE, endpoint(one)), members(TWO, endpoint(two)))
        base = (*pools, site.certificate, server_name("*", site))

        def shared(*shares: StreamShare) -> tuple[Row, ...]:
            tls = Passthrough(
                hostname="a.example", owner=SERVICE, pool=ONE.id, shares=shares, ends_tls=True
            )
            handler = ForwardHttp(router=HTTPS, tls=True, passthroughs=(tls,))
            tcp = ForwardTcp(pool=ONE.id, shares=shares)
            return (*base, listener(port, tcp), listener(secure, handler))

        shares = (StreamShare(ONE.id), StreamShare(TWO.id), StreamShare(None))
        for chosen, expected in (*enumerate(("one", "two", "")), (0, "one")):
            heavy = StreamShare(shares[chosen].pool, NEARLY_ALL)
            await world.serve(*shared(heavy, *(each for each in shares if each.pool != heavy.pool)))
            assert most([await dial(port) for _ in range(5)]) == expected
            assert most([await said(secure, "a.example") for _ in range(5)]) == expected
        assert world.driver.reloads == 1, world.driver.last_reload

        await world.serve(*shared(*shares[1:], StreamShare(None), StreamShare(ONE.id, NEARLY_ALL)))
        assert most([await dial(port) for _ in range(5)]) == "one"
        assert world.driver.reloads == 2


def most(answers: list[str]) -> str:
    """Return who has most of a few connections: one in a million may go elsewhere."""
    return Counter(answers).most_common(1)[0][0]


async def test_hosts_whose_tls_ends_for_a_stream_come_and_go_without_a_reload() -> None:
    """But for the first and the last of a listener, and the first wildcard of its length."""
    port, site = free_port(), identity("site", "a.example")

    def hosts(*names: str) -> tuple[Row, ...]:
        streams = (
            Passthrough(hostname=name, owner=SERVICE, pool=ONE.id, ends_tls=True, any_depth=True)
            for name in names
        )
        handler = ForwardHttp(router=HTTPS, tls=True, passthroughs=(*streams,))
        return (ONE, site.certificate, server_name("*", site), listener(port, handler))

    async with named("one") as one, haproxy() as world:
        behind = members(ONE, endpoint(one))
        for names, reloads in (
            (("*.b.example", "a.example"), 1),
            (("*.b.example", "*.c.example", "a.example"), 1),
            (("*.c.example",), 1),
            (("*.example",), 2),
            ((), 3),
        ):
            await world.serve(*hosts(*names), behind)
            for name in names:
                assert await said(port, name.replace("*", "x.y")) == "one"
            assert world.driver.reloads == reloads, world.driver.last_reload
