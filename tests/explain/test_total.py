"""Whatever is served can be explained, and whatever is explained can be shown."""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.cli.explain.drawing import draw
from onehop.cluster import ClusterObject
from onehop.compile.compiler import Compiler
from onehop.compile.options import Options
from onehop.control.explain.explanation import Explanation, Refusal
from onehop.control.explain.facts import Facts
from onehop.control.explain.journey import explain
from onehop.control.explain.target import written
from onehop.model.route import VirtualHost
from tests.compile import anything
from tests.explain.known import as_json, as_tree, facts_of
from tests.routing import PaperRoute, PaperTable, settle

TABLES = st.sampled_from(
    (
        PaperTable(),
        PaperTable(routes=(PaperRoute(to="0.0.0.0/0", via=("192.0.2.1",)),)),
        PaperTable(
            routes=(
                PaperRoute(to="10.0.0.0/26", via=("10.9.0.1",)),
                PaperRoute(to="10.0.0.0/24", via=("10.9.0.2", "10.9.0.3"), steady=False),
                PaperRoute(to="fd00::/64", via=("fd09::1",)),
            )
        ),
    )
)


def _targets(facts: Facts) -> Iterator[str]:
    for kind in ("Service", "Ingress"):
        yield from map(written, facts.compiler.refs(kind))
    for row in facts.served.rows():
        if isinstance(row, VirtualHost):
            for route in row.routes:
                host = row.hostname.replace("*", "any")
                yield f"http://{host}{route.match.value}/more?x=1"
                yield f"https://{host}{route.match.value}"
    for address in facts.served.vips():
        host = f"[{address}]" if ":" in address else address
        yield from (f"tcp://{host}:80", f"udp://{host}:53", f"http://{host}")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(anything.OBJECTS, max_size=12),
    anything.OPTIONS,
    TABLES,
)
def test_everything_that_is_served_is_explained(
    objects: list[ClusterObject], options: Options, table: PaperTable
) -> None:
    """Each object and each host has an answer that can be encoded, printed and drawn."""
    compiler = Compiler(options)
    for item in (*anything.WORLD, *objects):
        compiler.put(item)
    settle(compiler, table)
    facts = facts_of(compiler)

    for target in _targets(facts):
        answer = explain(facts, target)

        assert as_tree(answer)
        kind: object = type(answer)
        assert msgspec.json.decode(as_json(answer), type=kind) == answer
        if isinstance(answer, Explanation):
            ET.fromstring(draw(answer))  # noqa: S314  our own text
            _is_consistent(answer)
        else:
            assert not answer.is_wrong_use, target


def _is_consistent(answer: Explanation) -> None:
    """Check what holds of every explanation."""
    named = {branch.pool for road in answer.roads for branch in road.outcome.branches}
    assert {pool.id for pool in answer.pools} <= named
    for pool in answer.pools:
        shares = sum(member.share_percent for member in pool.members)
        assert not pool.members or abs(shares - 100) < 1
        assert sum(rung.pods for rung in pool.rungs) == sum(p.rung is not None for p in pool.pods)
        for member in pool.members:
            assert member.hops in {"pod": (1,), "local": (2, 3), "node": (2, 3)}[member.rung]
            assert len(member.nats) == {1: 1, 2: 2, 3: 3}[member.hops]
        for pod in pool.pods:
            assert (pod.keeps_down is None) == (pod.rung == "pod" and pod.way.is_open)


@given(st.text(max_size=60) | st.from_regex(r"(http|tcp|udp)://.{0,20}|[a-z]{1,9}/.{0,9}/.{0,9}"))
def test_no_text_is_too_strange_to_be_refused(text: str) -> None:
    """Any text is a target, or is refused with what a target is."""
    answer = explain(facts_of(Compiler(Options())), text)

    assert isinstance(answer, Refusal)
    assert answer.message
    assert as_tree(answer)
