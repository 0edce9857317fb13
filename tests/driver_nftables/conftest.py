"""The machines that tests of the kernel's rules happen on."""

from collections.abc import Generator

import pytest

from tests.driver_nftables.world import forwarding
from tests.net.crossroads import Crossroads


@pytest.fixture
def roads() -> Generator[Crossroads]:
    """Machines of a test's own."""
    with forwarding() as machines:
        yield machines


@pytest.fixture(scope="module")
def machines() -> Generator[Crossroads]:
    """Machines for all tests of a file, which take their rules away: see `swept`."""
    with forwarding() as roads:
        yield roads


@pytest.fixture
def swept(machines: Crossroads) -> Generator[Crossroads]:
    """The file's machines, without rules of ours afterwards."""
    yield machines
    machines.nft("add", "table", "inet", "onehop_l4")
    machines.nft("delete", "table", "inet", "onehop_l4")
