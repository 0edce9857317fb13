"""What is explained of stories, as a person reviewed it: data, tree and drawing."""

from pathlib import Path
from typing import Final

import pytest

from onehop.cli.explain.drawing import draw
from onehop.control.explain.explanation import Answer, Explanation
from onehop.control.explain.journey import explain
from tests.explain.known import as_json, as_tree, facts_of_story
from tests.golden import check_golden

GOLDEN: Final = Path(__file__).parent / "golden"

CASES: Final = {
    "direct": ("ladder-all-direct", "service/shop/web"),
    "mixed": ("ladder-direct-where-proven", "shop/web"),
    "local": ("ladder-local-keeps-the-source", "svc/shop/web:80"),
    "not-reached": ("ladder-pod-never-falls-back", "shop/web"),
    "no-node-ports": ("ladder-without-node-ports", "shop/web"),
    "waiting": ("ladder-a-new-route-waits", "shop/web"),
    "trusted": ("ladder-trusted-prefix", "shop/web"),
    "ipv6": ("ladder-ipv6", "shop/web"),
    "excluded-node": ("ladder-node-that-takes-no-traffic", "shop/web"),
    "led-astray": ("ladder-one-address-led-astray", "shop/web"),
    "every-port": ("service-every-port-is-served", "shop/dns"),
    "forced-node": ("path-node", "shop/web"),
    "url-precedence": ("ingress-precedence", "http://a.example.com/foo/bar"),
    "url-conflict": ("ingress-conflicts-go-to-the-older", "a.example.com/"),
    "url-deep-name": ("ingress-hosts", "http://x.y.example.com/"),
    "url-not-found": ("ingress-hosts", "http://b.example.com/"),
    "url-tls": ("tls-by-server-name", "https://shop.example.com/"),
    "url-tls-clients": ("client-certificates", "https://staff.example.com/"),
    "url-tls-ended": ("tls-certificates-that-are-bad", "https://expired.example.com/"),
    "url-tls-missing": ("tls-certificates-that-are-bad", "https://missing.example.com/"),
    "url-passthrough": ("tls-passthrough", "https://db.example.com/"),
    "url-passthrough-none": ("tls-passthrough-in-vain", "https://missing.example.com/"),
    "ingress-passthrough": ("tls-passthrough", "ingress/shop/apps"),
    "url-challenge": (
        "challenges-of-cert-manager",
        "http://www.example.com/.well-known/acme-challenge/t-exact",
    ),
    "url-answer": (
        "challenges-before-tenants",
        "http://redirect.example.com/.well-known/acme-challenge/live",
    ),
    "url-no-challenge": (
        "challenges-under-a-wildcard",
        "http://x.api.example.com/.well-known/acme-challenge/t-api",
    ),
    "url-gateway-answer": (
        "gateway-acme-answers",
        "http://shop.example.com/.well-known/acme-challenge/live",
    ),
    "url-gateway-no-answer": ("gateway-acme-port-80", "http://six.example.com/"),
    "ingress-solver": ("challenges-of-cert-manager", "ingress/shop/cm-free"),
    "url-redirect": ("ingress-no-redirect-unless-asked", "http://asked.example.com/"),
    "url-default": ("ingress-default-backend", "http://nobody.example.com/x"),
    "ingress": ("ingress-hosts", "ingress/shop/hosts"),
    "dual-stack": ("ingress-dual-stack-vip", "ing/shop/a"),
    "limits": ("annotation-limits", "ingress/shop/sources"),
    "persistence": ("annotation-persistence-on-a-service", "service/shop/web"),
    "proxy-protocol": ("annotation-proxy-protocol", "service/shop/web"),
    "draining": ("draining-endpoints-keep-their-sessions", "service/shop/web"),
    "mistyped": ("ingress-hosts", "ingress/shop/hots"),
}
"""Name of the golden files: the story, and what is asked."""
DRAWN: Final = ("direct", "mixed", "local", "not-reached", "excluded-node", "forced-node", "ipv6")
DRAWN_TOO: Final = ("url-tls", "url-tls-clients", "ingress", "url-not-found", "dual-stack")


def _answer(case: str) -> Answer:
    story, target = CASES[case]
    return explain(facts_of_story(story), target)


@pytest.mark.parametrize("case", CASES)
def test_a_story_is_explained_as_its_golden_files_say(case: str) -> None:
    """The same to programs and to people."""
    answer = _answer(case)

    check_golden(GOLDEN / f"{case}.json", as_json(answer))
    check_golden(GOLDEN / f"{case}.txt", as_tree(answer))


@pytest.mark.parametrize("case", [*DRAWN, *DRAWN_TOO])
def test_a_story_is_drawn_as_its_golden_file_says(case: str) -> None:
    """Byte by byte: drawings are the same today and tomorrow."""
    answer = _answer(case)

    assert isinstance(answer, Explanation)
    check_golden(GOLDEN / f"{case}.svg", draw(answer))
