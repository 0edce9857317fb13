"""Envoy as a child: it comes back when it dies, goes when we die, and answers nobody else."""

import asyncio
import os
import signal
import stat
import sys
import textwrap
from pathlib import Path

import grpc
import grpc.aio
import pytest

from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.driver.envoy import EnvoyDriver, EnvoyOptions
from onehop.driver.envoy.server import SERVICE
from onehop.model.listener import ForwardTcp
from onehop.model.pool import BackendProtocol
from onehop.model.route import Respond
from tests.driver_envoy.world import (
    backend,
    connected,
    endpoint,
    envoy,
    forward,
    free_port,
    get,
    host,
    listener,
    members,
    pool,
    route,
    tcp_server,
    until,
)

pytestmark = pytest.mark.envoy


async def test_a_killed_envoy_comes_back_with_everything() -> None:
    """All of the state is sent again, and the driver counts the restart."""
    port, web = free_port(), pool()
    async with backend("one") as one, envoy() as world:
        await world.serve(
            web, members(web, one.endpoint), listener(port), host("*", route(forward(web)))
        )
        first = world.driver.pid
        assert first is not None

        os.kill(first, signal.SIGKILL)

        async def is_back() -> bool:
            try:
                return (await get(port, "a.example")).status == 200
            except (ConnectionError, asyncio.IncompleteReadError):
                return False

        await until(is_back)
        assert world.driver.restarts == 1
        assert world.driver.pid not in {None, first}
        receipt = await world.serve(
            web, members(web, one.endpoint), listener(port), host("b.example", route(forward(web)))
        )
        assert receipt.refused == ()
        assert (await get(port, "a.example")).status == 404


async def test_a_killed_parent_takes_envoy_with_it() -> None:
    """`kill -9` leaves us no time to clean up: the kernel does it."""
    program = textwrap.dedent(
        """
        import asyncio, pathlib, sys
        from onehop.driver.envoy import EnvoyDriver, EnvoyOptions

        async def main():
            driver = EnvoyDriver(EnvoyOptions(state_dir=pathlib.Path(sys.argv[1]), concurrency=1))
            async with driver.running():
                print(driver.pid, flush=True)
                await asyncio.Event().wait()

        asyncio.run(main())
        """
    )
    state = Path("/tmp") / f"onehop-{os.getpid()}"  # noqa: S108  short enough for a socket
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(state)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert parent.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = b"said nothing yet"
            while line and not line.strip().isdigit():
                line = await parent.stdout.readline()
        child = int(line)
        parent.kill()
        await parent.wait()

        async def is_gone() -> bool:
            try:
                status = Path(f"/proc/{child}/stat").read_text()
            except FileNotFoundError:
                return True
            return status.rpartition(")")[2].split()[0] == "Z"  # only to be reaped by init

        await until(is_gone)
    finally:
        if parent.returncode is None:
            parent.kill()
            await parent.wait()
        for file in state.glob("*"):
            file.unlink()
        state.rmdir()


async def test_the_sockets_are_for_us_alone() -> None:
    """0600 in a 0700 directory, and no TCP port that no listener asked for."""
    async with envoy() as world:
        options = world.driver.options
        assert stat.S_IMODE(options.state_dir.stat().st_mode) == 0o700
        for path in (options.xds_socket, options.admin_socket, options.bootstrap_file):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert _listening_tcp_ports(world.driver.pid) == set()


@pytest.mark.parametrize(
    "method",
    [
        f"/{SERVICE}/StreamAggregatedResources",
        "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters",
        "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
        "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets",
        "/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets",
        "/envoy.service.listener.v3.ListenerDiscoveryService/FetchListeners",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_other_methods_are_not_there(method: str) -> None:
    """Nothing but the aggregated delta stream answers."""
    async with envoy() as world:
        address = f"unix:{world.driver.options.xds_socket}"
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary(method, None, None)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", timeout=30)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_stopping_lets_requests_in_flight_end() -> None:
    """The answer that was on its way arrives; then Envoy is gone."""
    port, web = free_port(), pool()
    async with backend("slow", delay_s=0.5) as slow, asyncio.TaskGroup() as group:
        async with envoy(stop_grace_s=30.0) as world:
            await world.serve(
                web, members(web, slow.endpoint), listener(port), host("*", route(forward(web)))
            )
            pid = world.driver.pid

            async def is_asked() -> bool:
                return bool(slow.requests)

            asking = group.create_task(get(port, "a.example"))
            await until(is_asked)
        assert not Path(f"/proc/{pid}").exists()
        assert (await asking).status == 200


@pytest.mark.slow
async def test_an_envoy_that_cannot_start_says_why() -> None:
    """The error carries Envoy's own last words."""
    with pytest.raises(DriverUnavailable, match="log level"):
        async with envoy(log_level="loud", start_timeout_s=6.0):
            pass


def test_a_state_directory_with_a_long_path_is_refused() -> None:
    """A Unix socket's path has room for 107 bytes; the message says so before Envoy does."""
    driver = EnvoyDriver(EnvoyOptions(state_dir=Path("/tmp") / ("x" * 100)))  # noqa: S108

    async def run() -> None:
        async with driver.running():
            pass

    with pytest.raises(ConfigError, match="too long"):
        asyncio.run(run())


async def test_memory_and_connections_may_be_limited() -> None:
    """Envoy takes the overload limits, and closes what comes beyond the connections allowed."""
    port = free_port()
    async with envoy(max_heap_bytes=1 << 30, max_connections=1) as world:
        await world.serve(listener(port), host("*", route(Respond(status=200))))
        async with connected(port) as first:
            assert (await first.ask("a.example")).status == 200
            async with connected(port) as second:
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await second.ask("a.example")
        assert "overload" in await world.driver.stats()


async def test_what_envoy_counts_is_bounded() -> None:
    """Statistics come in Prometheus format; an idle pool adds nothing to them."""
    port, web = free_port(), pool()
    idle = [pool(f"idle{number}") for number in range(50)]
    async with backend("one") as one, envoy() as world:
        await world.serve(
            *(web, *idle),
            *(members(each, one.endpoint) for each in (web, *idle)),
            listener(port),
            host("*", route(forward(web))),
        )
        await get(port, "a.example")
        stats = await world.driver.stats()

    assert 'envoy_http_downstream_rq_xx{envoy_response_code_class="2"' in stats
    assert 'envoy_cluster_upstream_rq_total{envoy_cluster_name="shop/web_80"} 1' in stats
    assert "idle" not in stats


async def test_the_access_log_is_json_lines(tmp_path: Path) -> None:
    """One line for each request and connection, with the route and the endpoint that took it."""
    port, tcp_port, web = free_port(), free_port(), pool()
    tcp = pool("tcp", protocol=BackendProtocol.TCP)
    log = tmp_path / "access.log"

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    async with backend("one") as one, tcp_server(echo) as behind:
        async with envoy(access_log=str(log)) as world:
            await world.serve(
                *(web, members(web, one.endpoint), tcp, members(tcp, endpoint(behind))),
                listener(port),
                listener(tcp_port, ForwardTcp(pool=tcp.id)),
                host("a.example", route(forward(web)), route(Respond(status=418))),
            )
            await get(port, "a.example", "/x")
            async with connected(tcp_port) as client:
                client.writer.write(b"hello")
                await client.reader.read()
        lines = log.read_text()

    assert '"host":"a.example"' in lines
    assert f'"endpoint":"{one.endpoint.address}:{one.port}"' in lines
    assert '"route":"Ingress/shop/web prefix /"' in lines
    assert '"pool":"shop/tcp:80"' in lines


def _listening_tcp_ports(pid: int | None) -> set[str]:
    """Return local addresses of the process's listening TCP sockets."""
    inodes = {
        link.readlink().name.removeprefix("socket:[").rstrip("]")
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if "socket:" in str(link.readlink())
    }
    listening: set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.add(fields[1])
    return listening
