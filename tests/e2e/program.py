"""onehop as a user starts it: a child process with a configuration file, and what can be seen."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec
import yaml

from onehop.control.overview import Snapshot
from onehop.driver.envoy.admin import EnvoyAdmin
from tests.e2e.objects import Json
from tests.e2e.waiting import until

ONEHOP: Final = Path(sys.executable).with_name("onehop")
METRICS: Final = "127.0.0.1:9080"
_END_S: Final = 30.0
_COMMAND_S: Final = 60.0
_START_S: Final = 90.0
"""It starts other programs, on a machine that has others still."""


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


async def onehop(*arguments: str, **environment: str) -> Ended:
    """Run a command of onehop to its end."""
    process = await asyncio.create_subprocess_exec(
        ONEHOP,
        *arguments,
        env={**os.environ, "COLUMNS": "200", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_COMMAND_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


class Onehop:
    """A running `onehop run`."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, config: Json) -> None:
        self.process = process
        self.config_file = folder / "onehop.yaml"
        self.state = Path(config["state"])
        self.log_file = folder / "onehop.log"
        self.admin = EnvoyAdmin(self.state / "envoy" / "admin.sock")
        self._url = f"http://{config['listen']['metrics']}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self, timeout_s: float = _END_S) -> int:
        """Wait for its end, and return its exit code."""
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()

    async def stop(self) -> int:
        """End it as systemd would; return its exit code."""
        if self.process.returncode is None:
            self.send(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """Kill it where it stands."""
        if self.process.returncode is None:
            self.send(signal.SIGKILL)
        await self.ended()

    def logged(self, event: str) -> list[Json]:
        """Return its log lines of one event."""
        return [line for line in self.log() if line.get("event") == event]

    def log(self) -> list[Json]:
        """Return all of its log lines."""
        lines = self.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    async def get(self, path: str) -> tuple[int, str]:
        """Ask its public HTTP server."""
        timeout = aiohttp.ClientTimeout(total=5)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._url + path) as response,
        ):
            return response.status, await response.text()

    async def is_ready(self) -> bool:
        """Tell what /readyz says; an onehop that has ended fails the test at once."""
        assert self.process.returncode is None, self.log_file.read_text()
        return (await self.get("/readyz"))[0] == 200

    async def snapshot(self) -> Snapshot:
        """Ask its control socket, as `onehop status` does."""
        connector = aiohttp.UnixConnector(str(self.state / "control.sock"))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://onehop/status") as response,
        ):
            return msgspec.json.decode(await response.read(), type=Snapshot)

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a metric that carry these labels."""
        _, text = await self.get("/metrics")
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.partition(" ")[0].partition("{")[0] == name and all(w in line for w in wanted)
        )

    async def envoy_pid(self) -> int:
        """Return the process id of its Envoy, or 0."""
        said = (await self.snapshot()).data_plane["pid"]
        return int(said) if said.isdigit() else 0

    async def served(self) -> dict[str, frozenset[str]]:
        """Return the names of everything Envoy serves, endpoints included, in its own words."""
        return await served_by(self.state)

    def removals(self) -> int:
        """Return how many rows it has ever asked its data plane to remove."""
        return sum(line["removals"] for line in self.logged("applied"))


async def served_by(state: Path) -> dict[str, frozenset[str]]:
    """Return the names of everything that the Envoy of a state directory serves."""
    admin = EnvoyAdmin(state / "envoy" / "admin.sock")
    return _names(await admin.config_dump(with_endpoints=True))


def _names(dump: dict[str, Any]) -> dict[str, frozenset[str]]:
    """Walk a config dump: every named resource, and every endpoint's address behind its cluster."""
    found: dict[str, set[str]] = {"clusters": set(), "listeners": set(), "hosts": set()}
    found["endpoints"] = set()
    for section in dump["configs"]:
        kind = section["@type"].rpartition(".")[2]
        if kind == "ClustersConfigDump":
            names = (c["cluster"]["name"] for c in section.get("dynamic_active_clusters", ()))
            found["clusters"].update(names)
        elif kind == "ListenersConfigDump":
            found["listeners"].update(
                each["name"]
                for each in section.get("dynamic_listeners", ())
                if "active_state" in each
            )
        elif kind == "RoutesConfigDump":
            for each in section.get("dynamic_route_configs", ()):
                hosts = each["route_config"].get("virtual_hosts", ())
                found["hosts"].update(host["name"] for host in hosts)
        elif kind == "EndpointsConfigDump":
            for each in section.get("dynamic_endpoint_configs", ()):
                config = each["endpoint_config"]
                found["endpoints"].update(
                    f"{config['cluster_name']} {_socket(endpoint)}"
                    for locality in config.get("endpoints", ())
                    for endpoint in locality.get("lb_endpoints", ())
                )
    return {kind: frozenset(names) for kind, names in found.items()}


def _socket(endpoint: dict[str, Any]) -> str:
    address = endpoint["endpoint"]["address"]["socket_address"]
    return f"{address['address']}:{address['port_value']}"


@contextlib.asynccontextmanager
async def running(
    folder: Path, config: Json, *flags: str, waits: bool = True, within: tuple[str, ...] = ()
) -> AsyncGenerator[Onehop]:
    """Run onehop until the context ends; whatever happens, nothing of it is left.

    Args:
        folder: where the configuration file and the log go.
        config: the configuration; `state` and `listen.metrics` are filled in if need be.
        flags: further arguments.
        waits: until it is ready.
        within: a command that runs its arguments as a command, such as `env` or `unshare`.
    """
    path, config = write_config(folder, config)
    program = Onehop(await _start(path, flags, within), folder, config)
    try:
        if waits:
            await until(program.is_ready, "onehop is ready", timeout_s=_START_S)
        yield program
    finally:
        await _end(program.process)
        await until(lambda: not _left_of(folder), "nothing of it is left")


def write_config(folder: Path, config: Json) -> tuple[Path, Json]:
    """Write the configuration file; return it, and all that it says."""
    folder.mkdir(exist_ok=True)
    whole = {"state": str(folder / "s"), "listen": {"metrics": METRICS}} | config
    path = folder / "onehop.yaml"
    path.write_text(yaml.safe_dump(whole))
    return path, whole


async def _start(
    config_file: Path, flags: tuple[str, ...], within: tuple[str, ...]
) -> asyncio.subprocess.Process:
    command = (*within, str(ONEHOP), "run", "--config", str(config_file), *flags)
    with config_file.with_name("onehop.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, and if it does not, make it: a stopped one cannot hear us."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError("onehop did not end on SIGTERM") from None


def _left_of(folder: Path) -> list[int]:
    """Return the processes that were started with a file below a folder, dead ones left out."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"{folder}/".encode() in line.read_bytes():
                found.append(int(line.parent.name))
    return found


def children_of(pid: int) -> list[int]:
    """Return the processes whose parent it is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found.append(int(stat.parent.name))
    return found
