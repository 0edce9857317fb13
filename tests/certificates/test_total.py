"""Whatever objects say, there is a report on each Secret and a story of each host."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.acme.state import Phase, State
from onehop.cluster import ClusterObject
from onehop.compile.compiler import Compiler
from onehop.compile.options import Options
from onehop.control.certificates.chain import ChainReader
from onehop.control.certificates.facts import gather_facts
from onehop.control.certificates.report import CertificateList, HostStory, Leader
from onehop.control.certificates.table import make_list, summarize
from onehop.control.certificates.why import Scene, tell
from onehop.control.served import Served
from onehop.model.ident import CertificateId
from onehop.model.model import Change
from onehop.model.route import VirtualHost
from tests.certificates.known import DAY_S, NOW, certificate_of_story, printed
from tests.compile import anything


@settings(deadline=None, max_examples=60)
@given(
    objects=st.lists(anything.OBJECTS, max_size=12),
    options=anything.OPTIONS,
    phase=st.sampled_from(Phase),
    leads=st.booleans(),
    after_s=st.sampled_from((-DAY_S, 720.0, 90 * DAY_S)),
)
def test_everything_has_a_report_and_a_story(
    *,
    objects: list[ClusterObject],
    options: Options,
    phase: Phase,
    leads: bool,
    after_s: float,
) -> None:
    """Each can be encoded and printed; the summary counts all; a good story has no bad end."""
    compiler = Compiler(options)
    for item in (*anything.WORLD, *objects):
        compiler.put(item)
    compiler.settle()
    served = Served()
    served.take(Change(tuple(compiler.model().rows())))
    demands = compiler.demands()
    states = {
        demand.secret: State(
            secret=demand.secret,
            hosts=demand.hosts,
            issuer=demand.issuer,
            phase=phase,
            next_at=NOW + after_s,
            renews_at=NOW + after_s,
        )
        for demand in demands
        if leads
    }
    facts = gather_facts(
        compiler=compiler,
        served=served,
        leader=Leader(is_here=leads),
        states=states,
        demands=demands,
        problems=compiler.problems(),
        chains=ChainReader(),
        now=NOW,
    )

    found = make_list(facts)
    scene = Scene(facts=facts, compiler=compiler, served=served)
    hosts = {row.hostname for row in served.rows() if isinstance(row, VirtualHost)}
    hosts |= {host for report in found.certificates for host in report.hosts}
    hosts |= {host.replace("*", "any") for host in hosts} | {"nobody.test", ""}

    assert msgspec.json.decode(msgspec.json.encode(found), type=CertificateList) == found
    assert printed(found)
    summary = summarize(found.certificates)
    assert summary.valid + summary.issuing + summary.failing == len(found.certificates)
    for report in found.certificates:
        assert printed(report)
        assert report.next
    for host in hosts:
        story = tell(scene, host)
        assert msgspec.json.decode(msgspec.json.encode(story), type=HostStory) == story
        assert story.says
        assert printed(story)
        assert story.is_good or any(step.is_good is False for step in story.steps)


def test_a_chain_is_read_once_and_forgotten_with_its_secret() -> None:
    """Thousands take a while; what is shown no more is kept no longer."""
    name = CertificateId("shop/shop")
    shown = {name: certificate_of_story("tls-by-server-name", "shop")}
    reader = ChainReader()

    first, again = reader.read(shown), reader.read(shown)
    gone = reader.read({})
    anew = reader.read(shown)

    assert first[name] is again[name]
    assert gone == {}
    assert anew[name] is not first[name]
    assert anew == first
