"""Certificates as files, and the lists that say who is shown which (`crt-list`).

Every server name of a listener has a file of its own, though many may hold the same certificate: so
a line is known by its file, and a name or its certificate comes, changes and goes by the runtime
API without touching another one.
"""

from typing import Final, NamedTuple

from onehop.driver.haproxy import word
from onehop.driver.haproxy.place import Place
from onehop.model.certificate import Certificate
from onehop.model.listener import ClientCheck, PortCheck, TlsPolicy

_SUITES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""Mozilla, "Server Side TLS", 5.7."""

_NOBODY: Final = "!*"


class Line(NamedTuple):
    """A line of a list.

    Attributes:
        file: the path of the certificate.
        options: what its connections need besides; in brackets.
        names: who is shown it; `!*` says nobody in particular.
    """

    file: str
    names: str
    options: str = ""

    @property
    def is_default(self) -> bool:
        """Whether it is shown where no name fits; it is the first of its list then."""
        return self.names == _NOBODY

    @property
    def text(self) -> str:
        """The line as it stands in a list."""
        return " ".join(part for part in (self.file, self.options, self.names) if part)


class Shown(NamedTuple):
    """What a listener shows.

    Attributes:
        lines: of one list, by the file that they name.
        files: by path; most hold private keys.
        staples: what CAs say of certificates, in DER, by the path of the certificate.
    """

    lines: dict[str, Line]
    files: dict[str, str]
    staples: dict[str, bytes]


def certificate_list(frontend: str) -> str:
    """Return the name of the list of a listener's certificates."""
    return f"l-{frontend}"


def challenge_list(frontend: str) -> str:
    """Return the name of the list of what CAs are shown."""
    return f"a-{frontend}"


def bind_options(policy: TlsPolicy) -> str:
    """Return the options by which a socket ends TLS as a policy wants."""
    if policy is TlsPolicy.MODERN:
        return "ssl-min-ver TLSv1.3"
    return f"ssl-min-ver TLSv1.2 ciphers {':'.join(_SUITES)} prefer-client-ciphers"


def check_options(frontend: str, check: PortCheck, place: Place) -> str:
    """Return the options by which all clients of a socket are asked for certificates.

    Where none is required, a bad one is as good as none: nobody is told what was shown.
    """
    asked = f"ca-file {clients_ca_file(frontend, place)} verify"
    if check.is_required:
        return f"{asked} required"
    return f"{asked} optional ca-ignore-err all crt-ignore-err all"


def clients_ca_file(frontend: str, place: Place) -> str:
    """Return where the CAs are by which all clients of a listener are checked."""
    return place.pem(word.name_of("ca", frontend))


def pair_of(certificate: Certificate) -> str:
    """Return what a certificate's file holds.

    Raises:
        Unfit: it is not PEM.
    """
    return word.pem(certificate.chain_pem) + word.pem(certificate.key_pem.reveal)


def show_name(frontend: str, hostname: str, certificate: Certificate, place: Place) -> Shown:
    """Return what a listener shows for a server name."""
    file = certificate_file(frontend, hostname, place)
    names = _NOBODY if hostname == "*" else word.host(hostname)
    staples = {} if certificate.ocsp is None else {file: certificate.ocsp}
    return Shown({file: Line(file, names)}, {file: pair_of(certificate)}, staples)


def show_checked(
    frontend: str, check: ClientCheck, certificate: Certificate, place: Place
) -> Shown:
    """Return what a listener shows for a host whose clients are asked for certificates."""
    shown = show_name(frontend, check.hostname, certificate, place)
    ca = place.pem(word.name_of("ca", f"{check.hostname}@{frontend}"))
    verify = f"[verify {'required' if check.is_required else 'optional'} ca-file {ca}]"
    lines = {file: line._replace(options=verify) for file, line in shown.lines.items()}
    return Shown(lines, {**shown.files, ca: word.pem(check.ca_pem)}, shown.staples)


def challenger(frontend: str) -> str:
    """Return the name under which a listener shows CAs what they ask for."""
    return f"acme-{frontend}"


def certificate_file(frontend: str, hostname: str, place: Place) -> str:
    """Return where the certificate is that a listener shows for a server name."""
    return place.pem(word.name_of("n", f"{hostname}@{frontend}"))


def staple_file(file: str) -> str:
    """Return where HAProxy looks for what the CA says of a certificate (the manual's `crt`)."""
    return f"{file}.ocsp"


def names_for(hostname: str) -> tuple[str, ...]:
    """Return the server names whose certificates fit a host, the best one first."""
    return (hostname, f"*.{hostname.partition('.')[2]}", "*")
