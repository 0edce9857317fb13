"""A name for a lab of this run, and the proof that nothing of it is left."""

import os
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from onehop.lab.world import down


@pytest.fixture
async def name() -> AsyncGenerator[str]:
    """Return a name that nobody else has; whatever the test does, its lab is gone after it."""
    chosen = f"t{os.getpid()}"
    links = _links()
    try:
        yield chosen
    finally:
        await down(chosen)
    assert remains(chosen) == []
    assert _links() == links


def remains(name: str) -> list[str]:
    """Return what is left of a lab: namespaces, files, processes."""
    found = [str(file) for file in Path("/run/netns").glob(f"{name}-*")]
    found += [str(file) for file in Path("/run/onehop-lab").glob(name)]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(f"/{name}/" in word or f"{name}-" in word for word in words):
            found.append(" ".join(words))
    return found


def _links() -> set[str]:
    said = subprocess.run(["ip", "-brief", "link"], check=True, capture_output=True, text=True)
    return {line.split()[0] for line in said.stdout.splitlines()}
