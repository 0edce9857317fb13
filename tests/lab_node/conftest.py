"""Fixtures of the tests of the node agent."""

from collections.abc import AsyncGenerator, Iterator

import pytest

from tests.lab_node.world import Lab, lab, network, prefix_of_this_run


@pytest.fixture
def wires() -> Iterator[str]:
    """Give the prefix of namespaces that are wired up, and be in the one of the bridge."""
    prefix = prefix_of_this_run()
    with network(prefix):
        yield prefix


@pytest.fixture
async def world(wires: str) -> AsyncGenerator[Lab]:
    """Give two nodes and the API that knows of them; no agent runs yet."""
    async with lab(wires) as made:
        yield made
