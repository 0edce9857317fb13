"""A host whose certificate carries its CA's OCSP answer, for whichever data plane shows it."""

import datetime as dt
from typing import Final

import msgspec

from onehop.model.certificate import Certificate, ServerName
from onehop.model.listener import ForwardHttp
from onehop.model.model import Row
from onehop.model.route import Respond
from tests.driver_envoy.world import HTTPS, host, listener, route
from tests.stapling.ca import Ca, Party, certificate_of

NAME: Final = "www.a.example"
CA: Final = Ca()


def rows(certificate: Certificate, port: int) -> tuple[Row, ...]:
    """Return a host that shows a certificate."""
    return (
        certificate,
        ServerName(router=HTTPS, hostname=NAME, certificate=certificate.id),
        listener(port, ForwardHttp(router=HTTPS, tls=True)),
        host(NAME, route(Respond(status=200)), router=HTTPS),
    )


def stapled(leaf: Party, response: bytes | None) -> Certificate:
    return msgspec.structs.replace(certificate_of(leaf, CA), ocsp=response)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)
