"""What annotations may hold: every parser, its bounds, and that nothing slips through."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.compile import value
from onehop.compile.policy import Policy, parse_policy
from onehop.compile.vocabulary import ANNOTATIONS
from onehop.model.ident import ObjectRef
from onehop.model.route import RateLimit


@pytest.mark.parametrize(
    ("parse", "text", "parsed"),
    [
        (value.boolean, "true", True),
        (value.boolean, "false", False),
        (value.integer(1, 65535), "65535", 65535),
        (value.duration(0.01, 60), "250ms", 0.25),
        (value.duration(0.01, 60), "1.5s", 1.5),
        (value.duration(1, 86400), "24h", 86400.0),
        (value.size, "512", 512),
        (value.size, "8M", 8 << 20),
        (value.size, "1g", 1 << 30),
        (value.rate, "1000/h", RateLimit(requests=1000, per_s=3600)),
        (value.codes, "404, 200-299,", ((200, 299), (404, 404))),
        (value.code_list, "503,502", (502, 503)),
        (value.cidrs, "192.0.2.1, 10.0.0.0/8, 10.1.0.0/8", ("10.0.0.0/8", "192.0.2.1/32")),
        (value.header_names, "X-A, x-b", ("x-a", "x-b")),
        (value.headers, "X-A: b c\n\n X-D:e", (("x-a", "b c"), ("x-d", "e"))),
        (value.url_path, "/a/b.c-d~e", "/a/b.c-d~e"),
        (value.hostname, "a-b.example.com", "a-b.example.com"),
        (value.object_name, "shop-ca.2", "shop-ca.2"),
        (value.hsts, "Max-Age=0; PRELOAD", "max-age=0; preload"),
        (value.token, "__Host-id", "__Host-id"),
    ],
)
def test_good_values_are_understood(
    parse: Callable[[str], object], text: str, parsed: object
) -> None:
    """Units, lists and letter case as people write them."""
    assert parse(text) == parsed


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (value.boolean, "True"),
        (value.one_of("a", "b"), "c"),
        (value.integer(1, 10), "0"),
        (value.integer(1, 10), "11"),
        (value.integer(1, 10), "\u0665"),
        (value.integer(1, 10), "-1"),
        (value.duration(1, 60), "61s"),
        (value.duration(1, 60), "999ms"),
        (value.duration(1, 60), "1"),
        (value.duration(1, 60), "\u0663s"),
        (value.duration(1, 60), "1e3s"),
        (value.size, "0"),
        (value.size, "2000g"),
        (value.size, "1\u212a"),
        (value.rate, "0/s"),
        (value.rate, "1/d"),
        (value.codes, "299-200"),
        (value.codes, "99"),
        (value.codes, "600"),
        (value.codes, ","),
        (value.code_list, "200-299"),
        (value.cidrs, ""),
        (value.cidrs, "10.0.0.0/8,any"),
        (value.token, ""),
        (value.token, "a b"),
        (value.token, "a" * 129),
        (value.header_name, "Transfer-Encoding"),
        (value.headers, "X-A"),
        (value.headers, "X-A: "),
        (value.headers, "X-A: b\x00c"),
        (value.headers, "X-A: b\rX-C: d"),
        (value.headers, "Host: evil"),
        (value.url_path, "a"),
        (value.url_path, "/a?b"),
        (value.url_path, "/a\n"),
        (value.url_path, "/%2e"),
        (value.hostname, "A.test"),
        (value.hostname, "a..test"),
        (value.hostname, "a." * 127 + "a"),
        (value.object_name, "../x"),
        (value.object_name, ""),
        (value.hsts, "max-age=\u0661"),
        (value.hsts, "max-age=1; preload; preload"),
        (value.hsts, "max-age=1; evil"),
    ],
)
def test_bad_values_are_refused_with_what_is_allowed(
    parse: Callable[[str], object], text: str
) -> None:
    """The message completes the sentence "allowed is ..."."""
    with pytest.raises(ValueError, match=r"\w"):
        parse(text)


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_every_example_parses_and_has_its_field(name: str) -> None:
    """The manual shows nothing that would be refused."""
    known = ANNOTATIONS[name]
    for kind in known.on:
        subject = ObjectRef(kind, "shop", "web")
        policy, problems = parse_policy(subject, {f"onehop.dev/{name}": known.example})
        assert problems == ()
        assert getattr(policy, name.replace("-", "_")) is not None


def test_every_field_of_a_policy_has_an_annotation() -> None:
    """The table and the struct say the same."""
    assert {name.replace("-", "_") for name in ANNOTATIONS} == set(Policy.__struct_fields__)


_TEXTS = st.text() | st.text("0123456789abcdefsmhkg/:;,.-= \n\x00{}\"'", max_size=40)


@given(st.sampled_from(sorted(ANNOTATIONS)), _TEXTS)
def test_no_text_breaks_a_parser_or_passes_unseen(name: str, text: str) -> None:
    """A value comes out made of printable ASCII only, or a Problem does."""
    subject = ObjectRef(min(ANNOTATIONS[name].on), "shop", "web")
    policy, problems = parse_policy(subject, {f"onehop.dev/{name}": text})

    parsed = getattr(policy, name.replace("-", "_"))
    assert (parsed == ANNOTATIONS[name].otherwise) is bool(problems)
    for piece in _texts_in(parsed):
        assert piece.isascii()
        assert piece.isprintable() or "\t" in piece
    for problem in problems:
        assert problem.message.isascii()
        assert len(problem.message) < 1000  # what an Event of the API may hold is 1,024


def _texts_in(parsed: Any) -> list[str]:
    if isinstance(parsed, str):
        return [parsed]
    if isinstance(parsed, tuple):
        return [text for item in parsed for text in _texts_in(item)]
    return []
