"""Which virtual hosts there are by the Ingresses' own wish, before anything is put into them."""

from collections.abc import Iterator
from typing import Final

from onehop.compile.ingress import ANY_HOST, INGRESS_INTENTS, IngressIntent
from onehop.compile.router import PLAIN_ROUTER, TLS_ROUTER, HostKey
from onehop.compile.sheet import Index, Reader
from onehop.model.ident import ObjectRef


def plain_host_for(reader: Reader, hostname: str) -> HostKey:
    """Return the host that takes plain requests for a name; `*` does, be it there or not."""
    keys = (HostKey(PLAIN_ROUTER, name) for name in _names_for(hostname))
    found = (key for key in keys if reader.any(HOST_KEYS, key) is not None)
    return next(found, HostKey(PLAIN_ROUTER, ANY_HOST))


def _names_for(hostname: str) -> Iterator[str]:
    """Yield the names of hosts that fit, in the order in which data planes try them.

    A `*.` takes any number of labels there; see `Labels` for how an Ingress's takes one.
    """
    yield hostname
    _, dot, parent = hostname.partition(".")
    while dot:
        yield f"*.{parent}"
        _, dot, parent = parent.partition(".")


def _keys(_ref: ObjectRef, intent: IngressIntent) -> set[HostKey]:
    """Return the hosts an Ingress has a say in: on HTTPS only those it has a certificate for."""
    plain = {HostKey(PLAIN_ROUTER, claim.hostname) for claim in intent.claims}
    secure = {HostKey(TLS_ROUTER, claim.hostname) for claim in intent.claims if claim.secure}
    if intent.default is not None:
        plain.add(HostKey(PLAIN_ROUTER, ANY_HOST))
        secure.add(HostKey(TLS_ROUTER, ANY_HOST))
    return plain | secure


HOST_KEYS: Final = Index[ObjectRef, IngressIntent, HostKey](INGRESS_INTENTS, "host-key", _keys)
