"""When CPython's cycle collector runs, so that it never runs at the wrong moment.

It looks at every container again and again to find cycles that reference counts cannot see. Of a
hundred thousand endpoints a full pass takes half a second, in which no change reaches the data
plane; and while the first lists come in, it makes many passes and finds nothing. What we hold are
frozen values, in which there are no cycles to be found.
"""

import asyncio
import contextlib
import gc
from typing import Final

LONGEST_REST_S: Final = 60.0
"""A source that never becomes complete must not keep the collector off for ever."""

YOUNG_OBJECTS: Final = 20_000
"""How many containers may be new before they are looked at: about a millisecond's work. Python's
own 700 are reached by decoding a single slice of a hundred endpoints."""


async def collect_after(start: asyncio.Event) -> None:
    """Keep the collector off until the start is over; then exempt what is there by then.

    `gc.freeze` moves everything to where later passes do not look. What replaces it in the
    course of time is looked at as ever.
    """
    gc.disable()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_REST_S):
                await start.wait()
        gc.freeze()
    finally:
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
        gc.enable()
