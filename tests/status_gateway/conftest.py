"""Fixtures of the tests of Gateway API's statuses."""

from collections.abc import AsyncGenerator

import pytest

from tests.status_gateway.stage import GatewayStage, gateway_stage


@pytest.fixture
async def stage() -> AsyncGenerator[GatewayStage]:
    """An in-memory cluster with Gateway API."""
    async with gateway_stage() as made:
        yield made
