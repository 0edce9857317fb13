"""Listeners whose TLS is not theirs alone: others of the port have hostnames in common with them.

`apis/v1/gateway_types.go`, ListenerConditionOverlappingTLSConfig: "Controllers MUST detect the
presence of overlapping hostnames", for clients that reuse a connection for another name that its
certificate is valid for (RFC 9113, section 9.1.1) meet the TLS of the other listener (GEP-3567).
That certificates overlap where hostnames do not is left untold: "MAY detect".
"""

from collections.abc import Iterable
from typing import TypeAlias

from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.compile.gateway.hostname import names_over
from onehop.compile.gateway.listener import ListenerIntent, Listening

_Name: TypeAlias = tuple[int, str]


def overlapping(listeners: Iterable[ListenerIntent]) -> frozenset[Listening]:
    """Return which of the served listeners of a Gateway end the TLS of names of others as well."""
    ending = {
        (each.port, each.hostname): each.id
        for each in listeners
        if each.ends_tls and each.is_accepted
    }
    found: set[_Name] = set()
    for port, hostname in ending:
        over = {(port, name) for name in names_over(hostname) if name != hostname}
        wider = over & ending.keys()
        if wider:
            found |= {(port, hostname), *wider}
    return frozenset(ending[name] for name in found)


def told_of_overlap(port: int) -> Saying:
    """Return what is said of such a listener; whose the others are is not, it may be a stranger."""
    message = (
        f"another listener of port {port} ends TLS for names of this one, or the other way round;"
        " clients that reuse a connection may meet the certificate of the wrong one"
    )
    return Saying("OverlappingTLSConfig", Truth.TRUE, "OverlappingHostnames", message)
