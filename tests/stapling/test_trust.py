"""A tenant's certificate does not send this host anywhere."""

import datetime as dt
from pathlib import Path
from typing import Final

import pytest

from onehop.compile.staple import inquiry_of
from onehop.control.stapling.trust import Trust, origin_of, system_roots
from onehop.model.staple import Inquiry
from tests.stapling.ca import Ca, certificate_of

NOW: Final = dt.datetime(2026, 11, 23, tzinfo=dt.UTC).timestamp()
TRUSTED: Final = Ca("Trusted CA")
TENANT: Final = Ca("Tenant's CA")
URL: Final = "http://ocsp.example/"


def inquiry(ca: Ca, url: str = URL, host: str = "www.example") -> Inquiry:
    """Return the inquiry of a leaf that this CA has signed."""
    found = inquiry_of(certificate_of(ca.leaf(host, url), ca).chain_pem)
    assert found is not None
    return found


def objection(asked: Inquiry, *responders: str) -> str | None:
    """Return why it is not asked."""
    return Trust(responders, lambda: (TRUSTED.certificate,)).objection(asked, now=NOW)


@pytest.mark.parametrize("host", ["www.example", "*.wild.example"])
def test_what_a_trusted_ca_has_signed_is_asked(host: str) -> None:
    """It is who wrote the URL, wherever that leads: to 10.0.0.0/8 as well, in a company."""
    assert objection(inquiry(TRUSTED, host=host)) is None
    assert objection(inquiry(TRUSTED, "http://10.1.2.3:8080/ocsp", host)) is None


def test_what_a_tenants_ca_has_signed_is_not_asked() -> None:
    """Anybody can make a certificate that names any URL."""
    told = objection(inquiry(TENANT))

    assert told is not None
    assert "tls.ocspResponders" in told
    assert "http://ocsp.example" in told


def test_the_operator_may_name_a_responder() -> None:
    """By scheme, host and port, and no other port of it."""
    asked = inquiry(TENANT, "http://OCSP.corp.example:8080/x")

    assert objection(asked, "http://ocsp.corp.example:8080") is None
    assert objection(asked, "http://ocsp.corp.example") is not None
    assert objection(asked, "https://ocsp.corp.example:8080") is not None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.9.9.9:9080/",
        "http://[::1]/",
        "http://localhost/",
        "http://169.254.169.254/latest/",
        "http://[fe80::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://0.0.0.0/",
    ],
)
def test_this_host_and_its_link_are_not_asked_whoever_says_so(url: str) -> None:
    """But for the operator."""
    told = objection(inquiry(TRUSTED, url))

    assert told is not None
    assert "is this host or on its link" in told
    assert objection(inquiry(TRUSTED, url), url.removesuffix("/latest/").removesuffix("/")) is None


@pytest.mark.parametrize(
    "url",
    ["ldap://x/", "file:///etc/shadow", "http://", "http://user:pw@x/", "http://x:99999/", "x", ""],
)
def test_only_http_is_asked(url: str) -> None:
    """A URL may be anything; nothing of it is passed on."""
    assert origin_of(url) is None
    assert objection(Inquiry(url=url, chain_pem="")) is not None


def test_an_origin_is_what_is_between_the_slashes() -> None:
    """In lower case, without the port that goes without saying."""
    assert origin_of("HTTP://Ocsp.Example:80/a?b") == "http://ocsp.example"
    assert origin_of("https://[2001:db8::1]:8443/x") == "https://[2001:db8::1]:8443"


def test_without_roots_nobody_is_trusted() -> None:
    """A machine without ca-certificates asks only whom the operator names."""
    assert Trust().objection(inquiry(TRUSTED), now=NOW) is not None


def test_the_roots_of_this_machine_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenSSL finds them: a file, else a directory; what is no certificate is passed over."""
    folder = tmp_path / "certs"
    folder.mkdir()
    bundle = folder / "bundle.pem"
    bundle.write_text(TRUSTED.pem + TENANT.pem)
    (folder / "README").write_text("no certificate")
    both = {TRUSTED.certificate, TENANT.certificate}

    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert set(system_roots()) == both

    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "absent"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    assert set(system_roots()) == both

    monkeypatch.setenv("SSL_CERT_DIR", str(folder / "absent"))
    assert system_roots() == ()
