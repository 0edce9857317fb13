"""What the suites of the contract are run on."""

import pytest

from tests.contract.drivers import TRAFFIC, RunningDriver


@pytest.fixture(params=TRAFFIC, ids=lambda each: each.__name__)
def serving(request: pytest.FixtureRequest) -> RunningDriver:
    """A data plane that requests can be sent through."""
    chosen: RunningDriver = request.param
    return chosen
