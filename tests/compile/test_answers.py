"""What the Secret of answers becomes, and that nothing else is touched for it."""

from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.cluster import Secret
from onehop.cluster.ingress import (
    HttpPath,
    HttpRule,
    Ingress,
    IngressBackend,
    IngressClass,
    IngressClassSpec,
    IngressRule,
    IngressSpec,
    ServiceBackend,
    ServiceBackendPort,
)
from onehop.cluster.meta import Meta
from onehop.compile.challenge import (
    CHALLENGE_PATH,
    AlpnChallenge,
    Challenge,
    HttpChallenge,
    encode_challenges,
    entry_of,
)
from onehop.compile.compiler import Compiler
from onehop.compile.ingress import SOLVER_LABEL
from onehop.compile.options import Options
from onehop.model.address import IpAddr
from onehop.model.certificate import challenge_certificate
from onehop.model.ident import ObjectRef
from onehop.model.listener import Listener
from onehop.model.model import key_of
from onehop.model.route import Respond, VirtualHost
from tests.compile.pem import BEGIN, chain_pem, key_pem

ANSWERS: Final = ObjectRef("Secret", "onehop-system", "answers")
OPTIONS: Final = Options(shared=(IpAddr("192.0.2.80"),), answers=ANSWERS)
SOON: Final = BEGIN.replace(month=6)
CLASS: Final = IngressClass(
    metadata=Meta(name="ours"), spec=IngressClassSpec(controller="onehop.dev/ingress")
)


def http(host: str, token: str = "token") -> HttpChallenge:  # noqa: S107  public by its nature
    return HttpChallenge(host=host, token=token, body=f"{token}.thumbprint")


def alpn(host: str, *, of: str | None = None) -> AlpnChallenge:
    name = of or host
    return AlpnChallenge(
        host=host, chain_pem=chain_pem(name).decode(), key_pem=key_pem(name).decode()
    )


def answers(*challenges: Challenge) -> Secret:
    metadata = Meta(name=ANSWERS.name, namespace=ANSWERS.namespace)
    return Secret(metadata=metadata, data=encode_challenges(challenges))


def ingress(
    host: str, name: str = "web", path: str = "/", labels: dict[str, str] | None = None
) -> Ingress:
    backend = IngressBackend(service=ServiceBackend(name, ServiceBackendPort(number=80)))
    paths = (HttpPath(backend=backend, path=path, path_type="Prefix"),)
    return Ingress(
        metadata=Meta(name=f"{name}-{host}".replace("*", "any"), namespace="shop", labels=labels),
        spec=IngressSpec(ingress_class_name="ours", rules=(IngressRule(host, HttpRule(paths)),)),
    )


def settled(*objects: Ingress | Secret, options: Options = OPTIONS) -> Compiler:
    compiler = Compiler(options)
    for item in (CLASS, *objects):
        compiler.put(item)
    compiler.settle()
    return compiler


def routes_of(compiler: Compiler) -> dict[str, list[tuple[str, str | None]]]:
    """Return the path and the one name of each route, by the plain router's hosts."""
    return {
        host.hostname: [(route.match.value, route.hostname) for route in host.routes]
        for host in compiler.model().hosts
        if host.router == "shared-http"
    }


def test_a_challenge_moves_when_the_hosts_do() -> None:
    """The exact host, else the longest wildcard, else `*`: and back when an Ingress goes."""
    path = f"{CHALLENGE_PATH}token"
    compiler = settled(answers(http("a.b.test")))
    narrow = (path, "a.b.test")
    assert routes_of(compiler) == {"*": [narrow]}

    hosts = ("*.test", "*.b.test", "a.b.test")
    for host, name in zip(hosts, ("a.b.test", "a.b.test", None), strict=True):
        compiler.put(ingress(host))
        compiler.settle()
        found = routes_of(compiler)
        assert [key for key, routes in found.items() if routes[0] == (path, name)] == [host]
        assert all(path not in dict(routes) for key, routes in found.items() if key != host)
    for host in reversed(hosts):
        compiler.remove(ObjectRef("Ingress", "shop", f"web-{host}".replace("*", "any")))
    compiler.settle()
    assert routes_of(compiler) == {"*": [narrow]}


def test_another_hosts_challenge_changes_no_row_of_others() -> None:
    """Only the host that a challenge is for is computed into another row."""
    compiler = settled(ingress("x.test"), ingress("y.test"), answers(http("x.test")))

    compiler.put(answers(http("x.test"), http("y.test")))
    outcome = compiler.settle()

    assert [key_of(row).id for row in outcome.change.upserts] == ["shared-http/y.test"]
    assert not outcome.change.removals


def test_what_is_answered_is_told_by_its_entries() -> None:
    """Whoever waits for all hosts compares; what makes no sense is never there."""
    good, wrong = (http("x.test"), alpn("y.test")), (http("*.x.test"), alpn("z.test", of="y.test"))
    compiler = settled()
    assert compiler.challenges() == frozenset()

    compiler.put(answers(*good, *wrong))
    assert compiler.settle().challenges
    assert compiler.challenges() == {entry_of(each) for each in good}

    compiler.remove(ANSWERS)
    assert compiler.settle().challenges
    assert compiler.challenges() == frozenset()


def test_of_two_handshakes_for_one_host_one_waits() -> None:
    """A name shows one certificate: the second is told as answered when the first is over."""
    one = alpn("x.test")
    other = msgspec.structs.replace(one, chain_pem=chain_pem("x.test", end=SOON).decode())
    entries = {entry_of(one): one, entry_of(other): other}
    compiler = settled(answers(one, other))
    (shown,) = compiler.challenges()

    (waiting,) = entries.keys() - {shown}
    compiler.put(answers(entries[waiting]))
    compiler.settle()
    assert compiler.challenges() == {waiting}


def test_the_listener_names_the_certificates_for_cas() -> None:
    """Sorted by host, and only on the listener that ends TLS."""
    model = settled(answers(alpn("y.test"), alpn("x.test"))).model()

    shown = {row.port: challenges_of(row) for row in model.listeners}
    assert shown == {80: [], 443: [challenge_certificate(host) for host in ("x.test", "y.test")]}
    assert [row.id for row in model.certificates] == shown[443]


def test_without_a_shared_address_nothing_is_answered() -> None:
    """There is no listener that a CA could come to."""
    compiler = settled(answers(http("x.test")), options=msgspec.structs.replace(OPTIONS, shared=()))

    assert compiler.challenges() == frozenset()
    assert compiler.model().hosts == ()


@pytest.mark.parametrize("host", ["evil.b.test", "x.evil.b.test", "*.b.test"])
def test_a_solvers_label_proves_its_own_host_alone(host: str) -> None:
    """Whoever may prove one name under a wildcard gets no request for another name."""
    path = f"{CHALLENGE_PATH}token"
    solver = ingress(host, "solver", path, {SOLVER_LABEL: "true"})
    compiler = settled(ingress("*.b.test"), solver)

    for hostname, routes in routes_of(compiler).items():
        for value, name in routes:
            assert value != path or (name or hostname) == host


def test_one_ingress_may_solve_several_hosts() -> None:
    """Each path stands in the place of its own host."""
    one, two = (
        ingress(host, "solver", f"{CHALLENGE_PATH}{token}", {SOLVER_LABEL: "true"})
        for host, token in (("x.test", "one"), ("y.test", "two"))
    )
    spec = msgspec.structs.replace(one.spec, rules=(one.spec.rules or ()) + (two.spec.rules or ()))
    compiler = settled(ingress("x.test"), msgspec.structs.replace(one, spec=spec))

    assert routes_of(compiler) == {
        "*": [(f"{CHALLENGE_PATH}two", "y.test")],
        "x.test": [(f"{CHALLENGE_PATH}one", None), ("/", None)],
    }


@pytest.mark.parametrize("path", ["/", "/admin", "/.well-known/acme-challenge/a/b", CHALLENGE_PATH])
def test_a_solvers_label_takes_no_other_path(path: str) -> None:
    """The older Ingress keeps it, and no route is put before its routes."""
    older = ingress("x.test", "a-older", path)
    compiler = settled(older, ingress("x.test", "solver", path, {SOLVER_LABEL: "true"}))

    (host,) = (row for row in compiler.model().hosts if row.router == "shared-http")
    assert [str(route.owner) for route in host.routes] == ["Ingress/shop/a-older-x.test"]


_TEXTS: Final = st.text(max_size=12) | st.sampled_from(
    ("x.test", "token", "token.print", "..", "x.test\r\n", "x test", "ä.test", "%2e", '"}')
)


@given(_TEXTS, _TEXTS, _TEXTS)
def test_no_text_of_an_entry_gets_through(host: str, token: str, body: str) -> None:
    """A route is made of a DNS name and base64url, or not at all."""
    challenge = HttpChallenge(host=host, token=token, body=body)
    compiler = settled(answers(challenge))

    for row in compiler.model().hosts:
        assert_plain(row)


def assert_plain(host: VirtualHost) -> None:
    for route in host.routes:
        assert isinstance(route.action, Respond)
        for text in (route.match.value.removeprefix(CHALLENGE_PATH), route.action.body):
            assert text.isascii()
            assert text.replace("-", "").replace("_", "").replace(".", "").isalnum()
        assert (route.hostname or "x").replace("-", "").replace(".", "").isalnum()


def challenges_of(row: Listener) -> list[str]:
    return [each.certificate for each in getattr(row.handler, "challenges", ())]
