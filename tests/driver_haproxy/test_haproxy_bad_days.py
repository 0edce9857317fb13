"""A real HAProxy on bad days: what is served stays, and all ends as it was wanted."""

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onehop.base.errors import DriverUnavailable
from onehop.driver.driver import drifts_of
from onehop.driver.haproxy import audit, disk
from onehop.driver.haproxy.backend import members_by_name
from onehop.driver.haproxy.configuration import config_text
from onehop.driver.haproxy.process import children_of
from onehop.driver.haproxy.runtime import Runtime
from onehop.driver.haproxy.share import pool_name
from onehop.driver.haproxy.tls import pair_of
from onehop.model.address import IpAddr
from onehop.model.listener import ClientCheck, ForwardHttp, TlsChallenge
from onehop.model.model import Change, key_of
from onehop.model.pool import BackendTls, HealthCheck
from onehop.plan import make_plan
from tests.driver_envoy.world import (
    HTTPS,
    backend,
    draining,
    endpoint,
    forward,
    free_port,
    host,
    identity,
    listener,
    members,
    pool,
    route,
    server_name,
    until,
)
from tests.driver_haproxy.world import LONG_S, WEB, World, offered, serves, shop, world_with

pytestmark = pytest.mark.haproxy


def runtime_of(world: World) -> Runtime:
    """Return the socket of the worker that serves."""
    sockets = world.driver.options.state_dir.glob("run-*.sock")
    return Runtime(max(sockets, key=lambda socket: int(socket.stem.removeprefix("run-"))))


async def worker_of(world: World) -> int:
    """Return the process that serves."""
    said = await runtime_of(world).ask("show info")
    (pid,) = (line.split()[1] for line in said.splitlines() if line.startswith("Pid: "))
    return int(pid)


@pytest.mark.parametrize("is_edited", [True, False])
async def test_a_socket_that_is_gone_comes_again(*, is_edited: bool) -> None:
    """By a reload: with the next edit, or when it is noticed that nobody answers."""
    port = free_port()
    async with world_with(port, watch_s=60.0 if is_edited else 0.05) as (world, one):
        next(world.driver.options.state_dir.glob("run-*.sock")).unlink()
        assert await serves(port, "one")

        if is_edited:
            await world.serve(*shop(port, one), host("b", route(forward(WEB))))
            # Whoever cannot be asked may take clients for a moment after the next one has come.
            await until(partial(serves, port, "one", "b"), LONG_S)

        async def is_mended() -> bool:
            return world.driver.reload_reasons["runtime"] == 1

        await until(is_mended, LONG_S)
        assert await serves(port, "one")
        assert world.driver.describe()["connected"] == "yes"


async def test_a_worker_that_hangs_is_replaced() -> None:
    """By a reload; it does not hand its sockets over, and would go on taking connections."""
    port = free_port()
    async with world_with(port, answer_timeout_s=0.5) as (world, one):
        hanging = await worker_of(world)
        os.kill(hanging, signal.SIGSTOP)

        async def is_gone() -> bool:
            return world.driver.pid is not None and hanging not in children_of(world.driver.pid)

        await until(is_gone, LONG_S)
        await offered(world, *shop(port, one), host("b", route(forward(WEB))))
        assert await serves(port, "one", "b")


async def test_a_refused_reload_changes_nothing_and_the_next_one_may_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The Receipt names the row, what is served stays, and so do the files."""
    port, more = free_port(), free_port()
    async with world_with(port, listener_retry_s=60.0) as (world, one):
        file = world.driver.options.config_file
        before = file.read_text(encoding="ascii")

        def broken(*args: Any) -> str:
            text = config_text(*args)
            return f"{text}nonsense\n" if f":{more}" in text else text

        with monkeypatch.context() as patch:
            patch.setattr(disk, "config_text", broken)
            receipt = await world.offer(*shop(port, one), listener(more))
        assert [refusal.key.id for refusal in receipt.refused] == [listener(more).id]
        assert "nonsense" in receipt.refused[0].reason
        assert world.driver.describe()["refused"] == "1"
        assert await serves(port, "one")
        assert file.read_text(encoding="ascii").split("\n") == before.split("\n")

        await world.serve(*shop(port, one), listener(more))
        assert await serves(more, "one")


@pytest.mark.root
async def test_a_full_disk_stops_no_edit_that_needs_none() -> None:
    """Hosts are told to the worker, a listener waits for room, and the status says so."""
    with small_disk() as folder:
        await _fill_and_edit(folder)


async def _fill_and_edit(folder: Path) -> None:
    port, more, filler = free_port(), free_port(), folder / "filler"
    async with world_with(port, state_dir=folder / "haproxy") as (world, one):
        await asyncio.to_thread(fill, filler)
        await world.serve(*shop(port, one), host("b", route(forward(WEB))))
        assert await serves(port, "one", "b")

        async def is_told() -> bool:
            return "No space left" in world.driver.describe()["files"]

        await until(is_told, LONG_S)
        with pytest.raises(DriverUnavailable, match="No space left"):
            await world.offer(*shop(port, one), listener(more))
        assert await serves(port, "one")
        assert not await serves(more, "one")

        filler.unlink()
        await offered(world, *shop(port, one), listener(more))
        assert await serves(more, "one")
        await until(lambda: says(world, "files", "written"), LONG_S)


@contextmanager
def small_disk() -> Generator[Path]:
    """Make a file system of 256 KiB."""
    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:
        mount = ("mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "onehop-test", folder)
        subprocess.run(mount, check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(("umount", "--lazy", folder), check=True)


def fill(path: Path) -> None:
    """Take all the room that there is."""
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


async def says(world: World, key: str, value: str) -> bool:
    """Tell whether the status has a value."""
    return world.driver.describe()[key] == value


BY_HAND = {
    "server": "set server {server} state maint",
    "map": "del map {folder}/route.map {key}",
    "weight": "set server {server} weight 7",
    "deleted": "set server {server} state maint; del server {server}",
    "added": "add map {folder}/route.map evil.example/r-nobody v1",
}


async def reloaded_by_hand(world: World) -> None:
    """Have the worker replaced; a master that has just loaded something may lose a signal."""
    master, old = world.driver.pid, await worker_of(world)
    assert master is not None

    async def is_gone() -> bool:
        return old not in children_of(master)

    async with asyncio.timeout(LONG_S):
        while not await is_gone():
            os.kill(master, signal.SIGUSR2)
            with contextlib.suppress(TimeoutError):
                await until(is_gone, 3.0)


@pytest.mark.parametrize("by_hand", BY_HAND)
async def test_what_somebody_changes_by_hand_is_told_and_put_right(by_hand: str) -> None:
    """Through the runtime socket, behind our back; it takes neither a plan nor a reload."""
    port = free_port()
    async with world_with(port) as (world, one):
        before = await seen_in(world)
        (server,) = members_by_name(WEB, members(WEB, one.endpoint))
        (key,) = (line.split(" ")[0] for line in before if "/r-" in line)
        names = {"folder": world.driver.options.state_dir, "key": key}
        names["server"] = f"{pool_name(WEB.id)}/{server}"

        await runtime_of(world).ask(BY_HAND[by_hand].format(**names))

        async def is_right() -> bool:
            return bool(world.driver.drifts) and await seen_in(world) == before

        await until(is_right, LONG_S)
        (drifts,) = drifts_of(world.driver).values()
        assert world.driver.describe()["drifted"] == str(sum(drifts.values()))
        assert world.driver.describe()["last_drift"].split(" ")[0] in drifts
        assert world.driver.reloads == 1
        assert await serves(port, "one")


async def test_nothing_is_found_where_nothing_was_changed() -> None:
    """Of all kinds of servers, lists and certificates, over some laps."""
    site, other = identity("site", "a.example"), identity("other", "b.example")
    checked = pool("checked", health_check=HealthCheck(interval_s=0.2))
    secret = pool("secret", tls=BackendTls(ca_pem=site.chain_pem, server_name="a.example"))
    sixth = msgspec.structs.replace(endpoint(7), address=IpAddr("2001:db8::1"))
    check = ClientCheck(hostname="b.example", router=HTTPS, ca_pem=site.chain_pem)
    challenge = TlsChallenge(hostname="c.example", certificate=other.certificate.id)
    asking = ForwardHttp(router=HTTPS, tls=True, client_checks=(check,), challenges=(challenge,))
    port = free_port()
    async with world_with(port) as (world, one):
        await world.serve(
            *shop(port, one),
            *(listener(free_port(), asking), site.certificate, other.certificate),
            *(server_name("a.example", site), server_name("b.example", other)),
            server_name("*", site),
            *(checked, members(checked, endpoint(1), draining(2), endpoint(3, weight=300))),
            *(secret, members(secret, sixth, endpoint(8))),
        )
        world.driver.set_endpoints(members(secret, sixth, endpoint(9)))
        reloads, seen = world.driver.reloads, asyncio.Event()
        watched = audit.Audit.look

        async def look(self: audit.Audit, *args: Any) -> audit.Finding | None:
            found = await watched(self, *args)
            if self.laps > 5:
                seen.set()
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(audit.Audit, "look", look)
            async with asyncio.timeout(LONG_S):
                await seen.wait()
        assert not world.driver.drifts
        assert world.driver.reloads == reloads


async def seen_in(world: World) -> set[str]:
    """Return what the worker has: servers, with their weight and state, and hosts."""
    runtime, folder = runtime_of(world), world.driver.options.state_dir
    servers = [line.split(" ") for line in (await runtime.ask("show servers state")).splitlines()]
    hosts = (await runtime.ask(f"show map {folder}/route.map")).splitlines()
    told = {" ".join((row[3], row[4], row[6], row[7])) for row in servers if len(row) > 20}
    return told | {line.partition(" ")[2] for line in hosts if line}


async def test_a_certificate_that_somebody_changes_by_hand_is_put_right() -> None:
    """By its fingerprint; what cannot be told entry by entry is reloaded."""
    port, secure = free_port(), free_port()
    good, other = identity("good", "a.example"), identity("other", "a.example")
    async with world_with(port) as (world, one):
        tls = listener(secure, ForwardHttp(router=HTTPS, tls=True))
        name = server_name("a.example", good)
        await world.serve(*shop(port, one), tls, good.certificate, name)
        (file,) = world.driver.options.state_dir.glob("n-*.pem")
        runtime = runtime_of(world)
        await runtime.ask(f"set ssl cert {file} <<\n{pair_of(other.certificate)}")
        assert "Success" in await runtime.ask(f"commit ssl cert {file}")

        async def is_right() -> bool:
            said = await runtime_of(world).ask(f"show ssl cert {file}")
            return "drift" in world.driver.last_reload and "CN=good" in said

        await until(is_right, LONG_S)
        assert set(world.driver.drifts) == {"certificate"}


async def test_a_reload_by_somebody_else_loses_nothing() -> None:
    """The files say what was told, and that another worker serves is noticed."""
    port = free_port()
    async with world_with(port) as (world, one), backend("two") as two:
        edits = (listener(port), WEB, members(WEB, two.endpoint), host("b", route(forward(WEB))))
        await world.serve(*edits)
        folder, reloads = world.driver.options.state_dir, world.driver.reloads

        async def is_on_disk() -> bool:
            maps = (folder / "route.map").read_text(encoding="ascii")
            config = world.driver.options.config_file.read_text(encoding="ascii")
            return "b/r-" in maps and f":{two.port} " in config and f":{one.port} " not in config

        await until(is_on_disk, LONG_S)
        await reloaded_by_hand(world)

        async def is_noticed() -> bool:
            return world.driver.reloads > reloads

        await until(is_noticed, LONG_S)
        assert await serves(port, "two", "b")


async def test_a_thousand_edits_while_reloads_run_end_as_wanted() -> None:
    """Endpoints all the time, and hosts between listeners that come and go."""
    port, more = free_port(), free_port()
    async with world_with(port) as (world, one):
        driver, is_over = world.driver, asyncio.Event()

        async def reload_again_and_again() -> None:
            while not is_over.is_set():
                await driver.apply(make_plan(Change(upserts=(listener(more),))))
                gone = make_plan(Change(removals=(key_of(listener(more)),)))
                await driver.apply(gone)

        async with asyncio.TaskGroup() as group:
            group.create_task(reload_again_and_again())
            for number in range(1000):
                driver.set_endpoints(members(WEB, one.endpoint, endpoint(1 + number)))
                if number % 50 == 0:
                    edited = host(f"h{number}", route(forward(WEB)))
                    await driver.apply(make_plan(Change(upserts=(edited,))))
                await asyncio.sleep(0)
            is_over.set()

        assert driver.reloads > 10

        async def is_right() -> bool:
            counts = (await driver.count((WEB.id,)))[WEB.id]
            return {count.port for count in counts} == {one.port, 1000}

        await until(is_right, LONG_S)
        hosts = {line.split("/")[0] for line in await seen_in(world) if "/r-" in line}
        assert hosts == {"a", *(f"h{number}" for number in range(0, 1000, 50))}
        assert not driver.drifts
