"""Everything is looked at again after each pause, and what is due together comes together."""

import asyncio

import pytest

from onehop.net.fib import again
from onehop.net.fib.again import Again
from tests.net.namespaces import DEADLINE_S, running


async def test_each_thing_comes_once_after_each_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never too early."""
    monkeypatch.setattr(again, "AGAIN_S", (0.01, 0.05))
    loop = asyncio.get_running_loop()
    added_at: dict[str, float] = {}
    seen: list[tuple[str, float]] = []
    is_over = asyncio.Event()

    async def look(due: list[str]) -> None:
        seen.extend((each, loop.time() - added_at[each]) for each in due)
        if len(seen) == 6:
            is_over.set()

    looks: Again[str] = Again()
    async with asyncio.timeout(DEADLINE_S), running(looks.run(look)):
        for name in ("a", "b", "c"):
            added_at[name] = loop.time()
            looks.add(name)
            await asyncio.sleep(0)
        await is_over.wait()

    for name in added_at:
        first, second = (after_s for each, after_s in seen if each == name)
        assert first >= 0.01
        assert second >= 0.05
