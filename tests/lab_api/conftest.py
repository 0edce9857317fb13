"""Fixtures of the tests of the lab's API."""

import pytest

from onehop.lab.api import Store
from tests.lab_api.objects import Clock, make_store


@pytest.fixture
def clock() -> Clock:
    """A clock that the test turns."""
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    """A Store with namespace shop, a standing clock and foreseeable chance."""
    return make_store(clock=clock)
