"""A program that kills itself at each step of an edit, as often as there are steps.

It forks for each life, so it is a process of its own: one thread, no loop, everything imported.

    python -m tests.driver_haproxy.dying FOLDER

It prints what was about to happen at each death, and ends with 1 if a life after a death fails.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

from onehop.driver.haproxy.runtime import Runtime
from tests.driver_envoy.world import (
    backend,
    forward,
    free_port,
    host,
    listener,
    members,
    route,
    until,
)
from tests.driver_haproxy.world import LONG_S, WEB, haproxy, serves, shop

_PORTS: Final = (free_port(), free_port())


def main(folder: Path) -> int:
    """Die at the first step, come back, die at the second one, and so on."""
    step = 1
    while (code := _fork(partial(_live, folder, step))) == -signal.SIGKILL:
        code = _fork(partial(_live, folder, None))
        if code != 0:
            break
        step += 1
    return 0 if code == 0 else 1


def _fork(life: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Live in a child, and return how that ended."""
    pid = os.fork()
    if pid == 0:
        asyncio.run(life())
        sys.exit()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


async def _live(folder: Path, deadly: int | None) -> None:
    """Serve a shop, edit it without and with a reload; what is served is what was wanted last."""
    port, more = _PORTS
    quiet: dict[str, Any] = {"watch_s": 60.0, "files_after_s": 60.0}
    async with (
        backend("one") as one,
        backend("two") as two,
        haproxy(state_dir=folder, **quiet) as world,
    ):
        after = (listener(port), WEB, members(WEB, two.endpoint), host("b", route(forward(WEB))))
        if deadly is not None:
            await world.offer(*shop(port, one))
            await until(partial(serves, port, "one", "a"), LONG_S)
            _die_at(deadly)
        await world.offer(*after)
        await world.offer(*after, listener(more))
        for each in (port, more):
            await until(partial(serves, each, "two", "b"), LONG_S)


def _die_at(step: int) -> None:
    """Have this process killed before its n-th file operation or command from now on."""
    left = step
    ask, opened, rename = Runtime.ask, os.open, Path.rename

    def count(what: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            print(what, flush=True)  # noqa: T201  what the test reads
            os.kill(os.getpid(), signal.SIGKILL)

    async def asked(runtime: Runtime, command: str) -> str:
        if not command.startswith("show "):  # a question changes nothing
            count(command.split(" ", maxsplit=1)[0])
        return await ask(runtime, command)

    def opened_counted(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith(".draft"):
            count("draft")
        return opened(path, *args, **kwargs)

    def renamed(path: Path, target: str) -> Path:
        count("rename")
        return rename(path, target)

    Runtime.ask = asked  # type: ignore[method-assign,assignment]  # this process has no other use
    os.open = opened_counted
    Path.rename = renamed  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
