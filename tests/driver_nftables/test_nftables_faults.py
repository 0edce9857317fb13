"""Bad days of the kernel and of nft: what was served is served on, and what is wanted comes."""

import asyncio
import contextlib
import errno
import os
import shutil
from pathlib import Path

import pytest

from onehop.base.errors import DriverUnavailable
from onehop.driver.nftables import monitor
from onehop.driver.nftables.channel import Refused
from onehop.driver.nftables.netlink import Change, Netlink
from onehop.model.address import IpAddr
from onehop.model.endpoint import Endpoint
from onehop.model.pool import SourceIpPersistence
from tests.driver_nftables.world import (
    DEADLINE_S,
    at,
    listener,
    load,
    members,
    nftables,
    once,
    pod,
    pool,
    serve,
    spread,
)
from tests.net.crossroads import VIP, Crossroads
from tests.net.namespaces import until

pytestmark = pytest.mark.root


async def _answers(roads: Crossroads, port: int = 8001) -> None:
    """Wait until a port of the Pod answers new connections, which may be refused before."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                if (await once(roads))[0] == port:
                    return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ENOMEM, errno.EINTR, errno.EAGAIN])
def test_a_kernel_without_room_is_asked_again(
    roads: Crossroads, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The old members serve meanwhile; nothing is thought to have drifted."""
    refusals = 0
    real = Netlink.change

    def change(self: Netlink, wanted: Change) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise Refused(code)
        real(self, wanted)

    monkeypatch.setattr(Netlink, "change", change)

    async def main() -> None:
        nonlocal refusals
        async with nftables() as driver, pod(roads, 8001, 8002):
            web = pool()
            await serve(driver, web, members(web, at(8001)), listener(web))
            refusals = 2
            driver.set_endpoints(members(web, at(8002)))
            assert (await once(roads))[0] in {8001, 8002}
            await until(lambda: not refusals and driver.describe()["transactions"] == "2")
            assert set(await spread(roads, 5)) == {8002}

            refusals = 1
            with pytest.raises(DriverUnavailable, match="nf_tables took no change"):
                await serve(driver)
            await driver.settled()
            assert driver.describe()["entrances"] == "0"
            assert driver.drifts == {}
            assert driver.describe()["repairs"] == "0"

    roads.balancer.run(main)


@pytest.mark.parametrize(
    "script",
    [
        "delete element inet onehop_l4 service4 {{ {entrance} }}",
        "flush map inet onehop_l4 draw4",
        "delete table inet onehop_l4",
    ],
)
def test_a_change_that_meets_something_else_learns_what_is_there(
    roads: Crossroads, script: str
) -> None:
    """Even before the kernel has told us: the change is refused, and made once more."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001, 8002):
            web = pool()
            await serve(driver, web, members(web, at(8001)), listener(web))
            load(roads, script.format(entrance=f"{VIP[4]} . tcp . 80"))  # and nobody reads on
            driver.set_endpoints(members(web))
            driver.set_endpoints(members(web, at(8002)))
            await until(lambda: driver.describe()["repairs"] != "0")
            await _answers(roads, 8002)
            await driver.settled()
            assert set(await spread(roads, 5)) == {8002}
            assert driver.describe()["repairs"] == "1"
            assert driver.describe()["last_drift"].endswith("by nft")

    roads.balancer.run(main)


BROKEN = "#!/bin/sh\necho 'Error: Could not process rule: Device or resource busy' >&2\nexit 1\n"


@pytest.mark.parametrize("program", [BROKEN, None], ids=["refused", "missing"])
def test_nft_that_fails_is_tried_again(
    roads: Crossroads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    """Refused, or being replaced by a newer one: that is no reason to end."""
    real, before = shutil.which("nft"), os.environ["PATH"]
    assert real is not None
    if program is not None:
        broken = tmp_path / "nft"
        broken.write_text(program)
        broken.chmod(0o755)

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001):
            web, sticky = pool(), pool(name="sticky", persistence=SourceIpPersistence())
            rows = web, members(web, at(8001)), listener(web)
            await serve(driver, *rows)
            monkeypatch.setenv("PATH", str(tmp_path))
            more = sticky, members(sticky, at(8001)), listener(sticky, port=81)
            with pytest.raises(DriverUnavailable, match="nft"):
                await serve(driver, *rows, *more)
            assert (await once(roads))[0] == 8001

            monkeypatch.setenv("PATH", before)
            await until(lambda: driver.describe()["entrances"] == "2")
            assert (await once(roads, port=81))[0] == 8001

            monkeypatch.setenv("PATH", str(tmp_path))
            flushed = await asyncio.create_subprocess_exec(real, "flush", "ruleset")
            assert await flushed.wait() == 0
            await until(lambda: int(driver.describe()["repairs"]) > 1)
            monkeypatch.setenv("PATH", before)
            await until(lambda: "service4" in roads.nft("list", "ruleset"))
            await _answers(roads)

    roads.balancer.run(main)


def test_events_that_were_lost_are_looked_after(
    roads: Crossroads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More was changed at once than the socket holds: then everything is put right."""
    monkeypatch.setattr(monitor, "_BUFFER_BYTES", 1)

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001):
            web = pool()
            await serve(driver, web, members(web, at(8001)), listener(web))
            many = ", ".join(f"10.{n >> 8}.{n & 255}.1 . tcp . 80" for n in range(2000))
            load(roads, f"add element inet onehop_l4 refused4 {{ {many} }}")
            load(roads, "flush chain inet onehop_l4 nat-prerouting")
            await until(lambda: "unknown" in driver.drifts)
            await _answers(roads)

    roads.balancer.run(main)


def test_a_change_larger_than_the_socket_holds_is_made(roads: Crossroads) -> None:
    """One Service with very many endpoints, in one transaction; and taken away again."""

    async def main() -> None:
        async with nftables() as driver, pod(roads, 8001):
            web = pool()
            many = [
                Endpoint(address=IpAddr(f"10.{100 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"), port=80)
                for n in range(40_000)
            ]
            await serve(driver, web, members(web, *many), listener(web))
            assert driver.describe()["elements"] == "80002"
            await serve(driver, web, members(web, at(8001)), listener(web))
            assert (await once(roads))[0] == 8001

    roads.balancer.run(main)
