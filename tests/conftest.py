"""What all tests share: nothing of onehop may wait for anybody but on the event loop."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

# How long an example takes to be drawn says how busy the machine is, and nothing of the code.
settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")


@pytest.fixture(autouse=True)
def blocking_calls() -> Iterator[BlockBuster]:
    """Let onehop fail where it sleeps, or waits for a socket or a process, on an event loop.

    Local files are let be: they are looked at when something starts, and ruff's ASYNC rules make
    whoever reads one elsewhere say why. So are locks: gRPC holds its own for microseconds.
    """
    with blockbuster_ctx(scanned_modules=["onehop"]) as detector:
        for name, function in detector.functions.items():
            if name.startswith(("os.", "io.", "threading.")):
                function.deactivate()
        yield detector


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A directory with a short name, for programs that put sockets into one of their own."""
    with tempfile.TemporaryDirectory(prefix="oh-", dir="/tmp") as folder:
        yield Path(folder)
