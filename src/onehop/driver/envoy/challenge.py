"""The chains for CAs that look at a host by TLS-ALPN-01 (RFC 8737).

A CA offers ALPN `acme-tls/1` alone, which nobody else does. Envoy chooses a chain by the name first
and by the protocol after it, and never goes back: a chain for `www.example.com` and `acme-tls/1`
alone would leave browsers that ask for www.example.com without any. A twin for them would have its
connections drained when the challenge is over. So a challenge's chain stands beside the chain that
takes the name already, for the same names; all challenges with the same neighbour share a chain,
and Envoy picks the certificate by the name (SNI). Where the neighbour is a wildcard's (a router
that lists its names, or TLS passed through), it takes a CA's question for other names of the
wildcard too: for as long as a challenge lasts, and no client's.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from onehop.driver.envoy.accesslog import render_access_log
from onehop.driver.envoy.listener import Chain
from onehop.driver.envoy.proto import TcpProxy, extension, wrapped
from onehop.driver.envoy.tls import ACME_TLS, challenge_socket
from onehop.driver.envoy.udpshare import NOBODY
from onehop.model.certificate import Certificate
from onehop.model.ident import CertificateId
from onehop.model.listener import TlsChallenge


def challenge_chains(
    challenges: Iterable[TlsChallenge],
    beside: Iterable[Chain],
    certificates: Callable[[CertificateId], Certificate | None],
    access_log: str | None = None,
    *,
    redact: bool = False,
) -> Iterator[Chain]:
    """Yield the chains for challenges.

    Args:
        challenges: sorted by name.
        beside: all other chains of the listener.
        certificates: returns a certificate; a challenge without one is passed over.
        access_log: see `EnvoyOptions.access_log`.
        redact: shows fingerprints in place of keys.
    """
    taken = {name for chain in beside for name in chain.server_names}
    shown: dict[tuple[str, ...], list[Certificate]] = {}
    for challenge in challenges:
        certificate = certificates(challenge.certificate)
        if certificate is not None:
            shown.setdefault(_taker(challenge.hostname, taken), []).append(certificate)
    for names, them in shown.items():
        socket = challenge_socket(them, redact=redact)
        yield Chain(names, socket, (_hang_up(access_log),), (ACME_TLS,))


def _taker(hostname: str, taken: set[str]) -> tuple[str, ...]:
    """Return the names of the chain that Envoy would give a connection to; none: the last one."""
    if hostname in taken:
        return (hostname,)
    _, dot, parent = hostname.partition(".")
    while dot:
        if f"*.{parent}" in taken:
            return (f"*.{parent}",)
        _, dot, parent = parent.partition(".")
    return ()


def _hang_up(access_log: str | None) -> dict[str, Any]:
    """Return the filter that closes a connection once the handshake is done.

    There is no filter for that alone; this one finds nobody to pass the connection on to.
    """
    proxy = TcpProxy(
        stat_prefix="acme",
        cluster=NOBODY,
        upstream_connect_mode="ON_DOWNSTREAM_TLS_HANDSHAKE",
        max_early_data_bytes=wrapped(0),
        access_log=render_access_log(access_log, is_http=False),
    )
    return extension("envoy.filters.network.tcp_proxy", proxy)
