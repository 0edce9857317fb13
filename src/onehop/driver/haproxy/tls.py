"""Certificates as files, and the lists that say who is shown which (`crt-list`).

Every server name of a listener has a file of its own, though many may hold the same certificate: so
a line is known by its file, and a name or its certificate comes, changes and goes by the runtime
API without touching another one.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from onehop.driver.haproxy import word
from onehop.driver.haproxy.place import Place
from onehop.model.certificate import Certificate, ServerName
from onehop.model.ident import CertificateId
from onehop.model.listener import ClientCheck, ForwardHttp, TlsPolicy
from onehop.model.model import RowKey, key_of

_SUITES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""Mozilla, "Server Side TLS", 5.7."""


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
    def text(self) -> str:
        """The line as it stands in a list."""
        return " ".join(part for part in (self.file, self.options, self.names) if part)


class Shown(NamedTuple):
    """The certificates of listeners.

    Attributes:
        lists: the lines by the path of the list.
        files: the contents by path; they hold private keys.
        with_default: names of lists that have a certificate for any name.
        owners: whose certificate a file holds.
    """

    lists: dict[str, tuple[Line, ...]]
    files: dict[str, str]
    with_default: set[str]
    owners: dict[str, RowKey]


def certificate_list(frontend: str) -> str:
    """Return the name of the list of a listener's certificates."""
    return f"l-{frontend}"


def challenge_list(frontend: str) -> str:
    """Return the name of the list of what CAs are shown."""
    return f"a-{frontend}"


def bind_options(policy: TlsPolicy) -> Iterator[str]:
    """Yield the options of a socket that ends TLS."""
    yield "alpn h2,http/1.1"
    if policy is TlsPolicy.MODERN:
        yield "ssl-min-ver TLSv1.3"
        return
    yield f"ssl-min-ver TLSv1.2 ciphers {':'.join(_SUITES)} prefer-client-ciphers"


def pair_of(certificate: Certificate) -> str:
    """Return what a certificate's file holds.

    Raises:
        Unfit: it is not PEM.
    """
    return word.pem(certificate.chain_pem) + word.pem(certificate.key_pem.reveal)


def show(
    frontend: str,
    handler: ForwardHttp,
    names: Iterable[ServerName],
    certificates: Mapping[CertificateId, Certificate],
    place: Place,
) -> Shown:
    """Return the certificates of one listener that ends TLS.

    Args:
        frontend: its name.
        handler: what it serves.
        names: those of its router.
        certificates: all that there are; a name without one is passed over.
        place: where the files are.
    """
    shown = Shown({}, {}, set(), {})
    by_name = {each.hostname: each for each in names if each.certificate in certificates}
    lines: list[Line] = []
    if "*" in by_name:  # the first of a list is shown where no name fits
        shown.with_default.add(certificate_list(frontend))
        lines.append(_add(shown, frontend, "*", certificates[by_name["*"].certificate], place))
    checks = {check.hostname: check for check in handler.client_checks}
    for hostname in sorted({*by_name, *checks} - {"*"}):
        name = _name_for(hostname, by_name)
        if name is None:
            continue
        line = _add(shown, frontend, hostname, certificates[name.certificate], place)
        if hostname in checks:
            line = line._replace(options=_demand(shown, frontend, checks[hostname], place))
        lines.append(line)
    shown.lists[place.list(certificate_list(frontend))] = tuple(lines)
    if handler.challenges:
        shown.lists[place.list(challenge_list(frontend))] = tuple(
            _add(shown, f"acme-{frontend}", each.hostname, certificates[each.certificate], place)
            for each in handler.challenges
            if each.certificate in certificates
        )
    return shown


def _add(
    shown: Shown, frontend: str, hostname: str, certificate: Certificate, place: Place
) -> Line:
    file = place.pem(word.name_of("n", f"{hostname}@{frontend}"))
    shown.files[file] = pair_of(certificate)
    shown.owners[file] = key_of(certificate)
    return Line(file, "!*" if hostname == "*" else word.host(hostname))


def _demand(shown: Shown, frontend: str, check: ClientCheck, place: Place) -> str:
    file = place.pem(word.name_of("ca", f"{check.hostname}@{frontend}"))
    shown.files[file] = word.pem(check.ca_pem)
    return f"[verify {'required' if check.is_required else 'optional'} ca-file {file}]"


def _name_for(hostname: str, by_name: Mapping[str, ServerName]) -> ServerName | None:
    tried = (hostname, f"*.{hostname.partition('.')[2]}", "*")
    return next((by_name[name] for name in tried if name in by_name), None)
