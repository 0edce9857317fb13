"""What a program that we start says is heard, all of it in order; and it does not outlive us."""

import subprocess
import sys
from pathlib import Path

from onehop.base.child import Child, bound_to_parent

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


def test_who_comes_when_its_parent_has_died_is_not_started(tmp_path: Path) -> None:
    """No signal would come any more: whoever was killed in between left it to somebody else."""
    started = tmp_path / "started"
    command = bound_to_parent(("touch", str(started)))

    orphan = subprocess.run(("/bin/sh", "-c", '"$@"; exit $?', "sh", *command), check=False)
    assert orphan.returncode == 1
    assert not started.exists()

    subprocess.run(command, check=True)
    assert started.exists()
