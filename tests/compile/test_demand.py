"""Certificates are wanted for hosts that are one's own, in numbers that a CA takes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.cluster import ClusterObject, Ingress, IngressClass
from onehop.cluster.ingress import IngressClassSpec, IngressSpec, IngressTls
from onehop.cluster.meta import Meta
from onehop.compile.compiler import Compiler, Outcome
from onehop.compile.demand import MOST_HOSTS
from onehop.compile.ingress import INGRESS_INTENTS, IngressIntent
from onehop.compile.options import IssuerOption, Options
from onehop.model.ident import ObjectRef
from onehop.model.problem import Reason, Severity
from tests.compile import anything
from tests.compile.plugins import compiled

CLASS = IngressClass(
    metadata=Meta(name="ours"), spec=IngressClassSpec(controller="onehop.dev/ingress")
)
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


def intents_of(compiler: Compiler) -> tuple[IngressIntent, ...]:
    """Return what every Ingress of ours asks for."""
    reader = compiler.reader()
    found = (reader.get(INGRESS_INTENTS, ref) for ref in compiler.refs("Ingress"))
    return tuple(intent for intent in found if intent is not None)


def hosts_of(intent: IngressIntent) -> frozenset[str]:
    """Return every host that an Ingress claims, in a rule or for TLS."""
    return frozenset(claim.hostname for claim in intent.claims) | {
        claim.hostname for claim in intent.tls
    }


@settings(max_examples=500, deadline=None)
@given(
    st.lists(anything.INGRESSES | anything.CLASSES, max_size=10),
    st.sampled_from((anything.ISSUERS, anything.ISSUERS[::-1])),
)
def test_no_certificate_is_wanted_for_a_host_of_another_namespace(
    objects: list[ClusterObject], issuers: tuple[IssuerOption, ...]
) -> None:
    """The oldest claim decides, and a wildcard covers no older host of somebody else's."""
    compiler = compiled(Options(issuers=issuers), CLASS, *objects)
    intents = sorted(intents_of(compiler), key=lambda intent: intent.age_key)

    for demand in compiler.demands():
        for host in demand.hosts:
            oldest = next(intent for intent in intents if host in hosts_of(intent))
            assert oldest.ref.namespace == demand.secret.namespace
            for older in intents[: intents.index(oldest)] if host.startswith("*.") else ():
                below = {each.partition(".")[2] for each in hosts_of(older)}
                is_ours = older.ref.namespace == demand.secret.namespace
                assert is_ours or host.removeprefix("*.") not in below


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

    assert compiler.wanted_secrets() == {answers}
