"""Which certificate answers which name.

Envoy asks for a Secret by the name a client said (SNI), whatever listener it came to. So all
routers answer from one book; that is right as long as no two of them want different certificates
for one name. A router that contradicts another one leaves the book: its listeners list their
names themselves (filter chains), at the price that a change of them touches the listener.

Names of Secrets: `www.example.com` is what a client said; `router/*` stands for a client of that
router that said nothing; `=namespace/secret` is a certificate itself.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from onehop.model.certificate import Certificate, ServerName
from onehop.model.ident import CertificateId, RouterId

MAX_DEMANDED: Final = 20_000
"""Names answered at once; beyond it the oldest is taken back, and asked for again when needed.

Under a wildcard a client may invent names without end, and Envoy would keep a context for each.
"""


class StaticChain(NamedTuple):
    """Names that one certificate answers on a router which lists them itself; none: all others."""

    hostnames: tuple[str, ...]
    certificate: CertificateId


class BookChange(NamedTuple):
    """What a change of names or certificates reaches.

    Attributes:
        secrets: the ones Envoy asked for that may be different now.
        routers: the ones whose listeners list their names themselves, or did so before.
    """

    secrets: tuple[str, ...]
    routers: frozenset[RouterId]


class SecretBook:
    """The certificates, the names, and what Envoy asked for so far."""

    def __init__(self) -> None:
        self._certificates: dict[CertificateId, Certificate] = {}
        self._names: dict[str, dict[RouterId, CertificateId]] = {}
        self._contradicted: dict[RouterId, set[str]] = {}
        self._demanded: dict[str, CertificateId | None] = {}

    def put_certificate(self, certificate: Certificate) -> tuple[str, ...]:
        """Take a certificate; return the Secrets it changes."""
        self._certificates[certificate.id] = certificate
        return self._shown(certificate.id)

    def remove_certificate(self, certificate: CertificateId) -> tuple[str, ...]:
        """Drop a certificate; return the Secrets it changes."""
        self._certificates.pop(certificate, None)
        return self._shown(certificate)

    def put_name(self, name: ServerName) -> BookChange:
        """Take a name."""
        self._names.setdefault(name.hostname, {})[name.router] = name.certificate
        return self._after_change(name.router, name.hostname)

    def remove_name(self, router: RouterId, hostname: str) -> BookChange:
        """Drop a name."""
        self._names.get(hostname, {}).pop(router, None)
        return self._after_change(router, hostname)

    def demand(self, secret: str) -> tuple[str, ...]:
        """Note that Envoy asks for a Secret; return the ones to take back for it."""
        self._demanded.pop(secret, None)
        self._demanded[secret] = None
        surplus = len(self._demanded) - MAX_DEMANDED
        evicted = tuple(self._demanded)[:surplus] if surplus > 0 else ()
        for name in evicted:
            del self._demanded[name]
        return evicted

    def release(self, secret: str) -> None:
        """Note that Envoy asks for a Secret no more."""
        self._demanded.pop(secret, None)

    @property
    def demanded(self) -> int:
        """How many Secrets Envoy asks for."""
        return len(self._demanded)

    def resolve(self, secret: str) -> Certificate | None:
        """Return what the Secret holds, or None: then the handshake fails at once."""
        certificate = self._certificates.get(self._certificate_of(secret) or CertificateId(""))
        if secret in self._demanded:
            self._demanded[secret] = self._certificate_of(secret)
        return certificate

    def names_of(self, router: RouterId) -> tuple[StaticChain, ...]:
        """Return each name of a router by itself."""
        return tuple(
            StaticChain((hostname,) if hostname != "*" else (), routers[router])
            for hostname, routers in sorted(self._names.items())
            if router in routers
        )

    def static_chains(self, router: RouterId) -> tuple[StaticChain, ...]:
        """Return the chains of a router that contradicts another one; empty for all others."""
        if not self._contradicted.get(router):
            return ()
        by_certificate: dict[CertificateId, list[str]] = {}
        default: list[StaticChain] = []
        for hostname, routers in sorted(self._names.items()):
            certificate = routers.get(router)
            if certificate is None:
                continue
            if hostname == "*":
                default.append(StaticChain((), certificate))
            else:
                by_certificate.setdefault(certificate, []).append(hostname)
        chains = (StaticChain(tuple(names), cert) for cert, names in sorted(by_certificate.items()))
        return (*chains, *default)

    def _certificate_of(self, secret: str) -> CertificateId | None:
        if secret.startswith("="):
            return CertificateId(secret[1:])
        router, is_default, _ = secret.rpartition("/")
        if is_default:
            return self._names.get("*", {}).get(RouterId(router))
        said = secret.lower()
        _, _, parent = said.partition(".")
        for hostname in (said, f"*.{parent}", "*"):
            certificate = self._agreed(hostname)
            if certificate is not None:
                return certificate
        return None

    def _agreed(self, hostname: str) -> CertificateId | None:
        """Return what the routers in the book want for a name: they all want the same."""
        routers = self._names.get(hostname)
        return routers[min(routers, key=_precedence)] if routers else None

    def _after_change(self, router: RouterId, hostname: str) -> BookChange:
        routers = self._names.get(hostname, {})
        if not routers:
            self._names.pop(hostname, None)
        concerned = {router, *routers}
        static = {each for each in concerned if self._contradicted.get(each)}
        agreed = self._agreed(hostname)
        for each in concerned:
            contradicted = self._contradicted.setdefault(each, set())
            if routers.get(each, agreed) != agreed:
                contradicted.add(hostname)
            else:
                contradicted.discard(hostname)
        static |= {each for each in concerned if self._contradicted.get(each)}
        secrets = (name for name in self._candidates(hostname) if name in self._demanded)
        return BookChange(tuple(secrets), frozenset(static))

    def _candidates(self, hostname: str) -> Iterable[str]:
        if hostname == "*":
            return tuple(self._demanded)
        if hostname.startswith("*."):
            parent = hostname[2:]
            return tuple(
                name for name in self._demanded if name.lower().partition(".")[2] == parent
            )
        return (hostname,)

    def _shown(self, certificate: CertificateId) -> tuple[str, ...]:
        direct = f"={certificate}"
        shown = tuple(name for name, held in self._demanded.items() if held == certificate)
        return shown if direct in shown or direct not in self._demanded else (*shown, direct)


def _precedence(router: RouterId) -> tuple[bool, str]:
    """Order routers by who stays in the book: those shared by many objects have plain names."""
    return ("/" in router, router)
