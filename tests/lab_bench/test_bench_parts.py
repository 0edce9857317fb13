"""Load, processor time and flags, each alone."""

import os
import time
from pathlib import Path

import pytest

from onehop.base.errors import ConfigError
from onehop.cli.lab_bench import effort, file_of
from onehop.lab.bench.cpu import Cpu, Seats, seats, spent_s
from onehop.lab.bench.load import Seen, answers
from onehop.lab.bench.plane import ENVOY, HAPROXY, KERNEL, planes_of
from onehop.lab.bench.run import QUICK, Effort

_SPENT_S = 0.02


def test_answers_are_read_from_headers() -> None:
    """One after the other, in curl's manner; an error page is no answer of a Pod."""
    said = (
        "HTTP/1.1 200 OK\r\nX-Pod: echo-1\r\nx-saw: fd00:111::2\r\nserver: envoy\r\n\r\n"
        "HTTP/1.1 503 Service Unavailable\r\nserver: envoy\r\n\r\n"
        "HTTP/1.1 200 OK\r\nx-pod: echo-2\r\nx-saw: 10.111.0.2\r\n\r\n"
    )

    assert answers(said) == (Seen("echo-1", "fd00:111::2"), Seen("echo-2", "10.111.0.2"))
    assert answers("") == ()


def test_time_on_a_processor_is_seen() -> None:
    """By whoever spends it."""
    before = spent_s(os.getpid())
    end = time.thread_time() + _SPENT_S
    while time.thread_time() < end:
        pass

    assert spent_s(os.getpid()) - before >= _SPENT_S * 0.9


def test_proxies_and_the_whole_are_sums() -> None:
    """Of the differences between two readings."""
    before = Cpu(balancer=1, edge=1, client=1, pods=1, kernel=1)
    after = Cpu(balancer=2, edge=3, client=4, pods=5, kernel=6)

    spent = after - before
    assert spent.proxies == 1 + 2
    assert spent.whole == 1 + 2 + 3 + 4 + 5


def test_proxies_have_a_processor_of_their_own_if_there_are_two() -> None:
    """And Pods a third one."""
    assert seats([5]) == Seats(client=5, proxies=5, pods=5)
    assert seats([0, 1]) == Seats(client=0, proxies=1, pods=0)
    assert seats([0, 2, 4, 6]) == Seats(client=0, proxies=2, pods=4)


def test_flags_go_before_what_quick_means() -> None:
    """Each by itself."""
    assert effort(None, None, quick=False) == Effort()
    assert effort(None, None, quick=True) == QUICK
    assert effort(7, None, quick=True) == Effort(rounds=7, seconds=QUICK.seconds)


@pytest.mark.parametrize(("rounds", "seconds"), [(0, None), (None, 0.0), (None, float("nan"))])
def test_too_little_is_refused(rounds: int | None, seconds: float | None) -> None:
    """By name, before anything is started."""
    with pytest.raises(ConfigError, match="at least"):
        effort(rounds, seconds, quick=False)


def test_data_planes_are_asked_for_by_name() -> None:
    """Each is measured once, the first one is what the others are held against."""
    assert planes_of(("haproxy", "envoy", "haproxy")) == (HAPROXY, ENVOY)


@pytest.mark.parametrize(("name", "why"), [("vtm", "carries no traffic"), ("nginx", "none of")])
def test_a_data_plane_that_cannot_be_measured_is_refused(name: str, why: str) -> None:
    """The appliance is a simulator here."""
    with pytest.raises(ConfigError, match=why):
        planes_of(("envoy", name))


def test_the_kernel_has_a_proxy_beside_it() -> None:
    """For Ingresses; what it is measured with is layer 4 only."""
    assert (KERNEL.config["driver"], KERNEL.config["layer4"]) == ("envoy", "kernel")
    assert all(load.is_tcp for load in KERNEL.loads)
    assert HAPROXY.config["layer4"] == "proxy"


def test_every_data_plane_has_a_drawing_of_its_own() -> None:
    """One alone has the file that was asked for."""
    assert file_of(Path("a/ways.svg"), "") == Path("a/ways.svg")
    assert file_of(Path("a/ways.svg"), "haproxy") == Path("a/ways-haproxy.svg")
