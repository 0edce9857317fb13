"""`onehop plan --driver NAME`: what would be different, before anything is done."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onehop.control.switchplan import SwitchPlan, plan_switch, with_moved
from onehop.model.listener import ForwardHttp, ForwardTcp, ForwardUdp
from onehop.model.model import Row, model_of
from onehop.model.pool import BackendProtocol, CookiePersistence, SourceIpPersistence
from tests.driver_envoy.world import (
    HTTPS,
    forward,
    host,
    listener,
    members,
    pool,
    route,
    udp_listener,
)
from tests.e2e.loopback import POD, Folder
from tests.e2e.objects import balancer, endpoints, ingress, ingress_class, service
from tests.e2e.program import Ended, onehop, write_config

WEB = pool()
SHOP: tuple[Row, ...] = (WEB, members(WEB), listener(80), host("shop.example", route(forward(WEB))))
DNS = pool("dns", protocol=BackendProtocol.UDP)


def planned(*rows: Row, have: str = "envoy", want: str = "haproxy") -> SwitchPlan:
    """Return the plan of a switch for these rows; no row is refused for its own sake."""
    return plan_switch(model_of(rows), have=have, want=want, refuses=lambda _row: None)


def test_what_both_can_do_is_the_same() -> None:
    """Every row is counted, and nothing is said of any."""
    plan = planned(*SHOP)
    assert plan.is_whole
    assert plan.same == {"pool": 1, "endpoints": 1, "listener": 1, "host": 1}
    assert (plan.lost, plan.gained, plan.differs) == ((), (), ())
    assert plan.way[0] == "set dataPlane.driver to haproxy, then run: onehop switch"


def test_udp_is_lost_one_way_and_gained_the_other() -> None:
    """With who asks for it, and what can be done; not so where the kernel has it."""
    rows = (DNS, udp_listener(53, ForwardUdp(pool=DNS.id)))
    lost, *more = planned(*rows).lost
    assert (lost.said, more) == ("HAProxy does not pass on UDP", [])
    assert "dataPlane.layer4 kernel" in lost.advice
    assert lost.concerned == ("Service/shop/web", "listener listener-53")
    assert planned(*rows, have="haproxy", want="envoy").gained[0].concerned == lost.concerned
    assert planned(*rows, have="haproxy+nftables", want="envoy").gained == ()


def test_what_is_lacking_already_is_not_lost() -> None:
    """Neither of the two remembers clients by their address for a time of its own."""
    kept = pool(persistence=SourceIpPersistence(timeout_s=60))
    plan = planned(kept)
    assert plan.is_whole
    assert [each.said.partition(":")[0] for each in plan.differs][-1] == "clients are spread anew"


def test_what_one_process_knows_of_its_clients_is_told_to_be_forgotten() -> None:
    """Cookies are another data plane's; connections of HTTP/3 are another process's."""
    kept = pool(persistence=CookiePersistence(name="onehop"))
    quic = listener(443, ForwardHttp(router=HTTPS, tls=True, http3=True))
    to_haproxy, to_envoy = planned(kept, quic), planned(kept, quic, want="envoy")
    assert [each.said for each in to_haproxy.lost] == ["HAProxy serves no HTTP/3 here"]
    assert "sessions are not carried over" in to_haproxy.differs[0].said
    assert [each.said for each in to_envoy.differs] == [
        "connections of HTTP/3 end: clients open others"
    ]


def test_a_row_that_is_refused_whole_is_lost_with_the_reason() -> None:
    """Whatever the declared shortcomings say."""
    plan = plan_switch(
        model_of(SHOP),
        have="envoy",
        want="haproxy",
        refuses=lambda row: "too long a name" if row is WEB else None,
    )
    assert [(each.said, each.concerned) for each in plan.lost] == [
        ("not served: too long a name", ("pool shop/web:80",))
    ]


def test_listeners_that_the_kernel_takes_are_named() -> None:
    """And which key it is, if the proxy stays."""
    bytes_ = listener(5432, ForwardTcp(pool=WEB.id))
    plan = with_moved(planned(bytes_, want="envoy+nftables"), (bytes_,))
    assert plan.is_whole
    assert plan.differs[-1].said == "served by the kernel from then on"
    assert plan.differs[-1].concerned == ("listener listener-5432",)
    assert plan.way == ("set dataPlane.layer4 to kernel, then run: onehop switch",)


def test_from_a_unit_the_file_says_where_the_addresses_go() -> None:
    """It is a switch as any other, the kernel's part included; sessions are not carried over."""
    kept = pool(persistence=CookiePersistence(name="onehop"))
    plan = planned(kept, have="vtm", want="haproxy+nftables")
    assert plan.way[0] == (
        "set dataPlane.driver to haproxy, dataPlane.layer4 to kernel, and addresses.bind to the "
        "interface for them, then run: onehop switch"
    )
    assert plan.way[-1] == "what is ours on the unit is deleted"
    assert "sessions are not carried over" in plan.differs[0].said
    (step,) = planned(kept, have="vtm", want="vtm").way
    assert "restart" in step


@pytest.fixture
def folder(temporary: Path) -> Folder:
    """The shop's manifests; nobody serves them."""
    folder = Folder(temporary / "manifests")
    folder.write("class.yaml", ingress_class())
    folder.write("shop.yaml", service(), endpoints("web", POD), ingress())
    return folder


async def plan(folder: Folder, *words: str, **sections: Any) -> Ended:
    """Run `onehop plan`."""
    path, _ = write_config(folder.path.parent / "a", folder.config() | sections)
    return await onehop("plan", "--config", str(path), *words)


@pytest.mark.haproxy
async def test_plan_says_that_nothing_is_lost(folder: Folder) -> None:
    """Exit code 0; which program it would be, and how it goes."""
    done = await plan(folder, "--driver", "haproxy")
    assert done.code == 0, done
    assert done.out.startswith("envoy -> haproxy (HAProxy version ")
    assert "the same   1 endpoints, 1 host" in done.out
    assert "how        1. set dataPlane.driver to haproxy" in done.out


async def test_plan_says_what_is_lost_and_what_is_not_there(folder: Folder) -> None:
    """Exit code 1; as data, too."""
    ports = {"name": "dns", "port": 18053, "targetPort": 8080, "protocol": "UDP"}
    slices = endpoints("dns", POD, ports=({"name": "dns", "port": 8080, "protocol": "UDP"},))
    folder.write("dns.yaml", balancer("dns", ports), slices)
    nowhere = {"haproxy": {"binary": "/nowhere/haproxy"}}
    done = await plan(folder, "--driver", "haproxy", "-o", "json", dataPlane=nowhere)
    switch = msgspec.convert(json.loads(done.out)["switch"], SwitchPlan)
    assert done.code == 1
    assert "/nowhere/haproxy" in switch.obstacles[0]
    assert switch.program == ""
    assert switch.lost[0].concerned == ("Service/shop/dns",)


async def test_plan_without_another_data_plane_says_what_would_change(folder: Folder) -> None:
    """As before: against the last known good."""
    done = await plan(folder)
    assert done.code == 0
    assert "+ host" in done.out
    assert "->" not in done.out
