"""A CA with a load balancer that it can look at, and a proxy between it and us."""

from collections.abc import AsyncGenerator, Generator

import pytest

from tests.acme.pebble import Pebble, running_pebble
from tests.acme.proxy import Proxy, proxied
from tests.acme.responder import LiveResponder, serving


@pytest.fixture
def responder() -> LiveResponder:
    return LiveResponder()


@pytest.fixture(scope="session")
def shared_pebble(tmp_path_factory: pytest.TempPathFactory) -> Generator[Pebble]:
    """A CA that works at full speed and rejects nothing; each test has its own account there."""
    with running_pebble(tmp_path_factory.mktemp("pebble")) as running:
        yield running


@pytest.fixture
async def pebble(shared_pebble: Pebble, responder: LiveResponder) -> AsyncGenerator[Pebble]:
    """The CA, with the responder where it looks."""
    ports = {"http_port": shared_pebble.http_port, "tls_port": shared_pebble.tls_port}
    async with serving(responder, **ports):
        yield shared_pebble


@pytest.fixture
async def proxy(pebble: Pebble) -> AsyncGenerator[Proxy]:
    """The CA with a proxy before it."""
    async with proxied(pebble) as running:
        yield running
