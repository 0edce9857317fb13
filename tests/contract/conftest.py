"""What the suites of the contract are run on."""

import pytest

from tests.contract.drivers import TRAFFIC, RunningDriver


@pytest.fixture(params=TRAFFIC, ids=lambda each: each.__name__)
def serving(request: pytest.FixtureRequest) -> RunningDriver:
    """A data plane that requests can be sent through."""
    chosen: RunningDriver = request.param
    return chosen


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a HAProxy or needs the kernel, so that it can be left out."""
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            chosen = {getattr(each, "__name__", "") for each in item.callspec.params.values()}
            if "haproxy" in chosen:
                item.add_marker(pytest.mark.haproxy)
            if "nftables" in chosen:
                item.add_marker(pytest.mark.root)
