"""An in-memory API that knows nothing of Gateway API yet."""

from collections.abc import AsyncGenerator

import pytest

from onehop.lab.api import Server, serve
from tests.source_kubernetes.world import store_of_three


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    async with serve(store_of_three()) as server:
        yield server
