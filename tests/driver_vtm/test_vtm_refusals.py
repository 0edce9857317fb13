"""Whose row is refused when the unit refuses an object."""

import pytest

from onehop.driver import Receipt
from onehop.lab.vtm.behaviour import ONE_WAY
from onehop.model.listener import ForwardHttp, Vip
from onehop.model.model import RowKey, Table, key_of, model_of
from onehop.model.pool import CookiePersistence
from tests.driver_vtm.stage import (
    HTTPS,
    NAMES,
    VIP,
    bring_to,
    certificate,
    forward,
    host,
    listener,
    members,
    pool,
    route,
    server_name,
    stage,
    start,
)

WWW = certificate("www")
KEPT = pool("web", persistence=CookiePersistence(name="onehop"))
SECURE = listener(443, ForwardHttp(router=HTTPS, tls=True))
HOST = host("a.example", route(forward(KEPT)), router=HTTPS)
ROWS = (KEPT, members(KEPT, 1), WWW, server_name("*", WWW), SECURE, HOST, Vip(address=VIP))


@pytest.mark.parametrize(
    ("refused", "culprit"),
    [
        (f"pools/{NAMES.name(KEPT.id)}", key_of(KEPT)),
        (f"persistence/{NAMES.name(KEPT.id)}", key_of(KEPT)),
        (f"ssl/server_keys/{NAMES.name(WWW.id)}", key_of(WWW)),
        (f"traffic_ip_groups/{NAMES.name(VIP)}", RowKey(Table.VIP, VIP)),
        (f"rules/{NAMES.name(SECURE.id)}", key_of(HOST)),
        (f"virtual_servers/{NAMES.name(SECURE.id)}", key_of(SECURE)),
    ],
)
async def test_a_refused_object_is_told_at_the_row_behind_it(refused: str, culprit: RowKey) -> None:
    """In the unit's words; all other rows are served, and the row is taken once it is mended."""
    async with stage(ONE_WAY) as unit, unit.driver() as driver:
        unit.first.faults.refuse.add(refused)

        receipt: Receipt = await start(driver, *ROWS)

        assert [refusal.key for refusal in receipt.refused] == [culprit]
        assert "basic.made_up: num.out_of_range" in receipt.refused[0].reason
        rest = [row for row in ROWS if key_of(row) != culprit]
        assert await driver.read_back() == model_of(rest)

        unit.first.faults.refuse.clear()
        assert (await bring_to(driver, *ROWS)).refused == ()
        assert await driver.read_back() == model_of(ROWS)
        assert unit.first.errors() == []


async def test_a_listener_without_a_certificate_waits_for_one() -> None:
    """The unit decrypts only with a certificate: until then the virtual server is disabled."""
    async with stage() as unit, unit.driver() as driver:
        await start(driver, SECURE)
        waiting = unit.object("virtual_servers", SECURE.id)
        assert not isinstance(waiting, str)
        assert waiting["basic"]["enabled"] is False

        await bring_to(driver, SECURE, WWW, server_name("a.example", WWW))

        ready = unit.object("virtual_servers", SECURE.id)
        assert not isinstance(ready, str)
        assert ready["basic"]["enabled"] is True
        assert ready["ssl"]["server_cert_default"] == NAMES.name(WWW.id)
