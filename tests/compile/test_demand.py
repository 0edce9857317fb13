"""Certificates are wanted for hosts that are one's own, in numbers that a CA takes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.cluster import Ingress, IngressClass, ref_of
from onehop.cluster.ingress import (
    HttpPath,
    HttpRule,
    IngressBackend,
    IngressClassSpec,
    IngressRule,
    IngressSpec,
    IngressTls,
)
from onehop.cluster.meta import Meta
from onehop.compile.compiler import Outcome
from onehop.compile.demand import MOST_HOSTS
from onehop.compile.options import IssuerOption, Options
from onehop.model.certificate import wildcard_over
from onehop.model.ident import ObjectRef
from onehop.model.problem import Reason, Severity
from tests.compile import anything
from tests.compile.plugins import compiled

CLASS = IngressClass(
    metadata=Meta(name="ours"), spec=IngressClassSpec(controller="onehop.dev/ingress")
)
PATH = HttpPath(backend=IngressBackend(), path="/", path_type="Prefix")
OPTIONS = Options(issuers=(IssuerOption(name="letsencrypt"),))


def asking(*hosts: str, name: str = "one", born: str = "", issuer: str = "true") -> Ingress:
    """Return an Ingress that asks for a certificate for some hosts."""
    return Ingress(
        metadata=Meta(
            name=name,
            namespace="a",
            creation_timestamp=born,
            annotations={"onehop.dev/acme": issuer},
        ),
        spec=IngressSpec(ingress_class_name="ours", tls=(IngressTls(hosts, "tls"),)),
    )


_SOME_HOSTS = st.lists(
    st.sampled_from(("x.test", "a.x.test", "b.x.test", "*.x.test", "*.test")), max_size=3
)


def _ingress(metadata: Meta, rules: list[str], tls: list[str]) -> Ingress:
    return Ingress(
        metadata=metadata,
        spec=IngressSpec(
            ingress_class_name="ours",
            rules=tuple(IngressRule(host, HttpRule((PATH,))) for host in rules),
            tls=(IngressTls(tuple(tls), "tls"),) if tls else None,
        ),
    )


INGRESSES = st.builds(
    _ingress,
    metadata=st.builds(
        Meta,
        name=st.sampled_from(("one", "two", "three")),
        namespace=st.sampled_from(("a", "b")),
        creation_timestamp=anything.TIMES,
        annotations=st.sampled_from(({"onehop.dev/acme": "true"}, {"onehop.dev/acme": "false"})),
    ),
    rules=_SOME_HOSTS,
    tls=_SOME_HOSTS,
)


def claimed(ingress: Ingress) -> frozenset[str]:
    """Return every host that an Ingress claims, in a rule or for TLS."""
    rules, tls = ingress.spec.rules or (), ingress.spec.tls or ()
    return frozenset(rule.host for rule in rules).union(*(entry.hosts or () for entry in tls))


def may_have(namespace: str, host: str, ingresses: list[Ingress]) -> bool:
    """Tell whether a host belongs to a namespace, and no older host of others is below it."""
    by_age = sorted(ingresses, key=lambda each: each.metadata.age_key)
    for ingress in by_age:
        is_theirs = ingress.metadata.namespace != namespace
        if host in claimed(ingress):
            return not is_theirs
        below = {each.partition(".")[2] for each in claimed(ingress) if each[0] != "*"}
        if is_theirs and host.startswith("*.") and host[2:] in below:
            return False
    raise AssertionError(f"nobody claims {host}")


@settings(max_examples=500, deadline=None)
@given(st.lists(INGRESSES, max_size=6, unique_by=ref_of))
def test_a_namespace_gets_certificates_for_its_own_hosts_and_for_all_of_them(
    ingresses: list[Ingress],
) -> None:
    """The oldest claim decides; a wildcard is not had over an older host of somebody else's."""
    compiler = compiled(Options(issuers=anything.ISSUERS), CLASS, *ingresses)

    expected: dict[str, set[str]] = {}
    for ingress in ingresses:
        namespace = ingress.metadata.namespace
        for entry in ingress.spec.tls or ():
            if ingress.metadata.annotation("onehop.dev/acme") == "true":
                granted = {h for h in entry.hosts or () if may_have(namespace, h, ingresses)}
                expected.setdefault(namespace, set()).update(granted)
    assert {demand.secret.namespace: set(demand.hosts) for demand in compiler.demands()} == {
        namespace: {host for host in hosts if host[0] == "*" or wildcard_over(host) not in hosts}
        for namespace, hosts in expected.items()
        if hosts
    }


def test_the_hundred_and_first_host_is_left_out_and_its_ingress_told() -> None:
    """The hosts of the oldest Ingress come first, in their order; what they get never shrinks."""
    first = asking(*(f"z{number:03}.test" for number in range(60)), born="2024-01-01T00:00:00Z")
    second = asking(
        *(f"a{number:03}.test" for number in range(42)), name="two", born="2024-02-01T00:00:00Z"
    )
    compiler = compiled(OPTIONS, CLASS, first, second)

    [demand] = compiler.demands()
    assert len(demand.hosts) == MOST_HOSTS
    assert demand.hosts == tuple(sorted(demand.hosts))
    assert {"z059.test", "a039.test"} < set(demand.hosts)
    [told] = [problem for problem in compiler.problems() if problem.reason is Reason.UNSUPPORTED]
    assert told.subject == ObjectRef("Ingress", "a", "two")
    assert told.severity is Severity.ERROR
    assert "a040.test and 1 more" in told.message


def test_only_another_answer_is_said_to_be_one() -> None:
    """Whoever orders certificates is not woken by what changes nothing for him."""
    compiler = compiled(OPTIONS, CLASS, asking("x.test"))
    [before] = compiler.demands()

    compiler.put(asking("x.test", issuer="letsencrypt"))
    same = compiler.settle()
    compiler.put(asking("x.test", "y.test"))
    other = compiler.settle()
    compiler.remove(ObjectRef("Ingress", "a", "one"))
    gone = compiler.settle()

    assert before.hosts == ("x.test",)
    assert not same.demands
    assert other.demands
    assert gone.demands
    assert compiler.demands() == ()
    assert same.then(other).demands
    assert not Outcome().demands


def test_the_secret_of_the_answers_is_wanted() -> None:
    """Every host watches it, for every host has to answer."""
    answers = ObjectRef("Secret", "onehop-system", "answers")

    compiler = compiled(Options(answers=answers))

    assert compiler.wanted() == {answers}
