"""What the kernel leaves to a proxy, and what it serves without."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from onehop.driver.nftables.fit import lacks, misfit
from onehop.driver.nftables.refuse import refusals
from onehop.model.ident import PoolId
from onehop.model.listener import ForwardTcp, ForwardUdp, Listener, StreamShare
from onehop.model.model import key_of, model_of
from onehop.model.pool import (
    BackendProtocol,
    BackendTls,
    Balancing,
    HealthCheck,
    Pool,
    ProxyProtocol,
    SourceIpPersistence,
)
from tests.driver_envoy.world import listener, pool, udp_listener
from tests.driver_nftables.world import known


def tcp(idle_s: float = 3600.0, **fields: Any) -> tuple[Listener, Pool]:
    """Return a listener for TCP and its pool."""
    behind = pool("stream", protocol=BackendProtocol.TCP, **fields)
    return listener(80, ForwardTcp(pool=behind.id, idle_timeout_s=idle_s)), behind


def udp(idle_s: float = 60.0, **fields: Any) -> tuple[Listener, Pool]:
    """Return a listener for UDP and its pool."""
    behind = pool("dns", protocol=BackendProtocol.UDP, **fields)
    return udp_listener(53, ForwardUdp(pool=behind.id, idle_timeout_s=idle_s)), behind


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"balancing": Balancing.HASH},
        {"persistence": SourceIpPersistence(timeout_s=60)},
        {"health_check": HealthCheck(healthy_threshold=3)},
        {"is_transparent": True},
    ],
)
def test_the_kernel_takes_what_it_can_do(fields: dict[str, Any]) -> None:
    """In full."""
    entrance, behind = tcp(**fields)

    assert misfit(entrance, known(behind)) is None
    assert lacks(entrance, known(behind)) == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"balancing": Balancing.ROUND_ROBIN},
        {"connect_timeout_s": 9.0},
        {"idle_s": 60.0},
        {"tls": BackendTls()},
        {"proxy_protocol": ProxyProtocol.V2},
        {"max_connections": 7},
    ],
)
def test_tcp_that_asks_for_more_is_a_proxys(fields: dict[str, Any]) -> None:
    """Which can do it: nothing of it is lost without a word."""
    entrance, behind = tcp(**fields)

    assert misfit(entrance, known(behind)) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"balancing": Balancing.ROUND_ROBIN},
        {"idle_s": 600.0},
        {"health_check": HealthCheck()},
    ],
)
def test_udp_that_asks_for_a_little_more_is_served_without(fields: dict[str, Any]) -> None:
    """A proxy may not take UDP at all. The listener's owner is told what is missing."""
    entrance, behind = udp(**fields)

    assert misfit(entrance, known(behind)) is None
    (refusal,) = refusals(model_of((entrance, behind)))
    assert refusal.key == key_of(entrance)
    assert refusal.is_partial
    assert refusal.reason == lacks(entrance, known(behind)) != ""


@pytest.mark.parametrize("make", [tcp, udp])
def test_several_backends_fit_if_they_are_alike(make: Callable[..., tuple[Listener, Pool]]) -> None:
    """In what the kernel has for a whole port: words say what that is."""
    entrance, one = make()
    shares = StreamShare(one.id), StreamShare(PoolId("other"), 2), StreamShare(None)
    handler = msgspec.structs.replace(entrance.handler, shares=shares)
    divided = msgspec.structs.replace(entrance, handler=handler)

    def why(**fields: Any) -> str | None:
        other = msgspec.structs.replace(one, id=PoolId("other"), **fields)
        return misfit(divided, known(one, other))

    assert why() is None
    assert why(health_check=HealthCheck(port=9000)) is None
    assert why(is_transparent=True) == (
        "the backends of a port differ in client-address: the kernel has one for all"
    )
    assert "in persistence:" in (why(persistence=SourceIpPersistence()) or "")
    assert "in balancing:" in (why(balancing=Balancing.HASH) or "")
    assert "no TLS" in (why(tls=BackendTls()) or "")
    assert misfit(divided, known(one)) == "its pool is missing"


def test_udp_with_a_limit_is_a_proxys() -> None:
    """A limit that does not limit would be worse than none."""
    entrance, behind = udp()

    assert misfit(msgspec.structs.replace(entrance, max_connections=7), known(behind)) is not None
