"""A certificate that ends soon is told of while there is time."""

from datetime import timedelta
from typing import Final

import pytest

from onehop.compile.compiler import Compiler
from onehop.compile.options import Options
from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef
from onehop.model.problem import Reason, Severity
from tests.compile.pem import BEGIN, END, chain_pem, key_pem
from tests.compile.test_compiler import CLASS, INGRESS, ingress, secret, service

OPTIONS: Final = Options(shared=(IpAddr("192.0.2.80"),))
SECRET: Final = ObjectRef("Secret", "shop", "tls")
HOST: Final = "x.test"


def compiler_with(lifetime: timedelta) -> Compiler:
    """Return a compiler whose one host shows a certificate that lives this long."""
    compiler = Compiler(OPTIONS)
    chain = chain_pem(HOST, end=BEGIN + lifetime)
    for item in (CLASS, service(), ingress(), secret(chain, key_pem(HOST))):
        compiler.put(item)
    return compiler


def reasons_after(compiler: Compiler, age: timedelta) -> list[Reason]:
    """Return what is wrong with the Ingress when the certificate is that old."""
    compiler.set_hour(int((BEGIN + age).timestamp()))
    compiler.settle()
    return [problem.reason for problem in compiler.problems_of(INGRESS)]


@pytest.mark.parametrize(
    ("lifetime", "warned"),
    [
        (timedelta(days=365), timedelta(days=14)),
        (timedelta(days=90), timedelta(days=14)),
        (timedelta(days=47), timedelta(days=47) / 6),
        (timedelta(hours=160), timedelta(hours=160) / 6),
        (timedelta(hours=24), timedelta(hours=4)),
    ],
)
def test_the_owner_is_warned_when_whoever_renews_is_late(
    lifetime: timedelta, warned: timedelta
) -> None:
    """Fourteen days before the end, or a sixth of a short lifetime; then it has ended."""
    compiler = compiler_with(lifetime)
    hour = timedelta(hours=1)

    assert reasons_after(compiler, lifetime - warned - hour) == []
    assert reasons_after(compiler, lifetime - warned + hour) == [Reason.CERTIFICATE_EXPIRING]
    assert reasons_after(compiler, lifetime + hour) == [Reason.CERTIFICATE_EXPIRED]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=9, hours=1), "2034-01-01T00:00:00+00:00, in 9 days; renew it"),
        (timedelta(days=1), "in 1 day;"),
        (timedelta(hours=5), "in less than a day;"),
    ],
)
def test_the_warning_says_when_and_in_how_many_days(left: timedelta, said: str) -> None:
    """It is a warning: the certificate is shown."""
    compiler = compiler_with(END - BEGIN)
    reasons_after(compiler, END - BEGIN - left)

    (problem,) = compiler.problems_of(INGRESS)
    assert said in problem.message
    assert problem.severity is Severity.WARNING
    assert len(compiler.model().server_names) == 1


def test_a_certificate_that_ends_soon_is_a_last_good_one() -> None:
    """It is kept for the time when its Secret turns bad; one that has ended is not."""
    compiler = compiler_with(timedelta(days=90))

    reasons_after(compiler, timedelta(days=85))
    assert list(compiler.kept()) == [SECRET]

    ended = compiler_with(timedelta(days=90))
    reasons_after(ended, timedelta(days=91))
    assert ended.kept() == {}
