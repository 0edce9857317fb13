"""A HAProxy that an operator runs, and onehop attached to it; all of it real."""

import asyncio
import os
import signal
import ssl
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.driver.haproxy import Attachment, describe_haproxy
from onehop.driver.haproxy.listener import frontend_name
from onehop.driver.haproxy.process import children_of
from onehop.model.certificate import ServerName
from onehop.model.listener import ForwardHttp, Passthrough
from onehop.model.pool import BackendProtocol
from onehop.model.route import Respond
from tests.driver_envoy.world import (
    ADDRESS,
    HTTPS,
    SERVICE,
    Identity,
    backend,
    connected,
    forward,
    free_port,
    get,
    host,
    identity,
    listener,
    members,
    pool,
    route,
    server_name,
    trusting,
    until,
)
from tests.driver_haproxy.operator import Operator, operator
from tests.driver_haproxy.world import World, offered
from tests.e2e.loopback import SITE, folder_in
from tests.e2e.objects import HOST
from tests.e2e.program import onehop
from tests.e2e.program import running as program

pytestmark = pytest.mark.haproxy

_LONG_S = 30.0
"""How long anything may take on a slow machine."""


async def test_endpoints_come_without_a_reload_and_listeners_by_one() -> None:
    """And the operator's own frontend answers as before."""
    port, more, web = free_port(), free_port(), pool()
    async with (
        running() as somebody,
        backend("one") as one,
        backend("two") as two,
        somebody.onehop() as world,
    ):
        base = (web, listener(port), host("a", route(forward(web))))
        await world.serve(*base, members(web, one.endpoint))
        assert (await get(port, "a")).body == "one"
        assert world.driver.reloads == 1

        world.driver.set_endpoints(members(web, two.endpoint))
        await until(lambda: _says(port, "two"), _LONG_S)
        assert world.driver.reloads == 1

        now = (*base, members(web, two.endpoint), listener(more))
        await world.serve(*now, host("b", route(Respond(status=200, body="b"))))
        assert (await get(more, "a")).body == "two"
        assert (await get(more, "b")).body == "b"
        assert world.driver.reloads == 2
        assert (await get(somebody.port, "any")).body == "own"
        assert world.driver.describe()["connected"] == "yes"


async def test_what_is_served_goes_on_when_onehop_leaves_and_comes_back() -> None:
    """A connection that was open at the end is open at the next start; nothing is refused."""
    port, web = free_port(), pool()
    async with running() as somebody, backend("one") as one:
        rows = (web, members(web, one.endpoint), listener(port), host("a", route(forward(web))))
        async with somebody.onehop() as world:
            await world.serve(*rows)
            await world.driver.send_away(is_leaving=True)
        assert somebody.runs
        reply = await get(port, "a")
        assert reply.body == "one"
        assert reply.headers.get("connection") != "close"

        async with requests(port) as asked, somebody.onehop() as world:
            assert (await get(port, "a")).body == "one"
            await world.serve(*rows)
            assert world.driver.reloads == 1
            assert world.driver.describe()["refused"] == "0"
            assert (await get(port, "a")).body == "one"
        assert asked
        assert set(asked) == {"one"}


async def test_a_reload_that_fails_for_what_is_theirs_is_told_and_repaired() -> None:
    """Nothing is refused for it, and the files are those of the worker that serves."""
    port, more = free_port(), free_port()
    answer = host("a", route(Respond(status=200, body="a")))
    async with running() as somebody, somebody.onehop() as world:
        await world.serve(listener(port), answer)
        theirs = somebody.config.read_text(encoding="ascii")
        somebody.write(f"{theirs}\nfrontend broken\n    bogus\n")

        with pytest.raises(DriverUnavailable, match="bogus"):
            await world.offer(listener(port), listener(more), answer)

        assert (await get(port, "a")).body == "a"
        assert (await get(somebody.port, "any")).body == "own"
        config = world.driver.options.config_file.read_text(encoding="ascii")
        assert f":{more}" not in config
        somebody.write(theirs)
        await world.serve(listener(port), listener(more), answer)
        assert (await get(more, "a")).body == "a"


async def test_a_name_of_theirs_that_is_ours_costs_its_row_alone() -> None:
    """HAProxy's own words name it."""
    port, more = free_port(), free_port()
    answer = host("a", route(Respond(status=200, body="a")))
    async with operator() as somebody:
        theirs = somebody.config.read_text(encoding="ascii")
        somebody.write(f"{theirs}\nfrontend {frontend_name(listener(more).id)}\n    mode http\n")
        await somebody.start()
        async with somebody.onehop() as world:
            receipt = await world.offer(listener(port), listener(more), answer)

            assert [refusal.key.id for refusal in receipt.refused] == [listener(more).id]
            assert "same name" in receipt.refused[0].reason
            assert (await get(port, "a")).body == "a"


async def test_a_port_of_theirs_is_not_taken() -> None:
    """It would get a part of its connections: the listener is refused, and theirs answers all."""
    port = free_port()
    answer = host("*", route(Respond(status=200, body="a")))
    async with running() as somebody, somebody.onehop() as world:
        receipt = await world.offer(listener(port), listener(somebody.port), answer)

        assert [refusal.key.id for refusal in receipt.refused] == [listener(somebody.port).id]
        assert "already in use" in receipt.refused[0].reason
        assert {(await get(somebody.port, "x")).body for _ in range(10)} == {"own"}


async def test_a_restart_of_theirs_is_followed() -> None:
    """It comes up with what our files say, and is told again what it needs."""
    port, web = free_port(), pool()
    async with (
        running() as somebody,
        backend("one") as one,
        backend("two") as two,
        somebody.onehop() as world,
    ):
        base = (web, listener(port), host("a", route(forward(web))))
        await world.serve(*base, members(web, one.endpoint))
        await somebody.stop()
        world.driver.set_endpoints(members(web, two.endpoint))
        await until(lambda: _is(world, "no"), _LONG_S)

        await somebody.start()

        await until(lambda: _says(port, "two"), _LONG_S)
        await until(lambda: _is(world, "yes"), _LONG_S)
        world.driver.set_endpoints(members(web, one.endpoint))
        await until(lambda: _says(port, "one"), _LONG_S)
        assert world.driver.describe()["pid"] == str(somebody.pid)


async def test_a_reload_of_theirs_is_followed() -> None:
    """Endpoints go to the worker that serves then."""
    port, web = free_port(), pool()
    async with (
        running() as somebody,
        backend("one") as one,
        backend("two") as two,
        somebody.onehop() as world,
    ):
        base = (web, listener(port), host("a", route(forward(web))))
        await world.serve(*base, members(web, one.endpoint))

        async def is_alone() -> bool:
            return len(children_of(somebody.pid)) == 1

        await until(is_alone, _LONG_S)  # the one before it may take a moment to end
        (first,) = children_of(somebody.pid)
        os.kill(somebody.pid, signal.SIGUSR2)

        async def is_another() -> bool:
            return first not in children_of(somebody.pid)

        await until(is_another, _LONG_S)
        world.driver.set_endpoints(members(web, two.endpoint))
        await until(lambda: _says(port, "two"), _LONG_S)


async def test_tls_is_ended_and_passed_on_in_a_chroot() -> None:
    """Two frontends speak to each other by no file, and a reload hands that over as well."""
    port, site, far = free_port(), identity("site", "a.example"), identity("far", "b.example")
    raw = pool("raw", protocol=BackendProtocol.TCP)
    passed = Passthrough(hostname="b.example", owner=SERVICE, pool=raw.id)
    tls = listener(port, ForwardHttp(router=HTTPS, tls=True, passthroughs=(passed,)))
    answer = host("a.example", route(Respond(status=200, body="ended")), router=HTTPS)
    shown = (site.certificate, server_name("a.example", site))
    async with (
        running() as somebody,
        backend("far", tls=_showing(far)) as there,
        somebody.onehop() as world,
    ):
        rows = (raw, members(raw, there.endpoint), tls, answer, *shown)
        for more in ((), (listener(free_port()),)):
            await world.serve(*rows, *more)
            for name, of, body in (("a.example", site, "ended"), ("b.example", far, "far")):
                trust = trusting(of.chain_pem)
                async with connected(port, tls=trust, sni=name) as client:
                    assert (await client.ask(name)).body == body


async def test_what_it_lacks_is_said_at_the_start() -> None:
    """What to put where; onehop changes nothing of theirs."""
    async with operator() as somebody:
        with pytest.raises(DriverUnavailable, match=r"master\.sock: No such file"):
            await _attach(somebody)
        theirs = somebody.config.read_text(encoding="ascii")
        somebody.write(theirs.replace("tune.ssl.cachesize 0", ""))
        await somebody.start()
        with pytest.raises(ConfigError, match=r"put `tune\.ssl\.cachesize 0` into the global"):
            await _attach(somebody)
        await somebody.stop()
        somebody.write(theirs)
        for files, said in (
            ((somebody.config,), "start it with `-f "),
            ((somebody.include, somebody.config), "must be the last one"),
        ):
            somebody.files = files
            await somebody.start()
            with pytest.raises(ConfigError, match=said):
                await _attach(somebody)
            await somebody.stop()


async def test_a_folder_that_is_not_ours_is_left_alone() -> None:
    """Whoever names `/etc/haproxy` keeps what is in it."""
    async with operator() as somebody:
        other = somebody.include / "site.pem"
        other.write_text("theirs", encoding="ascii")
        await somebody.start()
        with pytest.raises(ConfigError, match="files that onehop did not write"):
            await _attach(somebody)
        assert other.read_text(encoding="ascii") == "theirs"


async def test_check_says_which_haproxy_runs() -> None:
    """Without touching it."""
    async with running() as somebody, somebody.onehop() as world:
        assert "HAProxy version" in await describe_haproxy(world.driver.options)
        nobody = Attachment(master=somebody.include / "none", uid=somebody.uid)
        elsewhere = msgspec.structs.replace(world.driver.options, attached=nobody)
        with pytest.raises(DriverUnavailable, match="No such file"):
            await describe_haproxy(elsewhere)
        with pytest.raises(DriverUnavailable, match="not onehop's to stop"):
            await world.driver.stop_listening()


async def test_what_an_earlier_onehop_has_told_is_not_given_up_before_there_is_more() -> None:
    """A start whose first reload fails for what is theirs leaves it, and so do looks and retries.

    Nobody is sent away either: that is told with the rows.
    """
    port = free_port()
    answer = host("a", route(Respond(status=200, body="a")))
    async with running() as somebody:
        async with somebody.onehop() as world:
            await world.serve(listener(port), answer)
        theirs = somebody.config.read_text(encoding="ascii")
        somebody.write(f"{theirs}\nfrontend broken\n    bogus\n")
        async with somebody.onehop() as world:
            await world.driver.send_away(is_leaving=True)
            await world.driver.send_away(is_leaving=False)
            with pytest.raises(DriverUnavailable, match="bogus"):
                await world.offer(listener(port), listener(somebody.port), answer)
            assert (await get(port, "a")).body == "a"
            assert world.driver.describe()["connected"] == "no"
        async with somebody.onehop() as world:
            somebody.write(theirs)
            receipt = await world.offer(listener(port), listener(somebody.port), answer)
            assert [refusal.key.id for refusal in receipt.refused] == [listener(somebody.port).id]
            assert (await get(port, "a")).body == "a"


async def test_a_row_that_haproxy_refuses_at_the_first_load_is_the_only_one() -> None:
    """Our part is read alone before the master is asked, and names its culprit."""
    port, secure = free_port(), free_port()
    bad = identity("bad", "bad.example").certificate
    bad = msgspec.structs.replace(bad, chain_pem=bad.chain_pem.replace("M", "N", 5))
    shown = ServerName(router=HTTPS, hostname="bad.example", certificate=bad.id)
    tls = listener(secure, ForwardHttp(router=HTTPS, tls=True))
    answer = host("a", route(Respond(status=200, body="a")))
    async with running() as somebody, somebody.onehop() as world:
        receipt = await world.offer(listener(port), tls, answer, bad, shown)

        assert [refusal.key.id for refusal in receipt.refused] == [bad.id]
        assert (await get(port, "a")).body == "a"


async def test_the_program_leaves_it_serving_and_takes_over_again(tmp_path: Path) -> None:
    """As a user starts it, by the file; `check` and a start without it say what is the matter."""
    async with running() as somebody, folder_in(tmp_path) as folder:
        config = folder.config()
        keys = {"master": str(somebody.socket), "include": str(somebody.include)}
        config["dataPlane"] = {"driver": "haproxy", "haproxy": keys}
        file = str(tmp_path / "state" / "onehop.yaml")
        for _ in range(2):
            async with program(tmp_path / "state", config) as runs:
                assert (await runs.snapshot()).driver == "haproxy"
                assert await _shop_answers()
                said = (await onehop("check", "--config", file)).out
                assert "HAProxy version" in said
            assert somebody.runs
            assert await _shop_answers()
        await somebody.stop()
        somebody.socket.unlink(missing_ok=True)
        said = (await onehop("check", "--config", file)).out
        assert f"start it with `-W -S {somebody.socket}`" in said
        assert "A HAProxy of yours" in said
        ended = await onehop("run", "--config", file)
        assert ended.code != 0
        assert f"start it with `-W -S {somebody.socket}`" in ended.out + ended.err


async def test_a_port_that_is_theirs_and_taken_is_said_as_far_as_their_haproxy_says_it() -> None:
    """The parser does not see it. Since 2.7 the master tells; before, only its log does."""
    port, taken = free_port(), free_port()
    answer = host("a", route(Respond(status=200, body="a")))
    async with running() as somebody, somebody.onehop() as world:
        await world.serve(listener(port), answer)
        theirs = somebody.config.read_text(encoding="ascii")
        somebody.write(f"{theirs}\nfrontend more\n    bind {ADDRESS}:{taken}\n")
        is_old = "version 2.6" in world.driver.describe()["version"]
        said = "its log says why" if is_old else f"more.*cannot bind socket.*{taken}"
        async with await asyncio.start_server(_nobody, ADDRESS, taken):
            with pytest.raises(DriverUnavailable, match=said):
                await world.offer(listener(port), listener(free_port()), answer)
            assert (await get(port, "a")).body == "a"
        await offered(world, listener(port), listener(free_port()), answer)


async def test_a_listener_that_cannot_be_bound_is_refused_where_haproxy_names_it() -> None:
    """Since 2.7, alone. A master before that does not say which it was: nothing new is loaded."""
    port = free_port()
    answer = host("a", route(Respond(status=200, body="a")))
    nowhere = msgspec.structs.replace(listener(free_port()), address="2001:db8::1")
    async with running() as somebody, somebody.onehop() as world:
        await world.serve(listener(port), answer)
        rows = (listener(port), nowhere, host("a", route(Respond(status=200, body="new"))))
        if "version 2.6" in world.driver.describe()["version"]:
            with pytest.raises(DriverUnavailable, match="its log says why"):
                await world.offer(*rows)
            assert (await get(port, "a")).body == "a"
        else:
            (refusal,) = (await world.offer(*rows)).refused
            assert refusal.key.id == nowhere.id
            assert "cannot bind socket" in refusal.reason
            assert (await get(port, "a")).body == "new"


@asynccontextmanager
async def running() -> AsyncGenerator[Operator]:
    """Run the operator's HAProxy, to which nobody is attached yet."""
    async with operator() as somebody:
        await somebody.start()
        yield somebody


@asynccontextmanager
async def requests(port: int) -> AsyncGenerator[list[str]]:
    """Ask again and again, each time on a connection of its own; yield the answers."""
    answers: list[str] = []

    async def ask() -> None:
        while True:
            answers.append((await get(port, "a")).body)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(ask())
        yield answers
        task.cancel()


def _showing(site: Identity) -> ssl.SSLContext:
    """Return what an endpoint that speaks TLS itself shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(site.certificate.chain_pem + site.certificate.key_pem.reveal)
        file.flush()
        context.load_cert_chain(Path(file.name))
    return context


async def _shop_answers() -> bool:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{SITE}/", headers={"host": HOST}) as reply,
    ):
        return reply.status == 200


async def _attach(somebody: Operator) -> None:
    async with somebody.onehop():
        raise AssertionError


async def _nobody(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _says(port: int, body: str) -> bool:
    try:
        return (await get(port, "a")).body == body
    except (ConnectionError, EOFError):
        return False


async def _is(world: World, connected: str) -> bool:
    return world.driver.describe()["connected"] == connected
