"""What the tests of Gateway API are run on."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.compile_gateway.planes import Stand, standing


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(request: pytest.FixtureRequest) -> AsyncGenerator[Stand]:
    """A data plane that all tests of a module share, one after another."""
    async with standing(request.param) as stand:
        yield stand
