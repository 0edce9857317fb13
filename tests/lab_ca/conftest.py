"""A test CA, and a load balancer of two sockets where it looks."""

from collections.abc import AsyncGenerator

import pytest

from onehop.acme.issuer import Issuer
from onehop.lab.ca import Ca, CaOptions, running_ca
from tests.acme.pebble import free_ports
from tests.acme.responder import LiveResponder, serving


@pytest.fixture
def responder() -> LiveResponder:
    return LiveResponder()


@pytest.fixture
def options() -> CaOptions:
    http, tls = free_ports(2)
    return CaOptions(http_port=http, tls_port=tls, patience_s=5.0)


@pytest.fixture
async def ca(options: CaOptions, responder: LiveResponder) -> AsyncGenerator[Ca]:
    """A CA as it is set up by `options`, with the responder in its place."""
    async with (
        serving(responder, http_port=options.http_port, tls_port=options.tls_port),
        running_ca(options) as running,
    ):
        yield running


@pytest.fixture
def issuer(ca: Ca) -> Issuer:
    return Issuer(name="ca", directory=ca.directory, ca_pem=ca.root_pem)
