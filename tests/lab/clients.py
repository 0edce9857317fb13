"""Clients of a lab that ask all the time, and what became of it."""

import asyncio
import contextlib
import sys
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from onehop.lab.world import World
from tests.lab.traffic import PATIENCE_S, Flow, Seen

_PROGRAM: Final = Path(__file__).with_name("traffic.py")
_END_S: Final = PATIENCE_S + 5
_WARM_S: Final = 0.5


class Requests:
    """What was asked; `log` is there once the clients have ended."""

    def __init__(self) -> None:
        self.log: Sequence[Seen] = ()

    @property
    def failed(self) -> list[str]:
        """Those without a good answer, in words."""
        start = self.log[0].at if self.log else 0.0
        return [
            f"{each.kind} at {each.at - start:.2f} s: {each.error} after {each.took_s:.3f} s"
            for each in self.log
            if each.error
        ]

    @property
    def again(self) -> int:
        """How many found their old connection closed, and needed another."""
        return sum(each.again for each in self.log)

    @property
    def slowest_s(self) -> float:
        """How long the slowest one took."""
        return max(each.took_s for each in self.log)

    @property
    def kinds(self) -> Counter[str]:
        """How many there were of each kind."""
        return Counter(each.kind for each in self.log)

    def saw(self, *, since: float = 0.0, kind: str = "") -> set[str]:
        """Return the sources that Pods have seen since a moment."""
        return {
            each.saw
            for each in self.log
            if each.at >= since and not each.error and kind in ("", each.kind)
        }


def usual_flows() -> tuple[Flow, ...]:
    """Return the clients of the sample: its Ingress, and its Service for TCP."""
    return (
        Flow(kind="keep-alive", address="203.0.113.10", clients=4),
        Flow(kind="fresh", address="203.0.113.10"),
        Flow(kind="tcp", address="203.0.113.11", port=5000),
    )


@contextlib.asynccontextmanager
async def clients(world: World, flows: Sequence[Flow] = ()) -> AsyncGenerator[Requests]:
    """Have clients ask as long as the context lasts."""
    flows = flows or usual_flows()
    requests = Requests()
    argv = world.inside(
        "client", sys.executable, str(_PROGRAM), msgspec.json.encode(flows).decode()
    )
    process = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE)
    try:
        await asyncio.sleep(_WARM_S)
        yield requests
        async with asyncio.timeout(_END_S):
            said, _ = await process.communicate(b"")
        requests.log = sorted(msgspec.json.decode(said, type=list[Seen]), key=lambda each: each.at)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def now() -> float:
    """Return the time by the clock of `Seen.at`."""
    return time.monotonic()
