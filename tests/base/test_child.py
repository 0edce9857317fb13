"""What a program that we start says is heard, all of it and in order."""

import sys

from onehop.base.child import Child

SPEAKER = """
import os, sys
for number in range(20_000):
    os.write(2, b"line %d\\n" % number)
os.write(2, b"x" * (3 << 20) + b"\\n")
os.write(2, b"\\nin ")
os.write(2, b"parts\\nwithout an end")
"""


async def test_every_line_is_heard_and_one_that_is_too_long_is_not() -> None:
    """However many come at once; the last one needs no end, and empty ones are nothing."""
    heard: list[str] = []

    await Child(heard.append).live((sys.executable, "-c", SPEAKER))

    assert heard[:20_000] == [f"line {number}" for number in range(20_000)]
    assert heard[-2:] == ["in parts", "without an end"]
    assert all(len(line) < 1 << 20 for line in heard)
