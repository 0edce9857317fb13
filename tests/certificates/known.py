"""Facts about certificates: of stories, or made up."""

from collections.abc import Mapping
from io import StringIO
from typing import Any, Final

from rich.console import Console

from onehop.acme.state import Phase, State
from onehop.cli.cert_text import print_list, print_report, print_story
from onehop.compile.certificate import read_certificate
from onehop.control.certificates.chain import ChainReader, read_chain
from onehop.control.certificates.facts import CertificateFacts, TlsNaming, gather_facts
from onehop.control.certificates.report import (
    CertificateList,
    CertificateReport,
    HostStory,
    Leader,
)
from onehop.control.certificates.why import Scene
from onehop.model.certificate import Certificate, CertificateDemand
from onehop.model.ident import CertificateId, ObjectRef
from tests.explain.known import facts_of_story

NOW: Final = 1_795_000_000.0
"""2026-11-18, in the time that the certificates of the stories are valid."""
DAY_S: Final = 86_400.0
SECRET: Final = ObjectRef("Secret", "shop", "web-tls")
WEB: Final = ObjectRef("Ingress", "shop", "web")
HOST: Final = "shop.example.com"
HERE: Final = Leader()
AWAY: Final = Leader(is_here=False, name="lb2")


def scene_of_story(
    name: str,
    *,
    states: Mapping[ObjectRef, State] | None = None,
    leader: Leader = HERE,
    now: float = NOW,
) -> Scene:
    """Return what is known at the end of a story of tests/scenarios."""
    known = facts_of_story(name)
    facts = gather_facts(
        compiler=known.compiler,
        served=known.served,
        leader=leader,
        states=states or {},
        demands=known.compiler.demands(),
        problems=known.compiler.problems(),
        chains=ChainReader(),
        now=now,
    )
    return Scene(facts=facts, compiler=known.compiler, served=known.served)


def certificate_of_story(name: str, secret: str) -> Certificate:
    """Return a certificate of a story, as the data plane gets it."""
    compiler = facts_of_story(name).compiler
    ref = ObjectRef("Secret", "shop", secret)
    found: Any = compiler.object(ref)
    read = read_certificate(ref, found)
    assert isinstance(read, Certificate)
    return read


def state(phase: Phase, secret: ObjectRef = SECRET, **more: Any) -> State:
    """Return how an order is doing."""
    return State(secret=secret, hosts=(HOST,), issuer="letsencrypt", phase=phase, **more)


def facts_of(
    *,
    at: State | None = None,
    shown: Certificate | None = None,
    is_asked: bool = True,
    hosts: tuple[str, ...] = (HOST,),
    leader: Leader = HERE,
    **more: Any,
) -> CertificateFacts:
    """Return facts of one Ingress that names one Secret for some hosts."""
    demand = CertificateDemand(secret=SECRET, hosts=hosts, issuer="letsencrypt", wishers=(WEB,))
    naming = TlsNaming(owner=WEB, age_key=("", "shop", "web"), field="spec.tls[0]", hosts=hosts)
    name = CertificateId("shop/web-tls")
    return CertificateFacts(
        now=NOW,
        leader=leader,
        demands={SECRET: demand} if is_asked else {},
        states={SECRET: at} if at is not None else {},
        chains={name: read_chain(shown)} if shown is not None else {},
        shown_for={name: hosts} if shown is not None else {},
        named={SECRET: (naming,)},
        **more,
    )


def printed(said: CertificateList | CertificateReport | HostStory) -> str:
    """Return what a terminal without colours shows."""
    out = StringIO()
    console = Console(file=out, width=200, highlight=False, color_system=None)
    match said:
        case CertificateList():
            print_list(console, said)
        case CertificateReport():
            print_report(console, said, NOW)
        case HostStory():
            print_story(console, said)
    return out.getvalue()
