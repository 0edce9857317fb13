"""A scripted server for each test that asks for one."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from onehop.kube import Client
from tests.kube.scripted import Scripted, client_of, scripted


@pytest.fixture
async def server() -> AsyncGenerator[Scripted]:
    async with scripted() as server:
        yield server


@pytest.fixture
async def client(server: Scripted, tmp_path: Path) -> AsyncGenerator[Client]:
    async with client_of(server, tmp_path) as client:
        yield client
