"""What HAProxies of two versions say of themselves, as they said it, and what is made of it.

What is not told apart here is the same in both: the whole suite runs with either (CONTRIBUTING.md).
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.driver.haproxy.binary import version_in
from onehop.driver.haproxy.master import Master, Reloaded, Shown
from onehop.driver.haproxy.runtime import Hangs, Runtime, Who, who_at

OLD: Final = {
    "show proc": """\
#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
4901            master          0 [failed: 0]   0d00h00m02s     2.6.12-1+deb12u4
# workers
4904            worker          0               0d00h00m02s     2.6.12-1+deb12u4
# programs

""",
    "reload": "",
    "show info": """\
Name: HAProxy
Version: 2.6.12-1+deb12u4
Release_date: 2026/10/17
Nbthread: 2
Nbproc: 1
Process_num: 1
Pid: 32639
Uptime: 0d 0h00m01s
""",
}
"""HAProxy 2.6.12, Debian 12."""

NEW: Final = {
    "show proc": """\
#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
5164            master          2 [failed: 1]   0d00h00m06s     3.0.11-1+deb13u4
# workers
5294            worker          1               0d00h00m04s     3.0.11-1+deb13u4
# programs

""",
    "reload": """\
Success=1
--
[NOTICE]   (5164) : New worker (5294) forked
[NOTICE]   (5164) : Loading success.
[WARNING]  (5164) : Former worker (5196) exited with code 0 (Exit)

""",
    "show info": """\
Name: HAProxy
Version: 3.0.11-1+deb13u4
Release_date: 2026/10/15
Nbthread: 2
Nbproc: 1
Process_num: 1
Pid: 318
Uptime: 0d 0h00m01s
""",
}
"""HAProxy 3.0.11, Debian 13."""

TAKEN: Final = """\
[NOTICE]   (5164) : haproxy version is 3.0.11-1+deb13u4
[ALERT]    (5164) : Binding [h.cfg:12] for frontend g: protocol tcpv4: cannot bind socket \
(Address already in use) for [127.0.0.1:8452].
[WARNING]  (5164) : Loading failure!

"""
FAILED: Final = {"reload": f"Success=0\n--\n{TAKEN}"}
"""The same one, for a port that somebody has."""


@pytest.mark.parametrize(
    ("answers", "shown"),
    [
        (OLD, Shown(4901, 0, "2.6.12-1+deb12u4")),
        (NEW, Shown(5164, 1, "3.0.11-1+deb13u4")),
    ],
)
async def test_a_master_says_who_it_is(answers: Mapping[str, str], shown: Shown) -> None:
    """Its process, its version, and how many reloads have failed."""
    async with master(answers) as told:
        assert await Master(told.socket).show() == shown


@pytest.mark.parametrize(
    ("answers", "reloaded"),
    [
        (OLD, Reloaded(None)),
        (NEW, Reloaded(is_loaded=True)),
        (FAILED, Reloaded(is_loaded=False, said=TAKEN)),
    ],
)
async def test_what_became_of_a_reload_is_said_since_2_7(
    answers: Mapping[str, str], reloaded: Reloaded
) -> None:
    """With HAProxy's own words for one that has failed; an older one has to be watched."""
    async with master(answers) as told:
        assert await Master(told.socket).reload() == reloaded


@pytest.mark.parametrize(
    ("answers", "who"),
    [(OLD, Who("2.6.12-1+deb12u4", "32639")), (NEW, Who("3.0.11-1+deb13u4", "318"))],
)
async def test_a_worker_says_who_it_is(answers: Mapping[str, str], who: Who) -> None:
    """Each for itself: the next one may be of a newer package."""
    async with master(answers) as told:
        assert await who_at(Runtime(told.socket, says_eof=True)) == who


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12-1+deb12u4"),
        ("HAProxy version 3.0.11-1+deb13u4 2026/10/15 - https://haproxy.org/", "3.0.11-1+deb13u4"),
    ],
)
def test_a_program_says_its_version(said: str, version: str) -> None:
    """As `haproxy -v` does, before anything is started."""
    assert version_in(said, "haproxy") == f"HAProxy version {version}"


def test_a_program_that_is_too_old_is_not_started() -> None:
    """2.4 has no servers that come by the runtime API."""
    with pytest.raises(ConfigError, match=r"/opt/haproxy is not HAProxy 2\.6 or newer"):
        version_in("HAProxy version 2.4.22-0ubuntu0.22.04.3 2023/12/04", "/opt/haproxy")


async def test_somebody_else_at_the_socket_is_no_master() -> None:
    """A worker's socket, say."""
    worker = {"show proc": "Unknown command: 'show proc'\n"}
    async with master(worker) as told:
        with pytest.raises(DriverUnavailable, match=r"not the socket of a master \(haproxy -W -S"):
            await Master(told.socket).show()


async def test_a_reload_that_takes_too_long_is_asked_for_once() -> None:
    """Another one, of a master that is at it, would only take longer."""
    async with master({}) as told:
        with pytest.raises(Hangs, match="no answer in time"):
            await Master(told.socket, reload_s=0.1).reload()
        assert told.asked == ["reload"]


class Told(NamedTuple):
    """Somebody who is no HAProxy, and what he was asked."""

    socket: Path
    asked: list[str]


@asynccontextmanager
async def master(answers: Mapping[str, str]) -> AsyncGenerator[Told]:
    """Answer what is known as a master does, when the client has ended; and nothing else."""
    is_over = asyncio.Event()
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = (await reader.read()).decode().strip()
        asked.append(command)
        if command not in answers:
            await is_over.wait()
        writer.write(answers.get(command, "").encode())
        writer.close()
        await writer.wait_closed()

    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:
        socket = Path(folder) / "master.sock"
        async with await asyncio.start_unix_server(serve, socket):
            yield Told(socket, asked)
            is_over.set()
