"""Whom a context believes, by handshakes in memory."""

import ssl
from pathlib import Path

import pytest

from onehop.base.trust import trusting
from tests.acme.minica import make_ca


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Make a handshake; raises what the client has against the server."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)


def test_a_certificate_without_key_identifiers_is_believed(tmp_path: Path) -> None:
    """If its CA is the one that was named, on every Python."""
    ca = make_ca(tmp_path, is_identified=False)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(ca.certificate, ca.key)
    (tmp_path / "ca.pem").write_text(ca.ca_pem)

    shake_hands(trusting(ca_pem=ca.ca_pem), server)
    shake_hands(trusting(ca_file=tmp_path / "ca.pem"), server)


def test_nobody_else_is_believed(tmp_path: Path) -> None:
    """Neither for another CA, nor for those of the system."""
    (tmp_path / "other").mkdir()
    ca, other = make_ca(tmp_path), make_ca(tmp_path / "other")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(ca.certificate, ca.key)

    for client in (trusting(ca_pem=other.ca_pem), trusting()):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(client, server)
