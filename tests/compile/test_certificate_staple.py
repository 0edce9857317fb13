"""What a CA says of a certificate, as hosts show it and owners hear of it."""

import base64
import datetime as dt
from typing import Final

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from onehop.cluster import Secret
from onehop.compile.compiler import Compiler
from onehop.compile.options import Options
from onehop.control.certificates.chain import read_chain
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate
from onehop.model.problem import Problem, Reason, Severity
from onehop.model.staple import Inquiry, Staple
from tests.compile.pem import key_pem
from tests.compile.test_compiler import CLASS, INGRESS, ingress, secret, service
from tests.stapling.ca import END, Ca, Party

OPTIONS: Final = Options(shared=(IpAddr("192.0.2.80"),))
CA: Final = Ca()
HOST: Final = "x.test"
URL: Final = "http://ocsp.example/"
PLAIN: Final = CA.leaf(HOST, URL)
STRICT: Final = CA.leaf(HOST, URL, must_staple=True)
STRICT_DER: Final = STRICT.certificate.public_bytes(Encoding.DER)


def holding(leaf: Party, *chain: Party) -> Secret:
    """Return the Secret of the host."""
    pem = "".join(each.pem for each in (leaf, *(chain or (CA,))))
    return secret(pem.encode(), leaf.key_pem.encode())


def compiler_with(held: Secret, options: Options = OPTIONS) -> Compiler:
    """Return a compiler whose one host names the Secret."""
    compiler = Compiler(options)
    for item in (CLASS, service(), ingress(), held):
        compiler.put(item)
    compiler.settle()
    return compiler


def shown(compiler: Compiler) -> Certificate | None:
    """Return what is shown."""
    return next(iter(compiler.model().certificates), None)


def staple(compiler: Compiler, said: Staple | None) -> None:
    """Let the CA say something of all that is asked about."""
    for inquiry in compiler.wanted_staples():
        compiler.set_staple(inquiry, said)
    compiler.settle()


def problem_of(compiler: Compiler) -> Problem:
    """Return what the owner is told."""
    (problem,) = compiler.problems_of(INGRESS)
    return problem


def test_who_is_asked_follows_from_what_is_shown() -> None:
    """A leaf with a URL and its issuer; it ends with the last Ingress."""
    compiler = compiler_with(holding(PLAIN))
    assert compiler.wanted_staples() == {Inquiry(url=URL, chain_pem=PLAIN.pem + CA.pem)}

    compiler.put(ingress(tls=None))
    compiler.settle()
    assert compiler.wanted_staples() == frozenset()


def test_the_answer_is_part_of_what_is_shown() -> None:
    """It comes, changes and goes; the certificate stays."""
    compiler = compiler_with(holding(PLAIN))
    for response in (b"one", b"two", None):
        staple(compiler, Staple(response=response))
        found = shown(compiler)
        assert found is not None
        assert found.ocsp == response
        assert compiler.problems_of(INGRESS) == ()


def test_an_owner_hears_of_a_revocation_and_of_the_end_before_it() -> None:
    """It is shown all the same; one that has ended needs no CA to be bad."""
    compiler = compiler_with(holding(PLAIN))
    staple(compiler, Staple(revoked_at=1_700_000_000))

    problem = problem_of(compiler)
    assert problem.reason is Reason.CERTIFICATE_REVOKED
    assert problem.severity is Severity.WARNING
    assert "2023-11-14T22:13:20+00:00" in problem.message
    assert len(compiler.model().server_names) == 1

    compiler.set_hour(int(END.timestamp()) + 60)
    compiler.settle()
    assert problem_of(compiler).reason is Reason.CERTIFICATE_EXPIRED


@pytest.mark.parametrize(
    ("held", "options", "why"),
    [
        (holding(STRICT), OPTIONS, "its CA has not been asked yet"),
        (holding(STRICT, STRICT), OPTIONS, "lacks the certificate of its issuer"),
        (holding(CA.leaf(HOST, must_staple=True)), OPTIONS, "it names no OCSP responder"),
        (
            holding(STRICT),
            msgspec.structs.replace(OPTIONS, staples=False),
            "tls.ocspStapling of onehop.yaml is off",
        ),
    ],
)
def test_one_that_demands_an_answer_is_not_shown_without(
    held: Secret, options: Options, why: str
) -> None:
    """The owner is told why there is none."""
    compiler = compiler_with(held, options)

    assert shown(compiler) is None
    problem = problem_of(compiler)
    assert (problem.reason, problem.severity) == (Reason.STAPLE_MISSING, Severity.ERROR)
    assert why in problem.message


def test_until_its_answer_is_there_the_one_before_it_is_shown() -> None:
    """With its own answer, which is kept fresh meanwhile."""
    compiler = compiler_with(holding(PLAIN))
    staple(compiler, Staple(response=b"of the old one"))
    compiler.put(holding(STRICT))
    compiler.settle()
    old, new = sorted(compiler.wanted_staples(), key=lambda each: STRICT.pem in each.chain_pem)

    compiler.set_staple(old, Staple(response=b"newer, of the old one"))
    compiler.set_staple(new, Staple(why="http://ocsp.example/ answered 503"))
    compiler.settle()

    found = shown(compiler)
    assert found is not None
    assert (found.chain_pem, found.ocsp) == (PLAIN.pem + CA.pem, b"newer, of the old one")
    assert "answered 503; the last good one is still shown" in problem_of(compiler).message

    compiler.set_staple(new, Staple(response=b"of the new one"))
    compiler.settle()
    found = shown(compiler)
    assert found is not None
    assert (found.chain_pem, found.ocsp) == (STRICT.pem + CA.pem, b"of the new one")
    assert compiler.problems_of(INGRESS) == ()


def test_when_its_answer_runs_out_it_stays_and_the_owner_is_told() -> None:
    """There is nothing better to show, and the data plane knows that it has run out."""
    compiler = compiler_with(holding(STRICT))
    staple(compiler, Staple(response=b"good"))
    assert compiler.problems_of(INGRESS) == ()

    staple(compiler, Staple(why="its last answer has run out"))

    found = shown(compiler)
    assert found is not None
    assert found.ocsp == b"good"
    problem = problem_of(compiler)
    assert (problem.reason, problem.severity) == (Reason.STAPLE_MISSING, Severity.WARNING)


@pytest.mark.parametrize("fault", ["an extension twice", "no such version"])
def test_a_certificate_that_is_nonsense_inside_raises_nothing(fault: str) -> None:
    """A tenant writes it, and everybody else's hosts hang on the same compiler."""
    der = _with_two_names()
    if fault == "an extension twice":
        der = der.replace(b"\x06\x03\x55\x1d\x12", b"\x06\x03\x55\x1d\x11")
    else:
        der = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
    pem = f"-----BEGIN CERTIFICATE-----\n{_base64(der)}-----END CERTIFICATE-----\n"
    compiler = compiler_with(secret(pem.encode(), key_pem(HOST)))

    assert problem_of(compiler).reason is Reason.CERTIFICATE_INVALID


@pytest.mark.filterwarnings("ignore:Parsed a:UserWarning")  # negative serial numbers
@given(st.lists(st.tuples(st.integers(0, len(STRICT_DER) - 1), st.integers(1, 255)), max_size=3))
@example([(STRICT_DER.index(b"\x30\x03\x02\x01\x05") + 4, 1)])  # a TLS feature that there is not
def test_no_changed_bytes_of_a_certificate_raise_anything(changes: list[tuple[int, int]]) -> None:
    """It is served, or its Ingress is told; the extensions are those that are looked into."""
    der = bytearray(STRICT_DER)
    for place, by in changes:
        der[place] ^= by
    pem = f"-----BEGIN CERTIFICATE-----\n{_base64(bytes(der))}-----END CERTIFICATE-----\n"

    compiler = compiler_with(secret((pem + CA.pem).encode(), STRICT.key_pem.encode()))

    found = shown(compiler)
    assert compiler.problems_of(INGRESS) or found is not None
    if found is not None:
        read_chain(found)


def _with_two_names() -> bytes:
    """Return a certificate for the host's key, with subject and issuer alternative names."""
    public = load_pem_private_key(key_pem(HOST), None).public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    names = [x509.DNSName(HOST)]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)  # type: ignore[arg-type]  # an EC key
        .serial_number(7)
        .not_valid_before(dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(END)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.IssuerAlternativeName(names), critical=False)
        .sign(CA.key, SHA256())
        .public_bytes(Encoding.DER)
    )


def _base64(data: bytes) -> str:
    return base64.encodebytes(data).decode("ascii")
