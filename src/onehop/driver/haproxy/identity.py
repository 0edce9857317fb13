"""The certificates that endpoints are shown.

A server's line names the file of one, and HAProxy must have it in memory before such a server comes
by the runtime API. There a certificate is told like any other, so its coming and its renewal need
no reload; for a start or a reload, servers that never serve stand in a section of their own.
"""

from collections.abc import Iterable, Iterator

from onehop.driver.haproxy import word
from onehop.driver.haproxy.place import Place
from onehop.model.ident import CertificateId


def identity_file(certificate: CertificateId, place: Place) -> str:
    """Return where a certificate is that endpoints are shown."""
    return place.pem(word.name_of("i", certificate))


def identity_option(file: str) -> str:
    """Return the option of a server that is shown it."""
    return f"crt {file}"


def identity_of(options: str) -> str:
    """Return the file that a server's options name; empty if they name none."""
    return options.partition(" crt ")[2].partition(" ")[0]


def keeping_sections(files: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the section that has certificates in memory, where there are any."""
    lines = tuple(
        f"server keeps-{number} 127.0.0.1:1 disabled ssl verify none {identity_option(file)}"
        for number, file in enumerate(sorted(files))
    )
    if lines:
        yield "backend t-identities", lines
