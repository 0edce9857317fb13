"""Fixtures of the tests of writing back."""

from collections.abc import AsyncIterator

import pytest

from tests.status.stage import Stage, staged


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """An empty in-memory cluster."""
    async with staged() as made:
        yield made
