"""What the stories of moving happen in."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A directory with a short name, for programs that put sockets into one of their own."""
    with tempfile.TemporaryDirectory(prefix="ohm-", dir="/tmp") as folder:
        yield Path(folder)
