"""What masters of two versions answer, and what is made of it; see `operator` for real ones."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from onehop.base.errors import DriverUnavailable
from onehop.driver.haproxy.master import Master, Reloaded, Shown
from onehop.driver.haproxy.runtime import Hangs

OLD: Final = {
    "show proc": """\
#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
4901            master          0 [failed: 0]   0d00h00m02s     2.6.12-1+deb12u4
# workers
4904            worker          0               0d00h00m02s     2.6.12-1+deb12u4
# programs

""",
    "reload": "",
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
    """A master that is none, and what it was asked."""

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
