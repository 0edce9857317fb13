"""What may be typed, and what is said to what may not."""

import msgspec
import pytest

from onehop.compile.compiler import Compiler
from onehop.control.explain.explanation import Refusal
from onehop.control.explain.target import ALLOWED, ObjectTarget, UrlTarget, near, read_target
from onehop.model.ident import ObjectRef
from tests.explain.known import SCENARIOS
from tests.test_scenarios import settled


@pytest.fixture
def compiler() -> Compiler:
    """Services shop/web and shop/api, and Ingress shop/hosts."""
    return settled(SCENARIOS / "ingress-hosts")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://A.Example.com", "http://a.example.com/"),
        ("https://a.example.com:8443/x?y#z", "https://a.example.com:8443/x"),
        ("HTTP://[2001:db8::1]:81/a//b/../c", "http://[2001:db8::1]:81/a/c"),
        ("tcp://192.0.2.1:5432", "tcp://192.0.2.1:5432"),
        ("a.example.com/x", "http://a.example.com/x"),
        ("a.example.com:8080", "http://a.example.com:8080/"),
    ],
)
def test_a_request_is_typed_as_a_url(compiler: Compiler, text: str, url: str) -> None:
    """Case, query, fragment and dots in paths do not matter; `http` may be left out."""
    meant = read_target(text, compiler)

    assert isinstance(meant, UrlTarget)
    assert str(meant) == url


@pytest.mark.parametrize(
    ("text", "kind", "port"),
    [
        ("service/shop/web", "Service", None),
        ("svc/shop/web:80", "Service", 80),
        ("shop/web", "Service", None),
        ("shop/web:80", "Service", 80),
        ("Ingress/shop/hosts", "Ingress", None),
        ("shop/hosts", "Ingress", None),
    ],
)
def test_an_object_is_typed_by_its_name(
    compiler: Compiler, text: str, kind: str, port: int | None
) -> None:
    """With its kind, or without it where only one kind has the name."""
    meant = read_target(text, compiler)

    assert isinstance(meant, ObjectTarget)
    assert (meant.ref.kind, meant.port) == (kind, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", "web", "a/b/c/d", "pod/shop/web", "ingress/shop/hosts:80", "svc/shop/web:99999"),
        *("tcp://192.0.2.1", "udp://1.2.3.4:5/x", "http://", "http://a:0/", "http://a:x/"),
        *("http://[::1", "\x1b[1m"),
    ],
)
def test_what_is_no_target_is_refused_with_what_one_is(compiler: Compiler, text: str) -> None:
    """That is wrong use."""
    refused = read_target(text, compiler)

    assert isinstance(refused, Refusal)
    assert refused.is_wrong_use
    assert ALLOWED in refused.message or "http://" in refused.message


def test_an_unknown_name_is_refused_with_names_like_it(compiler: Compiler) -> None:
    """The same name in another namespace comes first, then those that look alike."""
    elsewhere = read_target("service/prod/web", compiler)
    mistyped = read_target("shop/hots", compiler)

    assert isinstance(elsewhere, Refusal)
    assert elsewhere.message == "there is no Service/prod/web"
    assert elsewhere.near[0] == "service/shop/web"
    assert isinstance(mistyped, Refusal)
    assert "ingress/shop/hosts" in mistyped.near
    assert not mistyped.is_wrong_use


def test_a_name_that_two_kinds_have_must_be_typed_with_its_kind(compiler: Compiler) -> None:
    """Both are named."""
    ingress = compiler.object(ObjectRef("Ingress", "shop", "hosts"))
    service = compiler.object(ObjectRef("Service", "shop", "web"))
    assert ingress is not None
    assert service is not None
    renamed = msgspec.structs.replace(service.metadata, name="hosts")
    compiler.put(msgspec.structs.replace(service, metadata=renamed))

    refused = read_target("shop/hosts", compiler)

    assert isinstance(refused, Refusal)
    assert refused.near == ("service/shop/hosts", "ingress/shop/hosts")


def test_ten_thousand_names_are_looked_through_at_ease() -> None:
    """Names of the same namespace are compared first."""
    names = [f"service/space-{number}/web-{number}" for number in range(10_000)]

    assert near("service/space-9999/wob-9999", names)[0] == "service/space-9999/web-9999"
